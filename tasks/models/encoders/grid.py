"""The last map of a picture's convolutions to tokens, row by row. Must not import ray or mlflow.

Shape suffixes: B samples, C channels, H height, W width, T tokens, D width.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from tasks.models.tokens import Tokens


class Grid(nn.Module):
    """Each place of the map is a token that knows where it lies; a map larger than `grid` is averaged down."""

    def __init__(self, channels: int, sides: tuple[int, int], grid: int, width: int, dropout: float) -> None:
        super().__init__()
        self.grid = (min(grid, sides[0]), min(grid, sides[1]))
        self.project = nn.Linear(channels, width)
        self.position_TD = nn.Parameter(torch.randn(self.grid[0] * self.grid[1], width) * 0.02)
        self.norm = nn.LayerNorm(width)
        self.dropout = nn.Dropout(dropout)

    def forward(self, map_BCHW: Tensor) -> Tokens:
        if map_BCHW.shape[-2:] != self.grid:
            map_BCHW = F.adaptive_avg_pool2d(map_BCHW, self.grid)
        return all_valid(self.dropout(self.norm(self.project(map_BCHW.flatten(2).transpose(1, 2)) + self.position_TD)))


def all_valid(values_BTD: Tensor) -> Tokens:
    """Tokens of a medium that has no padding."""
    return Tokens(values_BTD, torch.ones(values_BTD.shape[:2], dtype=torch.bool, device=values_BTD.device))


def in_colour(image_BCHW: Tensor) -> Tensor:
    """Three channels: a grey picture is shown in each, so that layers made for colour take it."""
    return image_BCHW if image_BCHW.shape[1] == 3 else image_BCHW[:, :1].expand(-1, 3, -1, -1)
