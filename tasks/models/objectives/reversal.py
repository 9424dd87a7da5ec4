"""Discriminators, and what encoders learn from them. Must not import ray or mlflow.

Shape suffixes: B samples, D width.
"""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor, nn
from torch.func import functional_call
from torch.nn import functional as F

from tasks.models.objectives.config_adversarial import FoolingConfig


class _Reversed(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, values: Tensor, factor: float) -> Tensor:
        ctx.factor = factor
        return values.view_as(values)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor, None]:
        return -ctx.factor * grads[0], None


def reversed_gradient(values: Tensor, factor: float) -> Tensor:
    """The same values; their gradient comes back times -`factor`."""
    found: Tensor = _Reversed.apply(values, factor)
    return found


def strength(done: float, factor: float, rise: float | None) -> float:
    """λ after a share of the training, of arXiv:1505.07818: from 0 towards `factor`; all of it at once when nothing rises."""
    return factor if rise is None else factor * (2 / (1 + math.exp(-rise * done)) - 1)


class Discriminator(nn.Module):
    """Tells classes from what it gets, and whoever made that learns to leave it in the dark.

    Its input is standardised over D, since making everything longer or shorter would otherwise be the easiest way to fool it.
    """

    def __init__(self, config: FoolingConfig, width: int, num_classes: int) -> None:
        super().__init__()
        self.by, self.factor, self.rise, self.done = config.by, config.factor, config.rise, 0.0
        self.layers = nn.Sequential(nn.Linear(width, config.hidden), nn.ReLU(), nn.Linear(config.hidden, num_classes))

    def forward(self, values_BD: Tensor, class_B: Tensor) -> Tensor:
        """Float32 B: cross-entropy of the classes, whichever way its gradient takes."""
        factor = strength(self.done, self.factor, self.rise)
        if self.by == "reversal":
            return F.cross_entropy(self.layers(_standard(reversed_gradient(values_BD.float(), factor))), class_B, reduction="none")
        standard_BD = _standard(values_BD.float())
        told_B = F.cross_entropy(self.layers(standard_BD.detach()), class_B, reduction="none")
        held = {name: parameter.detach() for name, parameter in self.layers.named_parameters()}
        unsure_B = -functional_call(self.layers, held, (standard_BD,)).log_softmax(-1).mean(-1)
        return torch.add(told_B, unsure_B - unsure_B.detach(), alpha=factor)


def _standard(values_BD: Tensor) -> Tensor:
    return F.layer_norm(values_BD, values_BD.shape[-1:])
