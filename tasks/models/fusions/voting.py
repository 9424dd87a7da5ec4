"""Fusion at the level of decisions: one vote for each modality. Must not import ray or mlflow.

Shape suffixes: B samples, M modalities, D width.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor, nn

from tasks.models.blocks import Pool
from tasks.models.fusions.config import VotingConfig
from tasks.models.fusions.weighted import shares_BM
from tasks.models.tokens import Tokens, present_or_all_BM


class Voting(nn.Module):
    """Each modality by itself becomes one token, through a layer of its own: its vote. Gives one token a modality.

    A head is linear and takes the mean over tokens, so what it says is the mean of what it says of each vote alone, and its matrix times
    a modality's layer is that modality's own head. Logits are averaged, which multiplies the probabilities of the voters (a logarithmic
    opinion pool), and so are numbers. With `weighted`, votes are scaled so that the mean counts them by the softmax of one learned number
    each. A missing modality has no vote.
    """

    def __init__(self, config: VotingConfig, modalities: tuple[str, ...], width: int) -> None:
        super().__init__()
        self.modalities = modalities
        self.pool = Pool(len(modalities), width, config.num_heads)
        self.layers = nn.ModuleList(nn.Sequential(nn.LayerNorm(width), nn.Linear(width, width)) for _ in modalities)
        self.weight_M = nn.Parameter(torch.zeros(len(modalities))) if config.weighted else None
        self.dropout = nn.Dropout(config.dropout)

    def forward(self, tokens: Mapping[str, Tokens], present_BM: Tensor) -> Tokens:
        pooled_BMD = self.pool([tokens[modality] for modality in self.modalities])
        vote_BMD = torch.stack([layer(self.dropout(pooled_BMD[:, place])) for place, layer in enumerate(self.layers)], 1)
        voters_BM = present_or_all_BM(present_BM)
        if self.weight_M is not None:
            scale_BM = shares_BM(self.weight_M, present_BM) * voters_BM.sum(1, keepdim=True)
            vote_BMD = vote_BMD * scale_BM[..., None].to(vote_BMD.dtype)
        return Tokens(vote_BMD, voters_BM).masked()
