"""Means and covariances of the whole global batch, for losses that look at clouds instead of pairs. Must not import ray or mlflow.

Shape suffixes: B samples of this rank, G samples of all ranks, E numbers of an embedding.
"""

from __future__ import annotations

from typing import NamedTuple

from torch import Tensor

from tasks.models.gather import gathered
from tasks.models.tokens import WeightedSum


class Clouds(NamedTuple):
    """The embeddings of two modalities over the global batch."""

    one_GE: Tensor
    other_GE: Tensor
    weight_G: Tensor


def clouds(one_BE: Tensor, other_BE: Tensor, weight_B: Tensor) -> Clouds:
    """Of all ranks, in float64: sums over a batch lose six digits in float32 where means are far from zero."""
    return Clouds(gathered(one_BE.float()).double(), gathered(other_BE.float()).double(), gathered(weight_B).double())


def covariance(one_GE: Tensor, other_GE: Tensor, weight_G: Tensor) -> Tensor:
    """Σ w (x - x̄)(y - ȳ)ᵀ / (Σ w - 1), EE; zeros where a single sample counts."""
    total = weight_G.sum()
    weight_G1 = weight_G[:, None]
    one_GE, other_GE = (each_GE - (weight_G1 * each_GE).sum(0) / total.clamp(min=1) for each_GE in (one_GE, other_GE))
    return (weight_G1 * one_GE).T @ other_GE / (total - 1).clamp(min=1)


def shared(value: Tensor, weight_B: Tensor) -> WeightedSum:
    """A number of the whole batch as this rank's part of the sum: all ranks' parts over all ranks' weights are the number again."""
    weight = weight_B.sum()
    return WeightedSum(value.to(weight.dtype) * weight, weight)
