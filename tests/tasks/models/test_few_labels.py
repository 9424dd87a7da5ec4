"""Pseudo-labels against their formula, and Reptile's step against its closed form.

Shape suffixes: B samples, D numbers.
"""

from __future__ import annotations

import contextlib
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from tasks.contracts import Batch, ModalityBatch
from tasks.models.batches import split, take
from tasks.models.contracts import Setting
from tasks.models.fused import build_model
from tasks.models.policies.config_few_labels import PseudoLabelsConfig, ReptileConfig
from tasks.models.policies.pseudo_labels import PseudoLabels
from tasks.models.policies.reptile import Reptile
from tasks.models.tokens import WeightedSum
from tests.tasks.models.example import LABELS, SHAPES, batch, config, inputs
from tests.tasks.models.test_policies_contract import ToyStep

SETTING = Setting(contextlib.nullcontext, seed=3, total_steps=10)


# ---- pseudo-labels ----------------------------------------------------------------------------------------------------


def pseudo_labels(**settings: Any) -> PseudoLabels:
    torch.manual_seed(0)
    model = build_model(config(), SHAPES, LABELS).eval()
    return PseudoLabels(PseudoLabelsConfig.model_validate({"strong": {"image": {"flip": 1}}, **settings}), model, SETTING)


def half_labelled(size: int = 8) -> Batch:
    given = batch(size)
    given.labels["digit"][::2] = -1
    given.weight[2] = 0
    given.views["strong"] = {"image": inputs(size, seed=9)["image"]}
    return given


def probabilities(policy: PseudoLabels, given: dict[str, ModalityBatch], batch: Batch) -> Any:
    with torch.no_grad():
        return policy.model.predict(policy.model.outputs(given, batch.present).heads)["digit"].numpy()


@pytest.mark.parametrize("share_of_sure", [0.0, 0.5, 1.0])
def test_the_loss_is_the_papers_over_all_samples_without_label(share_of_sure: float) -> None:
    given = half_labelled()
    weak = probabilities(pseudo_labels(), given.inputs, given)
    strong = probabilities(pseudo_labels(), {**given.inputs, **given.views["strong"]}, given)
    counted = ((given.labels["digit"] == -1) & (given.weight > 0)).numpy()
    threshold = float(np.quantile(weak.max(1)[counted], 1 - share_of_sure)) if share_of_sure else 0.999
    found = pseudo_labels(threshold=threshold).losses(given)["pseudo/digit"]
    sure = counted & (weak.max(1) >= threshold - 1e-7)
    expected = -np.log(strong[np.arange(8), weak.argmax(1)])[sure].sum()
    assert sure.sum() == {0.0: 0, 0.5: 2, 1.0: 3}[share_of_sure]
    np.testing.assert_allclose(found.total.detach(), expected, rtol=1e-5)
    assert found.weight == counted.sum() == 3


def test_a_guess_is_no_way_back_into_the_view_that_made_it() -> None:
    policy, given = pseudo_labels(threshold=0.01), half_labelled()
    given.labels["digit"][:] = -1
    given.inputs["image"].values.requires_grad_()
    given.views["strong"]["image"].values.requires_grad_()
    policy.losses(given)["pseudo/digit"].total.backward()
    assert given.inputs["image"].values.grad is None
    grad = given.views["strong"]["image"].values.grad
    assert grad is not None
    assert (grad.abs().amax(dim=(1, 2, 3)) > 0).tolist() == [True, True, False, *[True] * 5], "padding learns nothing"


def test_parts_of_a_batch_sum_up_to_the_whole() -> None:
    policy, given = pseudo_labels(threshold=0.35), half_labelled()
    whole, parts = policy.losses(given), [policy.losses(part) for part in split(given, 3)]
    assert sum(part["pseudo/digit"].weight for part in parts) == whole["pseudo/digit"].weight
    torch.testing.assert_close(torch.stack([part["pseudo/digit"].total for part in parts]).sum(), whole["pseudo/digit"].total)
    assert whole["pseudo/digit"].total > 0


def test_the_weight_of_guesses_rises_over_the_warm_up_and_stands_in_the_sum() -> None:
    policy, given = pseudo_labels(threshold=0.01, warmup=0.5, weight=3.0), half_labelled()
    step = ToyStep(policy, rate=0.0)
    with torch.no_grad():
        means = {name: float(each.total / each.weight) for name, each in policy.losses(given).items()}
    for number, share in ((0, 0.0), (2, 0.4), (5, 1.0), (9, 1.0)):
        step.number = number
        loss, _ = policy.step(step, given)
        assert float(loss) == pytest.approx(means["digit"] + means["height"] + 3.0 * share * means["pseudo/digit"], rel=1e-5)


# ---- Reptile ----------------------------------------------------------------------------------------------------------


class Quadratic(nn.Module):
    """Each sample pulls the weights towards itself: ½ |θ - x|², whose gradient is θ - x."""

    loss_weights = {"pull": 1.0}  # noqa: RUF012
    log_variances = None

    def __init__(self) -> None:
        super().__init__()
        self.theta = nn.Parameter(torch.tensor([1.0, -2.0, 0.5], dtype=torch.float64))

    def present_BM(self, batch: Batch) -> Tensor:
        return batch.present

    def outputs(self, given: dict[str, ModalityBatch], present_BM: Tensor) -> Tensor:
        return (self.theta - given["point"].values).square().sum(1) / 2

    def losses(self, each_B: Tensor, batch: Batch) -> dict[str, WeightedSum]:
        return {"pull": WeightedSum((each_B * batch.weight).sum(), batch.weight.sum())}

    def loss_weight(self, batch: Batch) -> dict[str, Tensor]:
        return {"pull": batch.weight.sum()}

    def total(self, means: dict[str, Tensor], share: float) -> Tensor:
        return means["pull"]


def points(tasks: list[int], values_BD: Tensor) -> Batch:
    size = len(tasks)
    return Batch(
        keys=[f"k{number}" for number in range(size)],
        inputs={"point": ModalityBatch(values_BD)},
        present=torch.ones(size, 1, dtype=torch.bool),
        modalities=("point",),
        labels={"label:speaker": torch.tensor(tasks)},
        weight=torch.ones(size, dtype=torch.float64),
    )


def stepped(given: Batch, number: int = 0, **settings: Any) -> Tensor:
    """The weights behind one step."""
    model: Any = Quadratic()
    policy = Reptile(ReptileConfig(tasks="speaker", **settings), model, SETTING)
    step = ToyStep(policy)
    step.number = number
    loss, norm = policy.step(step, given)
    assert loss.isfinite()
    assert norm.isfinite()
    return model.theta.detach()


def test_a_step_is_the_closed_form_on_quadratics() -> None:
    """k steps of rate a lead to c + (1 - a)^k (θ - c), so the mean over tasks moves by 1 - (1 - a)^k towards the mean of their centres."""
    tasks = [0, 1, 0, 2, 1, 0, 2, 0, 1, -1]
    centres = torch.tensor([[4.0, 0.0, 1.0], [-2.0, 3.0, 1.0], [0.0, 0.0, -7.0], [99.0, 99.0, 99.0]], dtype=torch.float64)
    theta, rate, steps = torch.tensor([1.0, -2.0, 0.5], dtype=torch.float64), 0.1, 2
    for number, outer in ((0, 0.8), (5, 0.4), (9, 0.08)):
        expected = theta - outer * (1 - (1 - rate) ** steps) * (theta - centres[:3].mean(0))
        found = stepped(points(tasks, centres[tasks]), number, inner="sgd", inner_rate=rate, inner_steps=steps, outer_rate=0.8)
        torch.testing.assert_close(found, expected, rtol=1e-9, atol=1e-9)


def test_a_tasks_samples_are_dealt_to_its_inner_steps_in_the_order_of_the_batch() -> None:
    values_BD = torch.randn(9, 3, dtype=torch.float64, generator=torch.Generator().manual_seed(4))
    tasks = [0, 1, 0, 0, 1, 0, 0, 0, 0]  # seven of one, dealt 3, 2, 2; two of the other, which takes two steps
    theta, moved = np.array([1.0, -2.0, 0.5]), np.zeros(3)
    for parts in ([[0, 2, 3], [5, 6], [7, 8]], [[1], [4]]):
        phi = theta.copy()
        for part in parts:
            phi -= 0.3 * (phi - values_BD.numpy()[part].mean(0))
        moved += (phi - theta) / 2
    found = stepped(points(tasks, values_BD), inner="sgd", inner_rate=0.3, inner_steps=3)
    np.testing.assert_allclose(found.numpy(), theta + moved, rtol=1e-12)


def test_adam_begins_anew_for_each_task() -> None:
    """Its first step without momentum is the rate in the direction of the sign, however long the gradient; so tasks on two sides cancel."""
    centres = torch.tensor([[101.0, -2.5, 1.5], [-9.0, -2.5, -0.5]], dtype=torch.float64)
    found = stepped(points([0, 1], centres), inner_rate=0.01)
    torch.testing.assert_close(found, torch.tensor([1.0, -2.01, 0.5], dtype=torch.float64), rtol=1e-6, atol=1e-6)


def test_a_batch_without_any_task_moves_nothing() -> None:
    theta = stepped(points([-1, -1], torch.ones(2, 3, dtype=torch.float64)))
    torch.testing.assert_close(theta, Quadratic().theta.detach(), rtol=0, atol=0)


def test_some_samples_of_a_batch_keep_all_that_belongs_to_them() -> None:
    given = half_labelled()
    given.epochs = list(range(8))
    chosen = take(given, [6, 1])
    assert chosen.keys == ["k6", "k1"]
    assert chosen.epochs == [6, 1]
    assert torch.equal(chosen.labels["digit"], given.labels["digit"][[6, 1]])
    assert torch.equal(chosen.views["strong"]["image"].values, given.views["strong"]["image"].values[[6, 1]])
    assert chosen.inputs["text"].lengths is not None
    assert given.inputs["text"].lengths is not None
    assert torch.equal(chosen.inputs["text"].lengths, given.inputs["text"].lengths[[6, 1]])
