"""Video to tokens by convolutions over time and space. Must not import ray or mlflow.

Shape suffixes: B samples, T frames, C channels, H height, W width, P places of a frame, D width.
"""

from __future__ import annotations

from collections.abc import Mapping
from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from tasks.models.encoders.config_video import Cnn3dConfig
from tasks.models.encoders.steps import positions_TD
from tasks.models.tokens import Tokens, need, valid_BT


class Cnn3d(nn.Module):
    """Frames of padding are zero before every convolution; layer norm over channels, so that they are in no mean."""

    def __init__(self, config: Cnn3dConfig, shape: Mapping[str, int], width: int) -> None:
        super().__init__()
        _, channels, height, width_px = need(shape, ("frames", "channels", "height", "width"), config.kind)
        self.strides = [2 if len(config.channels) - place <= config.halve_time else 1 for place in range(len(config.channels))]
        self.convolutions = nn.ModuleList(
            nn.Conv3d(before, after, 3, stride=(stride, 2, 2), padding=1)
            for (before, after), stride in zip(pairwise((channels, *config.channels)), self.strides, strict=True)
        )
        self.norms = nn.ModuleList(nn.LayerNorm(after) for after in config.channels)
        factor = 2 ** len(config.channels)
        self.grid = (min(config.grid, -(-height // factor)), min(config.grid, -(-width_px // factor)))
        self.project = nn.Linear(config.channels[-1], width)
        self.place_PD = nn.Parameter(torch.randn(self.grid[0] * self.grid[1], width) * 0.02)
        self.norm = nn.LayerNorm(width)
        self.dropout = nn.Dropout(config.dropout)

    def forward(self, video_BTCHW: Tensor, lengths_B: Tensor | None = None) -> Tokens:
        mask_BT = valid_BT(lengths_B, video_BTCHW)
        map_BCTHW = video_BTCHW.transpose(1, 2)
        for stride, convolve, norm in zip(self.strides, self.convolutions, self.norms, strict=True):
            map_BCTHW = convolve(torch.where(mask_BT[:, None, :, None, None], map_BCTHW, 0.0))
            map_BCTHW = F.gelu(norm(map_BCTHW.movedim(1, -1))).movedim(-1, 1)
            mask_BT = mask_BT[:, ::stride]
        map_BTCHW = map_BCTHW.transpose(1, 2)
        if map_BTCHW.shape[-2:] != self.grid:
            map_BTCHW = F.adaptive_avg_pool2d(map_BTCHW.flatten(0, 1), self.grid).unflatten(0, mask_BT.shape)
        values_BTPD = self.project(map_BTCHW.flatten(3).transpose(2, 3)) + self.place_PD
        values_BTPD = values_BTPD + positions_TD(values_BTPD[:, :, 0])[:, None]
        places = values_BTPD.shape[2]
        return Tokens(self.dropout(self.norm(values_BTPD.flatten(1, 2))), mask_BT.repeat_interleave(places, 1))
