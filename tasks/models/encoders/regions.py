"""Regions of a picture to a token each. Must not import ray or mlflow.

Shape suffixes: B samples, C channels, H height, W width, T regions, D width.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor, nn
from torchvision.ops import roi_align

from tasks.models.encoders.cnn import Stages
from tasks.models.encoders.config_image import RegionsConfig
from tasks.models.encoders.grid import all_valid
from tasks.models.tokens import Tokens, need

Box = tuple[float, float, float, float]


class Regions(nn.Module):
    """What a box shows and where it lies. The boxes are those of the config, the same for every picture."""

    boxes_T4: Tensor
    """Left, top, right, bottom as fractions of the picture."""
    sides_4: Tensor
    """Width, height, width, height of the last map."""

    def __init__(self, config: RegionsConfig, shape: Mapping[str, int], width: int) -> None:
        super().__init__()
        channels, height, width_px = need(shape, ("channels", "height", "width"), config.kind)
        self.bins = config.bins
        self.stages = Stages(config.kind, config.channels, channels, (height, width_px))
        self.register_buffer("boxes_T4", torch.tensor(config.boxes or overlapping(config.grid)))
        self.register_buffer("sides_4", torch.tensor([*self.stages.sides[::-1]] * 2, dtype=torch.float32), persistent=False)
        self.project = nn.Linear(config.channels[-1] * config.bins**2, width)
        self.place = nn.Linear(4, width)
        self.norm = nn.LayerNorm(width)
        self.dropout = nn.Dropout(config.dropout)

    def forward(self, image_BCHW: Tensor, lengths_B: Tensor | None = None) -> Tokens:  # noqa: ARG002 - the call of every encoder
        map_BCHW = self.stages(image_BCHW)
        samples, count = map_BCHW.shape[0], self.boxes_T4.shape[0]
        boxes_T4 = self.boxes_T4 * self.sides_4
        sample_B1 = torch.arange(samples, device=map_BCHW.device, dtype=boxes_T4.dtype).repeat_interleave(count)[:, None]
        boxes_B5 = torch.cat([sample_B1, boxes_T4.repeat(samples, 1)], 1)  # a box of sample 0, …, of sample 1, …
        exact = torch.promote_types(map_BCHW.dtype, torch.float32)  # bfloat16 counts samples to 256 alone
        pooled = roi_align(map_BCHW.to(exact), boxes_B5.to(exact), self.bins, aligned=True).to(map_BCHW.dtype)
        values_BTD = self.project(pooled.flatten(1)).unflatten(0, (samples, count))
        return all_valid(self.dropout(self.norm(values_BTD + self.place(self.boxes_T4))))


def overlapping(grid: int) -> list[Box]:
    """grid by grid boxes, row by row, each twice its cell and cut off at the picture's edge."""
    spans = [(max(0.0, (place - 0.5) / grid), min(1.0, (place + 1.5) / grid)) for place in range(grid)]
    return [(left, top, right, bottom) for top, bottom in spans for left, right in spans]
