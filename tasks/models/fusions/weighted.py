"""Fusion by an average with learned weights of the modalities. Must not import ray or mlflow.

Shape suffixes: B samples, M modalities, D width.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor, nn

from tasks.models.blocks import Pool
from tasks.models.fusions.config import WeightedConfig
from tasks.models.tokens import Tokens, present_or_all_BM, single


class Weighted(nn.Module):
    """One pooled vector for each modality, averaged by the softmax of one learned number each. Gives one token.

    The softmax runs over the modalities a sample has: a missing one is left out, and the others share its weight.
    """

    def __init__(self, config: WeightedConfig, modalities: tuple[str, ...], width: int) -> None:
        super().__init__()
        self.modalities = modalities
        self.pool = Pool(len(modalities), width, config.num_heads)
        self.weight_M = nn.Parameter(torch.zeros(len(modalities)))
        self.norm = nn.LayerNorm(width)
        self.dropout = nn.Dropout(config.dropout)

    def forward(self, tokens: Mapping[str, Tokens], present_BM: Tensor) -> Tokens:
        pooled_BMD = self.pool([tokens[modality] for modality in self.modalities])
        share_BM = shares_BM(self.weight_M, present_BM).to(pooled_BMD.dtype)
        return single(self.dropout(self.norm((share_BM[..., None] * pooled_BMD).sum(1))))


def shares_BM(weight_M: Tensor, present_BM: Tensor) -> Tensor:
    """Softmax of `weight_M` over the modalities of each sample; 0 for those it lacks."""
    return weight_M.expand(present_BM.shape).masked_fill(~present_or_all_BM(present_BM), -torch.inf).softmax(1)
