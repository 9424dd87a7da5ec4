"""The coordinates in which modalities that CCA aligned can be compared. Must not import ray or mlflow.

Two modalities: the canonical directions of both. More: the eigenvectors of their joint covariance with each modality whitened (MAXVAR of
Kettenring 1971), which for two are the canonical ones. A coordinate is scaled by the root of its correlation: then an embedding is the mean
of what the modalities share, given this one (Bach & Jordan 2005).

Shape suffixes: B samples, G samples of all ranks, M modalities, E numbers of an embedding, F = M · E.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from tasks.models.gather import gathered


class CanonicalSpace(nn.Module):
    """Learns from running moments in float64, a pair of modalities at a time: of the samples that have both."""

    weight_MM: Tensor
    first_MME: Tensor
    """Σ of the first of a pair."""
    second_MMEE: Tensor

    def __init__(self, modalities: Sequence[str], dim: int, ridge: float, memory: float) -> None:
        super().__init__()
        self.ridge, self.memory = ridge, memory
        count = len(modalities)
        self.register_buffer("weight_MM", torch.zeros(count, count, dtype=torch.float64))
        self.register_buffer("first_MME", torch.zeros(count, count, dim, dtype=torch.float64))
        self.register_buffer("second_MMEE", torch.zeros(count, count, dim, dim, dtype=torch.float64))

    @torch.no_grad()
    def learn(self, values_BME: Tensor, counts_BM: Tensor) -> None:
        """Take in a batch, of all ranks. `counts_BM`: weight of a sample where it has the modality, else 0."""
        values_GME, counts_GM = gathered(values_BME.detach().float()).double(), gathered(counts_BM).double()
        own_GMM = counts_GM[:, :, None] * (counts_GM[:, None] > 0)
        for moment, found in (
            (self.weight_MM, own_GMM.sum(0)),
            (self.first_MME, torch.einsum("gmn,gme->mne", own_GMM, values_GME)),
            (self.second_MMEE, torch.einsum("gmn,gme,gnf->mnef", own_GMM, values_GME, values_GME)),
        ):
            moment.mul_(self.memory).add_(found, alpha=1 - self.memory)

    def forward(self, values_BME: Tensor) -> Tensor:
        """The same embeddings in shared coordinates, float32 BME."""
        mean_ME, map_MEE, _ = self.coordinates()
        return torch.einsum("bme,mef->bmf", values_BME.double() - mean_ME, map_MEE).float()

    def coordinates(self) -> tuple[Tensor, Tensor, Tensor]:
        """Means ME, maps MEE from centred embeddings to coordinates, and the correlation of each coordinate, E, from high to low."""
        total_MM = self.weight_MM.clamp(min=1e-12)
        mean_MME = self.first_MME / total_MM[..., None]
        covariance_MMEE = self.second_MMEE / total_MM[..., None, None] - mean_MME[..., None] * mean_MME.transpose(0, 1)[..., None, :]
        count, _, dim, _ = covariance_MMEE.shape
        own_ME = torch.arange(count, device=total_MM.device)
        ridge_EE = self.ridge * torch.eye(dim, dtype=total_MM.dtype, device=total_MM.device)
        whiten_MEE = torch.linalg.inv(torch.linalg.cholesky(covariance_MMEE[own_ME, own_ME] + ridge_EE))
        joint_MMEE = torch.einsum("mab,mnbc,ndc->mnad", whiten_MEE, covariance_MMEE, whiten_MEE)
        joint_MMEE[own_ME, own_ME] = torch.eye(dim, dtype=total_MM.dtype, device=total_MM.device)
        joint_FF = joint_MMEE.transpose(1, 2).reshape(count * dim, count * dim)
        values_F, vectors_FF = torch.linalg.eigh((joint_FF + joint_FF.T) / 2)
        correlation_E = ((values_F.flip(0)[:dim] - 1) / max(1, count - 1)).clamp(0, 1)
        directions_MEE = vectors_FF.flip(1)[:, :dim].reshape(count, dim, dim) * count**0.5
        map_MEE = torch.einsum("mba,mbc->mac", whiten_MEE, directions_MEE) * correlation_E.sqrt()
        return mean_MME[own_ME, own_ME], map_MEE, correlation_E
