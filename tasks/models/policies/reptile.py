"""Reptile: weights from which few steps on few samples lead to a task, be it a new one. Must not import ray or mlflow.

From the weights θ, each task of a batch takes `inner_steps` steps of its own, on its samples alone, and gets to φ_i. Then

    θ ← θ + ε · mean over tasks of (φ_i - θ)

with ε falling from `outer_rate` to zero over the training (arXiv:1803.02999, with several tasks a step). All of a step is in its batch, so
that a training goes on from (epoch, step) as any other. The samples of a task are dealt to its inner steps by their places in the global
batch, which are the same for any number of ranks; in each inner step all ranks compute the gradient together.

Shape suffixes: B samples of this rank, G samples of all ranks.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import torch
from torch import Tensor, nn

from tasks.contracts import Batch
from tasks.models.batches import take
from tasks.models.contracts import Setting, Step
from tasks.models.fused import FusedModel
from tasks.models.gather import gathered, own_rows
from tasks.models.policies.config_few_labels import ReptileConfig
from tasks.models.policies.supervised import Supervised
from tasks.models.targets import column


class Reptile(Supervised):
    """Steps by itself: of the loop's optimizer, schedule and clipping it uses nothing."""

    def __init__(self, config: ReptileConfig, model: FusedModel, setting: Setting) -> None:
        super().__init__(config, model, setting)
        self.config = config

    def step(self, step: Step, batch: Batch) -> tuple[Tensor, Tensor]:
        weights = [parameter for parameter in self.parameters() if parameter.requires_grad]
        begun = [weight.detach().clone() for weight in weights]
        moved = [torch.zeros_like(weight) for weight in weights]
        losses = []
        tasks = list(self._tasks(batch))
        for parts in tasks:
            optimizer = self._inner(weights)
            for part in parts:
                losses.append(step.backward(part, self.losses, self.model.loss_weight(part)))
                optimizer.step()
                optimizer.zero_grad(set_to_none=True)
            with torch.no_grad():
                for weight, start, sum_ in zip(weights, begun, moved, strict=True):
                    sum_ += (weight - start) / len(tasks)
                    weight.copy_(start)
        rate = self.config.outer_rate * (1 - step.number / step.total)
        with torch.no_grad():
            for weight, sum_ in zip(weights, moved, strict=True):
                weight.add_(rate * sum_)
        norm = torch.stack([sum_.square().sum() for sum_ in moved]).sum().sqrt()
        return torch.stack(losses).mean() if losses else torch.zeros_like(norm), norm

    def _inner(self, weights: list[nn.Parameter]) -> torch.optim.Optimizer:
        if self.config.inner == "sgd":
            return torch.optim.SGD(weights, lr=self.config.inner_rate)
        return torch.optim.Adam(weights, lr=self.config.inner_rate, betas=(0.0, 0.999))

    def _tasks(self, batch: Batch) -> Iterator[list[Batch]]:
        """For each task that the global batch has a sample of, this rank's samples of each inner step. As many on every rank."""
        task_B = batch.labels[column(self.config.tasks)]
        task_G = gathered(task_B)
        own_B = own_rows(len(task_B), task_B.device)
        for task in task_G.unique().tolist():
            if task >= 0:
                place_G = (task_G == task).cumsum(0) - 1
                count = int(place_G[-1]) + 1
                num_parts = min(self.config.inner_steps, count)
                part_G = torch.where(task_G == task, place_G * num_parts // count, -1)
                yield [self._part(batch, (part_G[own_B] == part).nonzero()[:, 0].tolist()) for part in range(num_parts)]

    def _part(self, batch: Batch, rows: list[int]) -> Batch:
        """Some of this rank's samples; one without weight where it has none of them, since every rank takes part."""
        return take(batch, rows) if rows else replace(take(batch, [0]), weight=torch.zeros_like(batch.weight[:1]))
