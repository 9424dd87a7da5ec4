"""Fusion that hands all tokens on as one sequence. Must not import ray or mlflow.

Shape suffixes: B samples, M modalities, T tokens, D width.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor, nn

from tasks.models.fusions.config import SequenceConfig
from tasks.models.tokens import Tokens


class Sequence(nn.Module):
    """The tokens of each modality, marked by it, one modality after the other: the trunk fuses them. Gives all tokens.

    A missing modality takes part by its learned token.
    """

    def __init__(self, config: SequenceConfig, modalities: tuple[str, ...], width: int) -> None:
        super().__init__()
        self.modalities = modalities
        self.modality_MD = nn.Parameter(torch.randn(len(modalities), width) * 0.02)
        self.dropout = nn.Dropout(config.dropout)

    def forward(self, tokens: Mapping[str, Tokens], present_BM: Tensor) -> Tokens:  # noqa: ARG002 - the call of every fusion
        values_BTD = torch.cat([tokens[modality].values_BTD + self.modality_MD[place] for place, modality in enumerate(self.modalities)], 1)
        mask_BT = torch.cat([tokens[modality].mask_BT for modality in self.modalities], 1)
        return Tokens(self.dropout(values_BTD), mask_BT).masked()
