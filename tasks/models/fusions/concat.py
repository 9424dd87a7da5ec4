"""Fusion by concatenation of one pooled vector for each modality. Must not import ray or mlflow.

Shape suffixes: B samples, M modalities, T tokens, N heads, D width.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor, nn

from tasks.models.fusions.config import ConcatConfig
from tasks.models.tokens import Tokens


class Concat(nn.Module):
    """Pools by learned weights, then mixes the modalities in one layer. Gives one token."""

    def __init__(self, config: ConcatConfig, modalities: tuple[str, ...], width: int) -> None:
        super().__init__()
        self.modalities = modalities
        self.num_heads = config.num_heads
        self.scores = nn.ModuleList(nn.Linear(width, config.num_heads, bias=False) for _ in modalities)
        self.mix = nn.Sequential(nn.Linear(width * len(modalities), width), nn.GELU(), nn.LayerNorm(width), nn.Dropout(config.dropout))

    def forward(self, tokens: Mapping[str, Tokens], present_BM: Tensor) -> Tokens:  # noqa: ARG002 - the call of every fusion
        pooled = [self._pool(*tokens[modality], score) for modality, score in zip(self.modalities, self.scores, strict=True)]
        fused_BD = self.mix(torch.cat(pooled, -1))
        return Tokens(fused_BD[:, None], torch.ones(len(fused_BD), 1, dtype=torch.bool, device=fused_BD.device))

    def _pool(self, values_BTD: Tensor, mask_BT: Tensor, score: nn.Module) -> Tensor:
        weights_BTN: Tensor = score(values_BTD).masked_fill(~mask_BT[..., None], -torch.inf).softmax(1)
        values_BTND = values_BTD.unflatten(-1, (self.num_heads, -1))
        pooled_BD: Tensor = (weights_BTN[..., None] * values_BTND).sum(1).flatten(1)
        return pooled_BD
