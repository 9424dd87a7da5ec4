"""InfoNCE with a learned temperature. Must not import ray or mlflow.

Shape suffixes: B samples of this rank, G samples of all ranks, E numbers of an embedding.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from tasks.models.alignments.config import ContrastiveConfig
from tasks.models.alignments.scale import Scale
from tasks.models.gather import gathered, own_rows
from tasks.models.tokens import WeightedSum


class Contrastive(nn.Module):
    """The mean of both directions' cross-entropy: each sample against all others of the global batch that have both modalities."""

    def __init__(self, config: ContrastiveConfig, dim: int) -> None:  # noqa: ARG002 - the signature of every alignment
        super().__init__()
        self.scale = Scale(1 / config.temperature, config.max_scale)

    def forward(self, one_BE: Tensor, other_BE: Tensor, weight_B: Tensor) -> WeightedSum:
        """Embeddings of any length; similarity is their cosine."""
        one_BE, other_BE = F.normalize(one_BE.float(), dim=-1), F.normalize(other_BE.float(), dim=-1)
        scale = self.scale()
        counts_G = gathered(weight_B) > 0
        rows_B = own_rows(len(weight_B), weight_B.device)
        each_B = torch.zeros_like(weight_B)
        for mine_BE, theirs_BE in ((one_BE, other_BE), (other_BE, one_BE)):
            logits_BG = (scale * mine_BE @ gathered(theirs_BE).T).masked_fill(~counts_G, -torch.inf)
            chosen_BG = torch.where((weight_B > 0)[:, None], logits_BG, 0.0)  # a row without its own pair would be -inf
            each_B = each_B + F.cross_entropy(chosen_BG, rows_B, reduction="none") / 2
        return WeightedSum((each_B * weight_B).sum(), weight_B.sum())
