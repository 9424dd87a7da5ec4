"""What the parts of a model hand to each other: `Tokens`, `WeightedSum`, and what makes and checks them. Must not import ray or mlflow.

Shape suffixes: B samples, M modalities, T tokens, D width.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

import torch
from torch import Tensor

from tasks.errors import InputError


class Tokens(NamedTuple):
    """A sequence of vectors for each sample; a single vector is a sequence of length one."""

    values_BTD: Tensor
    """Float; zeros where `mask_BT` is False, once they have passed `masked`."""
    mask_BT: Tensor
    """Bool; True = valid. A fusion may count on one valid token in each sample."""

    def masked(self) -> Tokens:
        """The same with zeros at invalid positions, so that not even a NaN there can travel on."""
        return Tokens(torch.where(self.mask_BT[..., None], self.values_BTD, 0.0), self.mask_BT)

    def mean_BD(self) -> Tensor:
        """Mean over the valid tokens; zeros for a sample without any."""
        mask_BT1 = self.mask_BT[..., None].to(self.values_BTD.dtype)
        return (self.values_BTD * mask_BT1).sum(1) / mask_BT1.sum(1).clamp(min=1)

    def packed(self) -> Tokens:
        """The same with the valid tokens first, in their order: for what reads a sequence and would stumble over holes."""
        order_BT = self.mask_BT.int().argsort(dim=1, descending=True, stable=True)
        values_BTD = self.values_BTD.gather(1, order_BT[..., None].expand_as(self.values_BTD))
        return Tokens(values_BTD, self.mask_BT.gather(1, order_BT)).masked()


class WeightedSum(NamedTuple):
    """A mean that is not divided yet, so that it can be added up over micro-batches, ranks and epochs."""

    total: Tensor
    """Scalar: the sum of weight times value."""
    weight: Tensor
    """Scalar: the sum of weights; 0 when no sample carries the label."""


def single(values_BD: Tensor) -> Tokens:
    """One valid token a sample."""
    return Tokens(values_BD[:, None], torch.ones(values_BD.shape[0], 1, dtype=torch.bool, device=values_BD.device))


def present_or_all_BM(present_BM: Tensor) -> Tensor:
    """`present_BM`, with all modalities of a sample that has none: such a sample is answered by the learned tokens."""
    return present_BM | ~present_BM.any(1, keepdim=True)


def valid_BT(lengths_B: Tensor | None, values: Tensor) -> Tensor:
    """The mask that `lengths_B` means for `values` of shape BT or BT…; all True when there are no lengths."""
    if lengths_B is None:
        return torch.ones(values.shape[:2], dtype=torch.bool, device=values.device)
    return torch.arange(values.shape[1], device=values.device) < lengths_B[:, None]


def need(shape: Mapping[str, int], names: tuple[str, ...], kind: str) -> tuple[int, ...]:
    """The named sizes of a reader's shape. Raises InputError when the encoder was given another medium.

    A video has all that a picture has, and `frames`: one who does not ask for these is not made for it.
    """
    missing = [name for name in names if name not in shape]
    if missing or ("frames" in shape and "frames" not in names):
        raise InputError(
            f"encoder {kind!r} needs {', '.join(names)}, but this modality's reader gives {', '.join(shape) or 'nothing'}; "
            "choose an encoder made for this medium"
        )
    return tuple(int(shape[name]) for name in names)
