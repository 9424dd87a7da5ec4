"""Trunk of convolutions over the sequence. Must not import ray or mlflow.

Shape suffixes: B samples, T tokens, D width.
"""

from __future__ import annotations

from torch import Tensor, nn
from torch.nn import functional as F

from tasks.models.tokens import Tokens
from tasks.models.trunks.config import CnnTrunkConfig


class Cnn(nn.Module):
    """Residual convolutions over the valid tokens, in their order. Gives as many; valid ones come first."""

    def __init__(self, config: CnnTrunkConfig, width: int) -> None:
        super().__init__()
        self.layers = nn.ModuleList(_Convolution(width, config.kernel_size, config.dropout) for _ in range(config.layers))

    def forward(self, tokens: Tokens) -> Tokens:
        packed = tokens.packed()
        for layer in self.layers:
            packed = layer(packed)
        return packed


class _Convolution(nn.Module):
    """A convolution on normed input, added back. What is not valid is zero before it, like what lies outside of the sequence."""

    def __init__(self, width: int, kernel_size: int, dropout: float) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(width)
        self.convolve = nn.Conv1d(width, width, kernel_size, padding="same")
        self.dropout = nn.Dropout(dropout)

    def forward(self, tokens: Tokens) -> Tokens:
        normed_BTD, mask_BT = Tokens(self.norm(tokens.values_BTD), tokens.mask_BT).masked()
        change_BTD: Tensor = F.gelu(self.convolve(normed_BTD.transpose(1, 2))).transpose(1, 2)
        return Tokens(tokens.values_BTD + self.dropout(change_BTD), mask_BT)
