"""A recurrent layer that reads both ways and never looks at padding. Must not import ray or mlflow.

Shape suffixes: B samples, T steps, D width.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from tasks.errors import InputError


class Recurrent(nn.Module):
    """GRU or LSTM layers over padded sequences.

    The backward direction runs over each sequence reversed inside its own length, so padding comes after the end in both
    directions and cannot reach a valid step. Packed sequences would do the same, but wait for the GPU and cannot be exported.
    """

    def __init__(self, cell: type[nn.GRU] | type[nn.LSTM], width: int, layers: int, bidirectional: bool, dropout: float) -> None:
        super().__init__()
        directions = 2 if bidirectional else 1
        if width % directions:
            raise InputError(
                f"a bidirectional encoder halves the model's width, which is odd: {width}; give an even `width`, or set "
                "`bidirectional: false`"
            )
        self.forwards = nn.ModuleList(cell(width, width // directions, batch_first=True) for _ in range(layers))
        self.backwards = nn.ModuleList(cell(width, width // directions, batch_first=True) for _ in range(layers if bidirectional else 0))
        self.dropout = nn.Dropout(dropout)

    def forward(self, values_BTD: Tensor, mask_BT: Tensor) -> Tensor:
        """Valid steps of the result depend on valid steps alone; what stands at the others means nothing."""
        reversal_BT = _reversal_BT(mask_BT)
        for layer, run_forward in enumerate(self.forwards):
            output_BTD, _ = run_forward(values_BTD)
            if self.backwards:
                mirrored_BTD, _ = self.backwards[layer](_reversed_BTD(values_BTD, reversal_BT))
                output_BTD = torch.cat([output_BTD, _reversed_BTD(mirrored_BTD, reversal_BT)], -1)
            values_BTD = self.dropout(output_BTD)
        return values_BTD


def _reversed_BTD(values_BTD: Tensor, reversal_BT: Tensor) -> Tensor:
    """`take_along_dim` would do the same, but fixes the size of the batch when it is exported."""
    return values_BTD.gather(1, reversal_BT[..., None].expand(-1, -1, values_BTD.shape[-1]))


def _reversal_BT(mask_BT: Tensor) -> Tensor:
    """Index that reverses the valid head of each row and leaves the padding where it is. It is its own inverse."""
    places_T = torch.arange(mask_BT.shape[1], device=mask_BT.device)
    mirrored_BT = mask_BT.sum(1, keepdim=True) - 1 - places_T
    return torch.where(mirrored_BT >= 0, mirrored_BT, places_T)
