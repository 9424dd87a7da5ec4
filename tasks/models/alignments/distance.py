"""The distance of partners. Must not import ray or mlflow.

Shape suffixes: B samples, E numbers of an embedding.
"""

from __future__ import annotations

from torch import Tensor, nn
from torch.nn import functional as F

from tasks.models.alignments.config import DistanceConfig
from tasks.models.tokens import WeightedSum


class Distance(nn.Module):
    """‖x - y‖² of unit vectors, which is 2 - 2 cosine."""

    def __init__(self, config: DistanceConfig, dim: int) -> None:  # noqa: ARG002 - the signature of every alignment
        super().__init__()

    def forward(self, one_BE: Tensor, other_BE: Tensor, weight_B: Tensor) -> WeightedSum:
        """Embeddings of any length."""
        each_B = 2 - 2 * F.cosine_similarity(one_BE.float(), other_BE.float(), dim=-1)
        return WeightedSum((each_B * weight_B).sum(), weight_B.sum())
