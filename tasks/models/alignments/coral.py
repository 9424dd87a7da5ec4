"""Correlation alignment of two clouds. Must not import ray or mlflow.

Shape suffixes: B samples, E numbers of an embedding.
"""

from __future__ import annotations

from torch import Tensor, nn

from tasks.models.alignments.config import CoralConfig
from tasks.models.alignments.moments import clouds, covariance, shared
from tasks.models.tokens import WeightedSum


class Coral(nn.Module):
    """‖C₁ - C₂‖² / 4 d², Frobenius, of the covariances over the global batch."""

    def __init__(self, config: CoralConfig, dim: int) -> None:  # noqa: ARG002 - the signature of every alignment
        super().__init__()

    def forward(self, one_BE: Tensor, other_BE: Tensor, weight_B: Tensor) -> WeightedSum:
        one_GE, other_GE, weight_G = clouds(one_BE, other_BE, weight_B)
        apart_EE = covariance(one_GE, one_GE, weight_G) - covariance(other_GE, other_GE, weight_G)
        return shared(apart_EE.square().mean() / 4, weight_B)
