"""Trunk of recurrent layers. Must not import ray or mlflow.

Shape suffixes: B samples, T tokens, D width.
"""

from __future__ import annotations

from torch import nn

from tasks.models.encoders.recurrent import Recurrent
from tasks.models.tokens import Tokens
from tasks.models.trunks.config import RnnTrunkConfig


class Rnn(nn.Module):
    """GRU or LSTM over the valid tokens, in their order. Gives its states, normed; valid ones come first."""

    def __init__(self, config: RnnTrunkConfig, width: int) -> None:
        super().__init__()
        cell = nn.LSTM if config.cell == "lstm" else nn.GRU
        self.recurrent = Recurrent(cell, width, config.layers, config.bidirectional, config.dropout)
        self.norm = nn.LayerNorm(width)

    def forward(self, tokens: Tokens) -> Tokens:
        values_BTD, mask_BT = tokens.packed()
        return Tokens(self.norm(self.recurrent(values_BTD, mask_BT)), mask_BT)
