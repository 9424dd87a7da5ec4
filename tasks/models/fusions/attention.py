"""Fusion by self-attention over all tokens. Must not import ray or mlflow.

Shape suffixes: B samples, M modalities, T tokens, D width.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor, nn

from tasks.models.blocks import TransformerBlock
from tasks.models.fusions.config import AttentionConfig
from tasks.models.tokens import Tokens


class Attention(nn.Module):
    """A learned query and every token, marked by its modality, attend to each other. Gives the query's state: one token.

    A missing modality takes part by its learned token.
    """

    def __init__(self, config: AttentionConfig, modalities: tuple[str, ...], width: int) -> None:
        super().__init__()
        self.modalities = modalities
        self.query_D = nn.Parameter(torch.randn(width) * 0.02)
        self.modality_MD = nn.Parameter(torch.randn(len(modalities), width) * 0.02)
        self.blocks = nn.ModuleList(TransformerBlock(width, config.num_heads, config.dropout) for _ in range(config.layers))
        self.norm = nn.LayerNorm(width)

    def forward(self, tokens: Mapping[str, Tokens], present_BM: Tensor) -> Tokens:
        query_B1D = self.query_D.expand(present_BM.shape[0], 1, -1)
        values = [tokens[modality].values_BTD + self.modality_MD[place] for place, modality in enumerate(self.modalities)]
        values_BTD = torch.cat([query_B1D.to(values[0].dtype), *values], 1)
        always_B1 = torch.ones(present_BM.shape[0], 1, dtype=torch.bool, device=values_BTD.device)
        mask_BT = torch.cat([always_B1, *(tokens[modality].mask_BT for modality in self.modalities)], 1)
        for block in self.blocks:
            values_BTD = block(values_BTD, mask_BT)
        return Tokens(self.norm(values_BTD[:, :1]), always_B1)
