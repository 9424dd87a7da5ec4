"""Spectral frames to a token each: convolutions, then a GRU over time. Must not import ray or mlflow.

Shape suffixes: B samples, T frames, F features of a frame, D width.
"""

from __future__ import annotations

from collections.abc import Mapping

from torch import Tensor, nn

from tasks.models.encoders.config_sequence import CrnnConfig
from tasks.models.encoders.recurrent import Recurrent
from tasks.models.encoders.spectral import Spectral
from tasks.models.tokens import Tokens, need, valid_BT


class Crnn(nn.Module):
    """No frame is thinned out, so that a head can say when something sounds."""

    def __init__(self, config: CrnnConfig, shape: Mapping[str, int], width: int) -> None:
        super().__init__()
        (features,) = need(shape, ("features",), config.kind)
        self.spectral = Spectral(features, config.channels, 1, width)
        self.dropout = nn.Dropout(config.dropout)
        self.recurrent = Recurrent(nn.GRU, width, config.layers, config.bidirectional, config.dropout)
        self.norm = nn.LayerNorm(width)

    def forward(self, frames_BTF: Tensor, lengths_B: Tensor | None = None) -> Tokens:
        values_BTD, mask_BT = self.spectral(frames_BTF, valid_BT(lengths_B, frames_BTF))
        return Tokens(self.norm(self.recurrent(self.dropout(values_BTD), mask_BT)), mask_BT)
