"""Fusion by concatenation of one pooled vector for each modality. Must not import ray or mlflow.

Shape suffixes: B samples, M modalities, T tokens, D width.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor, nn

from tasks.models.blocks import weighted_mean_BD
from tasks.models.fusions.config import ConcatConfig
from tasks.models.tokens import Tokens, single


class Concat(nn.Module):
    """Pools by learned weights, then mixes the modalities in one layer. Gives one token.

    A missing modality takes part by its learned token.
    """

    def __init__(self, config: ConcatConfig, modalities: tuple[str, ...], width: int) -> None:
        super().__init__()
        self.modalities = modalities
        self.scores = nn.ModuleList(nn.Linear(width, config.num_heads, bias=False) for _ in modalities)
        self.mix = nn.Sequential(nn.Linear(width * len(modalities), width), nn.GELU(), nn.LayerNorm(width), nn.Dropout(config.dropout))

    def forward(self, tokens: Mapping[str, Tokens], present_BM: Tensor) -> Tokens:  # noqa: ARG002 - the call of every fusion
        given = [tokens[modality] for modality in self.modalities]
        pooled = [weighted_mean_BD(each, score(each.values_BTD)) for each, score in zip(given, self.scores, strict=True)]
        fused_BD = self.mix(torch.cat(pooled, -1))
        return single(fused_BD)
