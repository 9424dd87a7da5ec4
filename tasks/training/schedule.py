"""Learning rate as a pure function of the step, so that a resumed run needs no state of it. Must not import ray or mlflow."""

from __future__ import annotations

import math

from tasks.training.config import ScheduleConfig


def share(config: ScheduleConfig, step: int, total_steps: int) -> float:
    """Share of the top learning rate at `step` of `total_steps`, counted from 0: never zero in the first step."""
    warmup_steps = round(config.warmup * total_steps)
    if step < warmup_steps:
        return (step + 1) / (warmup_steps + 1)
    passed = (step - warmup_steps) / max(1, total_steps - warmup_steps)
    return config.floor + (1 - config.floor) * (1 + math.cos(math.pi * passed)) / 2
