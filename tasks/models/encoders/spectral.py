"""Spectral frames to vectors by convolutions over time and frequency that never look at padding. Must not import ray or mlflow.

Shape suffixes: B samples, T frames, F features of a frame, C channels, D width.
"""

from __future__ import annotations

from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.nn import functional as F


class Spectral(nn.Module):
    """Each convolution steps by 2 over features and by `time_stride` over frames; what is left of a frame is projected.

    Padding is zero before every convolution, which is also what a convolution sees beyond the end. Layer norm over channels, not batch
    or group norm: neither another sample nor padding is in its mean.
    """

    def __init__(self, features: int, channels: tuple[int, ...], time_stride: int, width: int) -> None:
        super().__init__()
        self.time_stride = time_stride
        self.convolutions = nn.ModuleList(
            nn.Conv2d(before, after, 3, stride=(time_stride, 2), padding=1) for before, after in pairwise((1, *channels))
        )
        self.norms = nn.ModuleList(nn.LayerNorm(after) for after in channels)
        for _ in channels:
            features = -(-features // 2)
        self.project = nn.Linear(channels[-1] * features, width)

    def forward(self, frames_BTF: Tensor, mask_BT: Tensor) -> tuple[Tensor, Tensor]:
        """Vectors BTD and their mask."""
        map_BCTF = frames_BTF[:, None]
        for convolve, norm in zip(self.convolutions, self.norms, strict=True):
            map_BCTF = convolve(torch.where(mask_BT[:, None, :, None], map_BCTF, 0.0))
            map_BCTF = F.gelu(norm(map_BCTF.movedim(1, -1))).movedim(-1, 1)
            mask_BT = mask_BT[:, :: self.time_stride]
        return self.project(map_BCTF.transpose(1, 2).flatten(2)), mask_BT
