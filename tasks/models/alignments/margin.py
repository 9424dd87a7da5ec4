"""A hinge between the own partner and the others of the batch. Must not import ray or mlflow.

Shape suffixes: B samples of this rank, G samples of all ranks, E numbers of an embedding.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from tasks.models.alignments.config import MarginConfig
from tasks.models.gather import gathered, own_rows
from tasks.models.tokens import WeightedSum


class Margin(nn.Module):
    """max(0, margin + cosine of another - cosine of the own partner), the sum of both directions."""

    def __init__(self, config: MarginConfig, dim: int) -> None:  # noqa: ARG002 - the signature of every alignment
        super().__init__()
        self.margin, self.hardest = config.margin, config.others == "hardest"

    def forward(self, one_BE: Tensor, other_BE: Tensor, weight_B: Tensor) -> WeightedSum:
        """Embeddings of any length; similarity is their cosine. A sample without any other costs nothing."""
        one_BE, other_BE = F.normalize(one_BE.float(), dim=-1), F.normalize(other_BE.float(), dim=-1)
        own_B = (one_BE * other_BE).sum(-1)
        rows_B = own_rows(len(weight_B), weight_B.device)
        counts_G = gathered(weight_B) > 0
        other_BG = counts_G & (torch.arange(len(counts_G), device=weight_B.device) != rows_B[:, None])
        each_B = torch.zeros_like(weight_B)
        for mine_BE, theirs_BE in ((one_BE, other_BE), (other_BE, one_BE)):
            costs_BG = torch.where(other_BG, (self.margin + mine_BE @ gathered(theirs_BE).T - own_B[:, None]).clamp(min=0), 0.0)
            each_B = each_B + (costs_BG.amax(1) if self.hardest else costs_BG.sum(1) / other_BG.sum(1).clamp(min=1))
        return WeightedSum((each_B * weight_B).sum(), weight_B.sum())
