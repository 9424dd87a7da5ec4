"""A moving average of the weights (Polyak averaging): steadier than the last ones. Must not import ray or mlflow."""

from __future__ import annotations

import copy

import torch

from tasks.models.fused import FusedModel
from tasks.training.config_transfer import EmaConfig


def begin_average(model: FusedModel) -> FusedModel:
    """A copy that begins where the model is; it takes no gradients."""
    average = copy.deepcopy(model)
    return average.requires_grad_(requires_grad=False).eval()


@torch.no_grad()
def follow(average: FusedModel, model: FusedModel, config: EmaConfig, steps: int) -> None:
    """Move the average towards the model after the optimizer step number `steps`, counted from 1.

    Weights and running statistics alike; what is no fraction is copied, and so are discriminators: an averaged one would lag behind what it
    is to tell apart. Weights that rest stay the same bit for bit.
    """
    decay = decay_at(config, steps)
    for (name, kept), given in zip(average.state_dict().items(), model.state_dict().values(), strict=True):
        if kept.is_floating_point() and not name.startswith(model.discriminators):
            kept.lerp_(given, 1 - decay)
        else:
            kept.copy_(given)


def decay_at(config: EmaConfig, steps: int) -> float:
    """Share of the average that stays in this step: less at the beginning, when the first weights would weigh too much."""
    return min(config.decay, (1 + steps) / (10 + steps))
