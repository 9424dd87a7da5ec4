"""Fusion by feature-wise modulation: FiLM (arXiv:1709.07871). Must not import ray or mlflow.

Shape suffixes: B samples, T tokens, D width.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor, nn

from tasks.models.blocks import Pool
from tasks.models.fusions.config import FilmConfig
from tasks.models.tokens import Tokens


class Film(nn.Module):
    """One modality, pooled, scales and shifts the features of the others: `(1 + γₘ) ⊙ x + βₘ`. Gives the tokens of the others.

    A missing modality takes part by its learned token, whether it conditions or is conditioned.
    """

    def __init__(self, config: FilmConfig, modalities: tuple[str, ...], width: int) -> None:
        super().__init__()
        self.by = config.by or modalities[0]
        self.others = tuple(modality for modality in modalities if modality != self.by)
        self.pool = Pool(1, width, config.num_heads)
        self.modulations = nn.ModuleList(nn.Linear(width, 2 * width) for _ in self.others)
        self.dropout = nn.Dropout(config.dropout)

    def forward(self, tokens: Mapping[str, Tokens], present_BM: Tensor) -> Tokens:  # noqa: ARG002 - the call of every fusion
        condition_BD = self.pool([tokens[self.by]])[:, 0]
        changed = []
        for modality, modulation in zip(self.others, self.modulations, strict=True):
            scale_B1D, shift_B1D = modulation(condition_BD)[:, None].chunk(2, -1)
            changed.append((1 + scale_B1D) * tokens[modality].values_BTD + shift_B1D)
        mask_BT = torch.cat([tokens[modality].mask_BT for modality in self.others], 1)
        return Tokens(self.dropout(torch.cat(changed, 1)), mask_BT).masked()
