"""Maximum mean discrepancy of two clouds. Must not import ray or mlflow.

Shape suffixes: B samples of this rank, G samples of all ranks, E numbers of an embedding, Z = 2 G: both clouds behind each other.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from tasks.models.alignments.config import MmdConfig
from tasks.models.alignments.moments import clouds, shared
from tasks.models.tokens import WeightedSum


class Mmd(nn.Module):
    """mean k(x, x') + mean k(y, y') - 2 mean k(x, y), where k is the mean over bandwidths s of exp(-‖·‖² / 2 s²)."""

    def __init__(self, config: MmdConfig, dim: int) -> None:  # noqa: ARG002 - the signature of every alignment
        super().__init__()
        self.bandwidths, self.by_median, self.unbiased = config.bandwidths, config.unit == "median", config.estimate == "unbiased"

    def forward(self, one_BE: Tensor, other_BE: Tensor, weight_B: Tensor) -> WeightedSum:
        """Embeddings as they are, of any length."""
        one_GE, other_GE, weight_G = clouds(one_BE, other_BE, weight_B)
        weight_Z = torch.cat([weight_G, weight_G])
        squared_ZZ = _squared_ZZ(torch.cat([one_GE, other_GE]))
        unit = median_squared(squared_ZZ.detach(), weight_Z > 0) if self.by_median else 1.0
        kernel_ZZ = torch.stack([torch.exp(-squared_ZZ / (2 * width**2 * unit)) for width in self.bandwidths]).mean(0)
        pairs_GG = weight_G[:, None] * weight_G
        size = len(weight_G)
        within_GG = pairs_GG.clone().fill_diagonal_(0) if self.unbiased else pairs_GG
        ones, others, mixed = kernel_ZZ[:size, :size], kernel_ZZ[size:, size:], kernel_ZZ[:size, size:]
        value = _mean(ones, within_GG) + _mean(others, within_GG) - 2 * _mean(mixed, pairs_GG)
        return shared(torch.where(within_GG.sum() > 0, value, 0.0), weight_B)


def median_squared(squared_ZZ: Tensor, counts_Z: Tensor) -> Tensor:
    """The median of the squared distances between two different rows that count; 1 when there are none or they are all the same."""
    chosen = squared_ZZ[torch.triu(counts_Z[:, None] & counts_Z, diagonal=1)]
    median = chosen.median() if len(chosen) else torch.zeros((), dtype=squared_ZZ.dtype, device=squared_ZZ.device)
    return torch.where(median > 0, median, 1.0)


def _squared_ZZ(rows_ZE: Tensor) -> Tensor:
    """Squared distances, in float64 exact enough without their differences: ‖x‖² + ‖y‖² - 2 x·y."""
    rows_ZE = rows_ZE - rows_ZE.detach().mean(0)
    norms_Z = rows_ZE.square().sum(1)
    return (norms_Z[:, None] + norms_Z - 2 * rows_ZE @ rows_ZE.T).clamp(min=0)


def _mean(kernel_GG: Tensor, weight_GG: Tensor) -> Tensor:
    total = weight_GG.sum()
    return (kernel_GG * weight_GG).sum() / torch.where(total > 0, total, 1.0)
