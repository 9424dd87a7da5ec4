"""What the loop lends a policy for one optimizer step: gradients over the global batch, and the update. Must not import ray or mlflow."""

from __future__ import annotations

import contextlib
import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, cast

import torch
from torch import Tensor, nn

from tasks.contracts import Batch
from tasks.models.batches import split
from tasks.models.tokens import WeightedSum
from tasks.training.run import Run
from tasks.training.schedule import share


@dataclass(frozen=True)
class RunStep:
    """`tasks.models.contracts.Step` of a run."""

    run: Run

    @property
    def number(self) -> int:
        return self.run.progress.steps

    @property
    def total(self) -> int:
        return self.run.total_steps

    def backward(self, batch: Batch, losses: Callable[[Batch], dict[str, WeightedSum]], weights: dict[str, Tensor]) -> Tensor:
        run = self.run
        over_all = _over_all(run, weights)
        parts = split(batch, run.config.accumulate)
        loss = torch.zeros((), device=run.ranks.device)
        for place, part in enumerate(parts):
            with contextlib.nullcontext() if place == len(parts) - 1 else _no_sync(run):
                sums = run.forward(part, losses)
                means = {name: total / over_all[name] for name, (total, _) in sums.items()}
                part_loss = run.policy.total(means, len(part.keys) / (len(batch.keys) * run.ranks.world_size))
                (part_loss * run.ranks.world_size).backward()  # the wrapper divides by the number of ranks
            loss += part_loss.detach()
            for name, sum_ in sums.items():
                pair = torch.stack([sum_.total.detach(), sum_.weight]).double()
                run.local[name] = run.local[name] + pair if name in run.local else pair
        return loss

    def update(self, only: Callable[[str], bool] | None = None) -> Tensor:
        run, config = self.run, self.run.config
        if only is not None:
            for name, parameter in run.policy.named_parameters():
                if not only(name):
                    parameter.grad = None
        norm = nn.utils.clip_grad_norm_(run.policy.parameters(), config.clip if config.clip is not None else math.inf)
        for group in run.optimizer.param_groups:
            group["lr"] = config.optimizer.learning_rate * share(config.schedule, self.number, self.total) * group.get("rate", 1.0)
        run.optimizer.step()
        run.optimizer.zero_grad(set_to_none=True)
        return norm


def _over_all(run: Run, weights: dict[str, Tensor]) -> dict[str, Tensor]:
    """Loss → its weight over the whole global batch, never zero: dividing by it makes any number of ranks and parts equal one."""
    total = run.ranks.sum_tensor(torch.stack(list(weights.values())))
    return {name: torch.where(value > 0, value, 1.0) for name, value in zip(weights, total, strict=True)}


def _no_sync(run: Run) -> contextlib.AbstractContextManager[Any]:
    """No exchange of gradients: more parts of the batch follow."""
    return cast(Any, run.forward).no_sync() if run.ranks.world_size > 1 else contextlib.nullcontext()
