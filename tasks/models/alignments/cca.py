"""Deep canonical correlation analysis. Must not import ray or mlflow.

Shape suffixes: B samples, E numbers of an embedding.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from tasks.models.alignments.canonical import CanonicalSpace
from tasks.models.alignments.config import CcaConfig
from tasks.models.alignments.moments import clouds, covariance, shared
from tasks.models.tokens import WeightedSum


class Cca(nn.Module):
    """Minus the sum of the canonical correlations over the global batch."""

    def __init__(self, config: CcaConfig, dim: int) -> None:
        super().__init__()
        self.config, self.dim = config, dim

    def forward(self, one_BE: Tensor, other_BE: Tensor, weight_B: Tensor) -> WeightedSum:
        """Embeddings as they are: any invertible map of either changes nothing but for the ridge."""
        one_GE, other_GE, weight_G = clouds(one_BE, other_BE, weight_B)
        whole_EE = covariance(one_GE, other_GE, weight_G)
        own = [covariance(each_GE, each_GE, weight_G) for each_GE in (one_GE, other_GE)]
        correlations_E = torch.linalg.svdvals(whitened(whole_EE, *(with_ridge(each_EE, self.config.ridge) for each_EE in own)))
        return shared(-correlations_E[: self.config.components].sum(), weight_B)

    def space(self, modalities: Sequence[str]) -> CanonicalSpace:
        """Where embeddings are compared: the loss is the same in whatever coordinates."""
        return CanonicalSpace(modalities, self.dim, self.config.ridge, self.config.memory)


def with_ridge(covariance_EE: Tensor, ridge: float) -> Tensor:
    return covariance_EE + ridge * torch.eye(len(covariance_EE), dtype=covariance_EE.dtype, device=covariance_EE.device)


def whitened(across_EE: Tensor, one_EE: Tensor, other_EE: Tensor) -> Tensor:
    """L₁⁻¹ C₁₂ L₂⁻ᵀ with C = L Lᵀ: its singular values are the canonical correlations.

    Cholesky's factors in place of C^-½, from which they differ by a rotation only: their gradient divides by no difference of
    eigenvalues, and neither does that of singular values alone.
    """
    half_EE = torch.linalg.solve_triangular(torch.linalg.cholesky(one_EE), across_EE, upper=False)
    whole_EE: Tensor = torch.linalg.solve_triangular(torch.linalg.cholesky(other_EE), half_EE.mT, upper=False).mT
    return whole_EE
