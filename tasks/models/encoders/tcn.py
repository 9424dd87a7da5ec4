"""Readings of sensors, or spectral frames, to a token each by dilated convolutions. Must not import ray or mlflow.

Shape suffixes: B samples, T steps, F features of a step, D width.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from tasks.models.encoders.config_sequence import TcnConfig
from tasks.models.tokens import Tokens, need, valid_BT


class Tcn(nn.Module):
    """Residual layers with layer norm in place of the paper's weight norm; the last sees kernel · 2^layers steps."""

    def __init__(self, config: TcnConfig, shape: Mapping[str, int], width: int) -> None:
        super().__init__()
        (features,) = need(shape, ("features",), config.kind)
        self.causal = config.causal
        self.kernel = config.kernel
        self.embed = nn.Linear(features, width)
        self.convolutions = nn.ModuleList(nn.Conv1d(width, width, config.kernel, dilation=2**layer) for layer in range(config.layers))
        self.norms = nn.ModuleList(nn.LayerNorm(width) for _ in range(config.layers))
        self.dropout = nn.Dropout(config.dropout)
        self.norm = nn.LayerNorm(width)

    def forward(self, steps_BTF: Tensor, lengths_B: Tensor | None = None) -> Tokens:
        mask_BT = valid_BT(lengths_B, steps_BTF)
        values_BTD = self.embed(steps_BTF)
        for layer, (convolve, norm) in enumerate(zip(self.convolutions, self.norms, strict=True)):
            reach = (self.kernel - 1) * 2**layer
            before = reach if self.causal else reach // 2
            seen_BDT = torch.where(mask_BT[..., None], norm(values_BTD), 0.0).transpose(1, 2)
            change_BDT = convolve(F.pad(seen_BDT, (before, reach - before)))
            values_BTD = values_BTD + self.dropout(F.gelu(change_BDT.transpose(1, 2)))
        return Tokens(self.norm(values_BTD), mask_BT)
