"""Fusion by gates: the gated multimodal unit (arXiv:1702.01992). Must not import ray or mlflow.

Shape suffixes: B samples, M modalities, D width.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor, nn

from tasks.models.blocks import Pool
from tasks.models.fusions.config import GatedConfig
from tasks.models.tokens import Tokens, single


class Gated(nn.Module):
    """`Σ σ(Zₘ [x₁, …, x_M]) ⊙ tanh(Wₘ xₘ)`: every modality says how much of each feature counts. Gives one token.

    A missing modality takes part by its learned token, so that the gates know what is missing.
    """

    def __init__(self, config: GatedConfig, modalities: tuple[str, ...], width: int) -> None:
        super().__init__()
        self.modalities = modalities
        self.pool = Pool(len(modalities), width, config.num_heads)
        self.states = nn.ModuleList(nn.Linear(width, width) for _ in modalities)
        self.gates = nn.Linear(len(modalities) * width, len(modalities) * width)
        self.dropout = nn.Dropout(config.dropout)

    def forward(self, tokens: Mapping[str, Tokens], present_BM: Tensor) -> Tokens:  # noqa: ARG002 - the call of every fusion
        pooled_BMD = self.pool([tokens[modality] for modality in self.modalities])
        state_BMD = torch.stack([state(pooled_BMD[:, place]) for place, state in enumerate(self.states)], 1).tanh()
        gate_BMD = self.gates(pooled_BMD.flatten(1)).unflatten(1, (len(self.modalities), -1)).sigmoid()
        return single(self.dropout((gate_BMD * state_BMD).sum(1)))
