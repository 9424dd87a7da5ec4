"""The sigmoid loss of SigLIP. Must not import ray or mlflow.

Shape suffixes: B samples of this rank, G samples of all ranks, E numbers of an embedding.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from tasks.models.alignments.config import SiglipConfig
from tasks.models.alignments.scale import Scale
from tasks.models.gather import gathered, own_rows
from tasks.models.tokens import WeightedSum


class Siglip(nn.Module):
    """Σ over all others of the global batch of -log σ(± (scale · cosine + bias)): plus for the own partner, minus for each other one."""

    def __init__(self, config: SiglipConfig, dim: int) -> None:  # noqa: ARG002 - the signature of every alignment
        super().__init__()
        self.scale = Scale(config.scale, config.max_scale)
        self.bias = nn.Parameter(torch.tensor(config.bias))

    def forward(self, one_BE: Tensor, other_BE: Tensor, weight_B: Tensor) -> WeightedSum:
        """Embeddings of any length; similarity is their cosine."""
        one_BE, other_BE = F.normalize(one_BE.float(), dim=-1), F.normalize(other_BE.float(), dim=-1)
        logits_BG = self.scale() * one_BE @ gathered(other_BE).T + self.bias
        counts_G = gathered(weight_B) > 0
        own_BG = torch.zeros_like(logits_BG).scatter(1, own_rows(len(weight_B), weight_B.device)[:, None], 2.0) - 1
        each_BG = -F.logsigmoid(own_BG * logits_BG)
        return WeightedSum((torch.where(counts_G, each_BG, 0.0).sum(1) * weight_B).sum(), weight_B.sum())
