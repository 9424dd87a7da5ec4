"""Images to a grid of tokens by convolutions. Must not import ray or mlflow.

Shape suffixes: B samples, C channels, H height, W width, T tokens (row by row over the grid), D width.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from tasks.errors import InputError
from tasks.models.encoders.config import CnnConfig
from tasks.models.tokens import Tokens, need

SMALLEST_SIDE = 4
"""Pixels a halved map keeps along its shorter side."""
GROUP_CHANNELS = 8


class Cnn(nn.Module):
    """Stages of convolution, group norm and GELU; each place of the last map is a token that knows where it lies.

    Group norm, not batch norm: one sample never influences another, and ranks need no exchange.
    """

    def __init__(self, config: CnnConfig, shape: Mapping[str, int], width: int) -> None:
        super().__init__()
        channels, height, width_px = need(shape, ("channels", "height", "width"), config.kind)
        if min(height, width_px) < SMALLEST_SIDE:
            raise InputError(
                f"encoder 'cnn' takes images of {SMALLEST_SIDE} pixels a side and more, given {height} by {width_px}; "
                "raise its `size` in `read`"
            )
        if any(count % GROUP_CHANNELS for count in config.channels):
            raise InputError(f"encoder 'cnn': `channels` are multiples of {GROUP_CHANNELS}, given {list(config.channels)}")
        halvings = int(math.log2(min(height, width_px) / SMALLEST_SIDE))
        strides = [2 if len(config.channels) - place <= halvings else 1 for place in range(len(config.channels))]
        self.stages = nn.Sequential(
            *(
                _stage(before, after, stride)
                for (before, after), stride in zip(pairwise((channels, *config.channels)), strides, strict=True)
            )
        )
        factor = math.prod(strides)
        self.grid = (min(config.grid, -(-height // factor)), min(config.grid, -(-width_px // factor)))
        self.project = nn.Linear(config.channels[-1], width)
        self.position_TD = nn.Parameter(torch.randn(self.grid[0] * self.grid[1], width) * 0.02)
        self.norm = nn.LayerNorm(width)
        self.dropout = nn.Dropout(config.dropout)

    def forward(self, image_BCHW: Tensor, lengths_B: Tensor | None = None) -> Tokens:  # noqa: ARG002 - the call of every encoder
        map_BCHW = self.stages(image_BCHW)
        if map_BCHW.shape[-2:] != self.grid:
            map_BCHW = F.adaptive_avg_pool2d(map_BCHW, self.grid)
        tokens_BTD = self.norm(self.project(map_BCHW.flatten(2).transpose(1, 2)) + self.position_TD)
        return Tokens(self.dropout(tokens_BTD), torch.ones(tokens_BTD.shape[:2], dtype=torch.bool, device=tokens_BTD.device))


def _stage(before: int, after: int, stride: int) -> nn.Module:
    return nn.Sequential(
        nn.Conv2d(before, after, 3, stride=stride, padding=1, bias=False),
        nn.GroupNorm(after // GROUP_CHANNELS, after),
        nn.GELU(),
    )
