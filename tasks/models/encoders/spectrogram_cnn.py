"""Spectral frames to tokens by convolutions alone. Must not import ray or mlflow.

Shape suffixes: B samples, T frames, later tokens, F features of a frame, D width.
"""

from __future__ import annotations

from collections.abc import Mapping

from torch import Tensor, nn

from tasks.models.encoders.config_sequence import SpectrogramCnnConfig
from tasks.models.encoders.spectral import Spectral
from tasks.models.tokens import Tokens, need, valid_BT


class SpectrogramCnn(nn.Module):
    """A token tells of the few frames around it; how they follow each other is left to the fusion."""

    def __init__(self, config: SpectrogramCnnConfig, shape: Mapping[str, int], width: int) -> None:
        super().__init__()
        (features,) = need(shape, ("features",), config.kind)
        self.spectral = Spectral(features, config.channels, 2, width)
        self.norm = nn.LayerNorm(width)
        self.dropout = nn.Dropout(config.dropout)

    def forward(self, frames_BTF: Tensor, lengths_B: Tensor | None = None) -> Tokens:
        tokens_BTD, mask_BT = self.spectral(frames_BTF, valid_BT(lengths_B, frames_BTF))
        return Tokens(self.dropout(self.norm(tokens_BTD)), mask_BT)
