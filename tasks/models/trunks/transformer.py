"""Trunk of Transformer layers. Must not import ray or mlflow.

Shape suffixes: B samples, T tokens, D width.
"""

from __future__ import annotations

from torch import nn

from tasks.models.blocks import TransformerBlock
from tasks.models.tokens import Tokens
from tasks.models.trunks.config import TransformerTrunkConfig


class Transformer(nn.Module):
    """Every valid token attends to every other. Where a token stands is told by the encoders' and the fusion's marks alone."""

    def __init__(self, config: TransformerTrunkConfig, width: int) -> None:
        super().__init__()
        self.blocks = nn.ModuleList(
            TransformerBlock(width, config.num_heads, config.dropout, config.expansion) for _ in range(config.layers)
        )
        self.norm = nn.LayerNorm(width)

    def forward(self, tokens: Tokens) -> Tokens:
        values_BTD = tokens.values_BTD
        for block in self.blocks:
            values_BTD = block(values_BTD, tokens.mask_BT)
        return Tokens(self.norm(values_BTD), tokens.mask_BT)
