"""Every policy steps down its losses, alone with a toy of what the loop lends it; `tests/tasks/training` drives them by the real one."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from typing import Any

import pytest
import torch

from tasks.contracts import Batch
from tasks.models.contracts import Setting
from tasks.models.fused import build_model
from tasks.models.load import LoadedModel
from tasks.models.policies import POLICIES
from tasks.models.tokens import WeightedSum
from tasks.registry import implementation
from tests.tasks.models.example import LABELS, SHAPES, batch, config, inputs

SETTINGS: dict[str, dict[str, Any]] = {
    "pseudo_labels": {"strong": {"image": {"flip": 0.5}}, "threshold": 0.4},
    "reptile": {"tasks": "digit", "inner_rate": 0.01},
    "distillation": {"features": 0.5},
}
"""Policy → what its config needs beside its kind."""
MODELS: dict[str, dict[str, Any]] = {"adversarial": {"objectives": {"alike": "adversarial"}}}
"""Policy → what its model must have."""


def given_batch() -> Batch:
    """A batch that has what any policy asks for: gaps in its labels, a second view, a label beside those of heads."""
    given = batch(8)
    given.labels["digit"][:2] = -1
    given.labels["label:digit"] = given.labels["digit"].clone()
    given.views["strong"] = {"image": inputs(8, seed=9)["image"]}
    return given


class ToyStep:
    """One process, whole batches, plain gradient descent."""

    def __init__(self, policy: Any, rate: float = 0.05) -> None:
        self.policy, self.number, self.total = policy, 0, 10
        self.optimizer = torch.optim.SGD(policy.parameters(), lr=rate)

    def backward(self, given: Batch, losses: Callable[[Batch], dict[str, WeightedSum]], weights: dict[str, torch.Tensor]) -> torch.Tensor:
        sums = self.policy(given, losses)
        assert sums.keys() == weights.keys() <= self.policy.factors.keys()
        loss: torch.Tensor = self.policy.total({name: total / weights[name].clamp(min=1e-9) for name, (total, _) in sums.items()}, 1.0)
        loss.backward()
        return loss.detach()

    def update(self, only: Callable[[str], bool] | None = None) -> torch.Tensor:
        for name, parameter in self.policy.named_parameters():
            if only is not None and not only(name):
                parameter.grad = None
        norm = torch.nn.utils.clip_grad_norm_(self.policy.parameters(), 1.0)
        self.optimizer.step()
        self.optimizer.zero_grad()
        return norm


def teacher() -> LoadedModel:
    """A wider model of the same heads."""
    chosen = config(width=24)
    model = build_model(chosen, SHAPES, LABELS)
    return LoadedModel(model.eval(), {}, LABELS, chosen, model.modalities, {})


@pytest.mark.parametrize("kind", POLICIES)
def test_a_policy_brings_the_loss_down(kind: str) -> None:
    torch.manual_seed(0)
    settings = {"kind": kind, **SETTINGS.get(kind, {})}
    model = build_model(config(**MODELS.get(kind, {})), SHAPES, LABELS).train()
    chosen = POLICIES[kind].config.model_validate(settings)
    policy = implementation(POLICIES, kind)(chosen, model, Setting(contextlib.nullcontext, seed=3, total_steps=10, teacher=teacher()))
    step, given = ToyStep(policy), given_batch()
    before = {name: value.clone() for name, value in model.state_dict().items()}
    losses = []
    for number in range(10):
        step.number = number
        loss, norm = policy.step(step, given)
        assert loss.isfinite()
        assert norm.isfinite()
        losses.append(float(loss))
    assert losses[-1] < losses[0]
    assert any(not torch.equal(before[name], value) for name, value in model.state_dict().items())
