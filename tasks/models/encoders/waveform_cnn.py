"""Samples of sound to tokens by strided convolutions. Must not import ray or mlflow.

Shape suffixes: B samples of the batch, T samples of sound, later tokens, C channels, D width.
"""

from __future__ import annotations

from collections.abc import Mapping
from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from tasks.errors import InputError
from tasks.models.encoders.config_sequence import WaveformCnnConfig
from tasks.models.tokens import Tokens, need, valid_BT


class WaveformCnn(nn.Module):
    """Each convolution is as wide as a step to either side, and padding is zero before it."""

    def __init__(self, config: WaveformCnnConfig, shape: Mapping[str, int], width: int) -> None:
        super().__init__()
        (features,) = need(shape, ("features",), config.kind)
        if features != 1:
            raise InputError(
                f"encoder 'waveform_cnn' takes samples of sound, one number a step, given {features} features; "
                "set `features: waveform` in the audio's `read`, or choose an encoder of spectral frames"
            )
        self.strides = config.strides
        self.convolutions = nn.ModuleList(
            nn.Conv1d(before, after, 2 * stride + 1, stride=stride, padding=stride)
            for (before, after), stride in zip(pairwise((1, *config.channels)), config.strides, strict=True)
        )
        self.norms = nn.ModuleList(nn.LayerNorm(after) for after in config.channels)
        self.project = nn.Linear(config.channels[-1], width)
        self.norm = nn.LayerNorm(width)
        self.dropout = nn.Dropout(config.dropout)

    def forward(self, sound: Tensor, lengths_B: Tensor | None = None) -> Tokens:
        """`sound`: BT1 as the reader gives it, or BT."""
        mask_BT = valid_BT(lengths_B, sound)
        map_BCT = sound.flatten(1)[:, None]
        for stride, convolve, norm in zip(self.strides, self.convolutions, self.norms, strict=True):
            map_BCT = convolve(torch.where(mask_BT[:, None], map_BCT, 0.0))
            map_BCT = F.gelu(norm(map_BCT.transpose(1, 2))).transpose(1, 2)
            mask_BT = mask_BT[:, ::stride]
        return Tokens(self.dropout(self.norm(self.project(map_BCT.transpose(1, 2)))), mask_BT)
