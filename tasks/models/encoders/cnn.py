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
from tasks.models.encoders.config import GROUP_CHANNELS, SMALLEST_SIDE, CnnConfig, too_small
from tasks.models.tokens import Tokens, need


class Cnn(nn.Module):
    """Stages of convolution, norm and GELU; each place of the last map is a token that knows where it lies.

    Group norm unless asked otherwise: one sample never influences another, and ranks need no exchange.
    """

    def __init__(self, config: CnnConfig, shape: Mapping[str, int], width: int) -> None:
        super().__init__()
        channels, height, width_px = need(shape, ("channels", "height", "width"), config.kind)
        self.stages = Stages(config.kind, config.channels, channels, (height, width_px), config.norm)
        self.grid = (min(config.grid, self.stages.sides[0]), min(config.grid, self.stages.sides[1]))
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


class Stages(nn.Sequential):
    """Stages of convolution, norm and GELU; the last ones halve the map while its shorter side stays long enough.

    `channels` are multiples of a group's. Raises InputError when the picture is too small.
    """

    def __init__(self, kind: str, channels: tuple[int, ...], given: int, sides: tuple[int, int], norm: str = "group") -> None:
        if wrong := too_small(kind, *sides):
            raise InputError(wrong)
        halvings = int(math.log2(min(sides) / SMALLEST_SIDE))
        strides = [2 if len(channels) - place <= halvings else 1 for place in range(len(channels))]
        pairs = zip(pairwise((given, *channels)), strides, strict=True)
        super().__init__(*(_stage(before, after, stride, norm) for (before, after), stride in pairs))
        factor = math.prod(strides)
        self.sides = (-(-sides[0] // factor), -(-sides[1] // factor))
        """Height and width of the last map."""


def _stage(before: int, after: int, stride: int, norm: str) -> nn.Module:
    return nn.Sequential(
        nn.Conv2d(before, after, 3, stride=stride, padding=1, bias=False),
        nn.BatchNorm2d(after) if norm == "batch" else nn.GroupNorm(after // GROUP_CHANNELS, after),
        nn.GELU(),
    )
