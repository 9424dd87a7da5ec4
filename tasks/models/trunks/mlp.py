"""Trunk of residual feed-forward layers. Must not import ray or mlflow.

Shape suffixes: B samples, T tokens, D width.
"""

from __future__ import annotations

from torch import nn

from tasks.models.blocks import FeedForward
from tasks.models.tokens import Tokens
from tasks.models.trunks.config import MlpConfig


class Mlp(nn.Module):
    """The same layers on every fused token."""

    def __init__(self, config: MlpConfig, width: int) -> None:
        super().__init__()
        self.layers = nn.Sequential(*(FeedForward(width, config.dropout, config.expansion) for _ in range(config.layers)))

    def forward(self, tokens: Tokens) -> Tokens:
        return Tokens(self.layers(tokens.values_BTD), tokens.mask_BT)
