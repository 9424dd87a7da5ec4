"""An input of any length as so many numbers, and how likely they are: what a decoder learns to say. Must not import ray or mlflow.

Views hold nothing that learns. So a decoder's target can't move towards it, which targets made by encoders may do.

Shape suffixes: B samples, T steps or tokens, F features, C channels, H height, W width, S cells, N numbers.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor
from torch.nn import functional as F

from tasks.contracts import ModalityBatch
from tasks.errors import InputError
from tasks.models.tokens import valid_BT


class FixedView:
    """What a decoder is asked for of one modality."""

    def __init__(self, modality: str, shape: Mapping[str, int], cells: int) -> None:
        """`shape` is the reader's. Raises InputError for a medium without a view."""
        self.words, self.picture, self.cells = "vocab_size" in shape, "height" in shape, cells
        if self.words:
            self.size = int(shape["vocab_size"])
            """N."""
            self.said = int(shape["max_tokens"])
            """How many numbers of evidence a sample has: what the bound is divided by."""
        elif self.picture:
            self.cells_HW = min(cells, int(shape["height"])), min(cells, int(shape["width"]))
            self.size = self.said = int(shape["channels"]) * self.cells_HW[0] * self.cells_HW[1]
        elif "features" in shape:
            self.size = self.said = cells * int(shape["features"])
        else:
            raise InputError(
                f"a multimodal_vae has no decoder for {modality}, whose reader gives {', '.join(shape) or 'nothing'}; it says pictures, "
                "videos, text, sounds and sensors: name others in `between`"
            )

    def of(self, given: ModalityBatch) -> Tensor:
        """BN: mean values of cells, or how often each token comes."""
        if self.words:
            return counts_BN(given.values, valid_BT(given.lengths, given.values), self.size)
        values = given.values.float()
        if not self.picture:
            return segments_BSF(values, valid_BT(given.lengths, values), self.cells).flatten(1)
        if values.ndim == 5:  # a video: its mean frame
            mask_BT111 = valid_BT(given.lengths, values)[:, :, None, None, None].float()
            values = (values * mask_BT111).sum(1) / mask_BT111.sum(1)
        return F.adaptive_avg_pool2d(values, self.cells_HW).flatten(1)

    def surprise_B(self, said_BN: Tensor, view_BN: Tensor) -> Tensor:
        """Negative log likelihood in nats without constants: of numbers around what is said with variance 1, or of words drawn by it."""
        if self.words:
            return -(view_BN * said_BN.log_softmax(-1)).sum(-1)
        return (said_BN - view_BN).square().sum(-1) / 2


def counts_BN(ids_BT: Tensor, mask_BT: Tensor, size: int) -> Tensor:
    """Float: how often each token id comes among the valid ones."""
    counts = torch.zeros(len(ids_BT), size, device=ids_BT.device)
    return counts.scatter_add_(1, torch.where(mask_BT, ids_BT, 0), mask_BT.float())


def segments_BSF(values_BTF: Tensor, mask_BT: Tensor, count: int) -> Tensor:
    """Means over `count` parts of the valid steps, cut as `adaptive_avg_pool1d` cuts: they overlap where there are fewer steps."""
    lengths_B1 = mask_BT.sum(1, keepdim=True).clamp(min=1)
    part_S = torch.arange(count, device=values_BTF.device)
    first_BS = (part_S * lengths_B1) // count
    end_BS = ((part_S + 1) * lengths_B1 + count - 1) // count
    step_T = torch.arange(values_BTF.shape[1], device=values_BTF.device)
    inside_BST = (step_T >= first_BS[..., None]) & (step_T < end_BS[..., None])
    return inside_BST.float() @ values_BTF / (end_BS - first_BS)[..., None]
