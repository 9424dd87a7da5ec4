"""Spectral frames (log-mel, MFCC) to tokens: convolutions over time and frequency, LSTM over time. Must not import ray or mlflow.

Shape suffixes: B samples, T frames, later tokens, F features of a frame, C channels, D width.
"""

from __future__ import annotations

from collections.abc import Mapping
from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from tasks.models.encoders.config import CnnLstmConfig
from tasks.models.encoders.recurrent import Recurrent
from tasks.models.tokens import Tokens, need, valid_BT


class CnnLstm(nn.Module):
    """Each convolution halves frames and features; what is left of a frame is one token.

    Padding is set to zero before every convolution, which is also what a convolution sees beyond the end: a padded
    sample and the same sample alone give the same tokens.
    """

    def __init__(self, config: CnnLstmConfig, shape: Mapping[str, int], width: int) -> None:
        super().__init__()
        (features,) = need(shape, ("features",), config.kind)
        planes = (1, *config.channels)
        self.convolutions = nn.ModuleList(nn.Conv2d(before, after, 3, stride=2, padding=1) for before, after in pairwise(planes))
        self.norms = nn.ModuleList(nn.LayerNorm(after) for after in config.channels)
        for _ in config.channels:
            features = _halved(features)
        self.project = nn.Linear(config.channels[-1] * features, width)
        self.dropout = nn.Dropout(config.dropout)
        self.recurrent = Recurrent(nn.LSTM, width, config.layers, config.bidirectional, config.dropout)
        self.norm = nn.LayerNorm(width)

    def forward(self, frames_BTF: Tensor, lengths_B: Tensor | None = None) -> Tokens:
        mask_BT = valid_BT(lengths_B, frames_BTF)
        map_BCTF = frames_BTF[:, None]
        for convolve, norm in zip(self.convolutions, self.norms, strict=True):
            map_BCTF = convolve(torch.where(mask_BT[:, None, :, None], map_BCTF, 0.0))
            map_BCTF = F.gelu(norm(map_BCTF.movedim(1, -1))).movedim(-1, 1)
            mask_BT = mask_BT[:, ::2]
        tokens_BTD = self.dropout(self.project(map_BCTF.transpose(1, 2).flatten(2)))
        return Tokens(self.norm(self.recurrent(tokens_BTD, mask_BT)), mask_BT)


def _halved(count: int) -> int:
    """Positions that a convolution of kernel 3, stride 2 and padding 1 leaves of `count`; the mask's `[::2]` counts the same."""
    return (count + 1) // 2
