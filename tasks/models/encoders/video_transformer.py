"""Video to a token a frame by attention inside frames, then over them. Must not import ray or mlflow.

Shape suffixes: B samples, T frames, C channels, H height, W width, P patches of a frame, D width.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor, nn

from tasks.errors import InputError
from tasks.models.blocks import TransformerBlock
from tasks.models.encoders.config_video import VideoTransformerConfig
from tasks.models.encoders.steps import check_heads, positions_TD, wiped
from tasks.models.tokens import Tokens, need, valid_BT


class VideoTransformer(nn.Module):
    """A frame is the mean of its patches after attention among them. Frames of padding are wiped, and seen by none."""

    def __init__(self, config: VideoTransformerConfig, shape: Mapping[str, int], width: int) -> None:
        super().__init__()
        _, channels, height, width_px = need(shape, ("frames", "channels", "height", "width"), config.kind)
        check_heads(width, config.num_heads, config.kind)
        if height % config.patch or width_px % config.patch:
            raise InputError(
                f"encoder 'video_transformer': patches of {config.patch} pixels do not divide frames of {height} by {width_px}; "
                "change `patch`, or the `size` in `read`"
            )
        self.patches = nn.Conv2d(channels, width, config.patch, stride=config.patch)
        self.place_PD = nn.Parameter(torch.randn(height // config.patch * (width_px // config.patch), width) * 0.02)
        self.dropout = nn.Dropout(config.dropout)
        self.space = nn.ModuleList(TransformerBlock(width, config.num_heads, config.dropout) for _ in range(config.space_layers))
        self.time = nn.ModuleList(TransformerBlock(width, config.num_heads, config.dropout) for _ in range(config.time_layers))
        self.norm = nn.LayerNorm(width)

    def forward(self, video_BTCHW: Tensor, lengths_B: Tensor | None = None) -> Tokens:
        mask_BT = valid_BT(lengths_B, video_BTCHW)
        frames_PD = self.dropout(self.patches(wiped(video_BTCHW, mask_BT).flatten(0, 1)).flatten(2).transpose(1, 2) + self.place_PD)
        everywhere_P = torch.ones(frames_PD.shape[:2], dtype=torch.bool, device=frames_PD.device)
        for block in self.space:
            frames_PD = block(frames_PD, everywhere_P)
        values_BTD = frames_PD.mean(1).unflatten(0, mask_BT.shape)
        values_BTD = values_BTD + positions_TD(values_BTD)
        for block in self.time:
            values_BTD = block(values_BTD, mask_BT)
        return Tokens(self.norm(values_BTD), mask_BT)
