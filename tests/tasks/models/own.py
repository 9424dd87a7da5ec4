"""An encoder and a head as a user would write them.

Shape suffixes: B samples, C channels, H height, W width, T tokens, D width.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from tasks import registry
from tasks.models.contracts import Features, Sequence
from tasks.models.tokens import Tokens, WeightedSum


class Mean(nn.Module):
    """One token: a projection of the mean colour."""

    class Config(registry.Config):
        kind: str
        scale: float = 1.0

    def __init__(self, config: Config, shape: Mapping[str, int], width: int) -> None:
        super().__init__()
        self.scale = config.scale
        self.project = nn.Linear(shape["channels"], width)

    def forward(self, image_BCHW: Tensor, lengths_B: Tensor | None = None) -> Tokens:
        token_BD = self.project(image_BCHW.mean((2, 3)) * self.scale)
        return Tokens(token_BD[:, None], torch.ones(len(token_BD), 1, dtype=torch.bool))


class Says(nn.Module):
    """Says how long the target is: a head that learns from a modality."""

    class Config(registry.Config):
        learns_from: ClassVar[str] = "modality"

        kind: str
        target: str
        weight: float = 1.0

    def __init__(self, config: Config, name: str, label: Mapping[str, Any], width: int) -> None:
        super().__init__()
        self.longest = label["max_tokens"]
        self.linear = nn.Linear(width, 1)

    def forward(self, features: Features) -> Tensor:
        length_B1: Tensor = self.linear(features.fused.mean_BD())
        return length_B1.squeeze(-1)

    def loss(self, output_B: Tensor, target: Sequence, weight_B: Tensor) -> WeightedSum:
        weight_B = self.loss_weight_B(target, weight_B)
        return WeightedSum(((output_B - target.lengths_B / self.longest).square() * weight_B).sum(), weight_B.sum())

    def loss_weight_B(self, target: Sequence, weight_B: Tensor) -> Tensor:
        return weight_B * target.present_B

    def metrics(self, output_B: Tensor, target: Sequence, weight_B: Tensor) -> dict[str, WeightedSum]:
        return {}

    def predict(self, output_B: Tensor) -> Tensor:
        return output_B * self.longest


class Weightless(Says):
    """A head whose config lacks what all have."""

    class Config(registry.Config):  # type: ignore[assignment]
        kind: str
