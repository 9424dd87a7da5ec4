"""Discriminators and who fools them: the turned gradient, how it rises, and what comes of it."""

from __future__ import annotations

import contextlib
import math
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional as F

from tasks.errors import LabelError
from tasks.models.contracts import Setting
from tasks.models.fused import build_model
from tasks.models.objectives.config_adversarial import AdversarialConfig, DomainAdversarialConfig
from tasks.models.objectives.domain_coral import distance_of_covariances
from tasks.models.objectives.reversal import Discriminator, reversed_gradient, strength
from tasks.models.policies.adversarial import Adversarial
from tasks.models.policies.config_adversarial import AdversarialPolicyConfig
from tasks.models.targets import described
from tasks.training.average import begin_average, follow
from tasks.training.config_transfer import EmaConfig
from tests.tasks.models.example import LABELS, SHAPES, batch, config
from tests.tasks.models.objectives.made import PLACE, model_with, placed_batch
from tests.tasks.models.test_policies_contract import ToyStep


def test_a_turned_gradient_leaves_values_and_comes_back_times_minus_the_factor() -> None:
    torch.manual_seed(0)
    values = torch.randn(4, 3, requires_grad=True)
    (2.5 * values.square().sum()).backward()
    assert values.grad is not None
    plain, values.grad = values.grad.clone(), None
    turned = reversed_gradient(values, 0.3)
    assert torch.equal(turned, values)
    (2.5 * turned.square().sum()).backward()
    torch.testing.assert_close(values.grad, -0.3 * plain)


def test_the_factor_rises_as_in_the_paper() -> None:
    assert strength(0.0, 1.0, 10.0) == 0
    assert strength(0.5, 1.0, 10.0) == pytest.approx(2 / (1 + math.exp(-5)) - 1)
    assert strength(1.0, 2.0, 10.0) == pytest.approx(2 * math.tanh(5))  # 2 / (1 + exp(-x)) - 1 = tanh(x / 2)
    assert strength(0.0, 0.4, None) == 0.4


@pytest.mark.parametrize(("kind", "settings"), [("adversarial", {}), ("domain_adversarial", {"domain": "place"})])
def test_the_discriminator_goes_down_and_encoders_go_up_by_the_factor(kind: str, settings: dict[str, Any]) -> None:
    fused, given = model_with(kind, **settings, by="reversal", rise=4.0), placed_batch()

    def grads(done: float) -> tuple[torch.Tensor, torch.Tensor]:
        fused.zero_grad()
        fused.advance(done)
        objective(fused.outputs(given.inputs, given.present), given).total.backward()
        return (
            torch.cat([each.grad.flatten() for each in objective.parameters()]),
            torch.cat([each.grad.flatten() for each in fused.encoders.parameters()]),
        )

    objective: Any = fused.objective("aligned")
    half, whole = grads(0.5), grads(1.0)
    torch.testing.assert_close(half[0], whole[0])
    torch.testing.assert_close(half[1] / math.tanh(1), whole[1] / math.tanh(2), rtol=1e-4, atol=1e-6)
    step = 1e-3 / float(whole[1].norm())
    before = float(objective(fused.outputs(given.inputs, given.present), given).total.detach())
    with torch.no_grad():
        for parameter in fused.encoders.parameters():
            parameter -= step * parameter.grad
    assert float(objective(fused.outputs(given.inputs, given.present), given).total.detach()) > before


def test_the_loss_of_modalities_is_the_cross_entropy_over_those_that_are_there() -> None:
    fused, given = model_with("adversarial", between=["audio", "text"]), batch(3)
    given.present[0] = torch.tensor([False, True, True])
    given.weight[2] = 0
    objective: Any = fused.objective("aligned")
    outputs = fused.outputs(given.inputs, given.present)
    found = objective(outputs, given)
    expected = 0.0
    for sample, name, place in ((0, "text", 1), (1, "audio", 0), (1, "text", 1)):
        standard = F.layer_norm(outputs.features.towers[name].mean_BD()[sample], (16,))
        expected += float(F.cross_entropy(objective.discriminator.layers(standard), torch.tensor(place)).detach())
    assert float(found.total.detach()) == pytest.approx(expected, rel=1e-5)
    assert found.weight == 3


def test_samples_without_domain_count_nothing() -> None:
    fused, given = model_with("domain_adversarial", domain="place"), placed_batch()
    given.labels["aligned"][2] = -1
    first = fused.objective("aligned")(fused.outputs(given.inputs, given.present), given)
    given.inputs["image"].values[2] += 9
    second = fused.objective("aligned")(fused.outputs(given.inputs, given.present), given)
    assert torch.equal(first.total, second.total)
    assert first.weight == fused.objective("aligned").loss_weight(given) == 5


def test_the_distance_of_covariances_is_that_of_numpy_over_all_pairs_of_domains() -> None:
    random = np.random.default_rng(0)
    values, domain = random.normal(size=(11, 3)), np.array([0, 0, 0, 1, 1, 1, 1, 2, 2, 2, 3])
    covariances = [np.cov(values[domain == place].T) for place in range(3)]  # the fourth has one sample, and no covariance
    distances = [((covariances[one] - covariances[other]) ** 2).sum() / (4 * 3**2) for one, other in ((0, 1), (0, 2), (1, 2))]
    found = distance_of_covariances(torch.tensor(values), F.one_hot(torch.tensor(domain), 4).double())
    assert float(found) == pytest.approx(np.mean(distances), rel=1e-9)


def test_one_domain_in_a_batch_is_no_distance() -> None:
    values = torch.randn(4, 3, requires_grad=True)
    found = distance_of_covariances(values, F.one_hot(torch.zeros(4, dtype=torch.int64), 2).float())
    found.backward()
    assert found == 0
    assert values.grad is not None
    assert values.grad.isfinite().all()


@pytest.mark.parametrize("kind", ["domain_adversarial", "domain_coral"])
@pytest.mark.parametrize(
    ("label", "sentence"),
    [
        (None, r"objective 'aligned' has no label 'place' in the shards; labels there are: digit, height"),
        ({"kind": "number", "mean": 0.0, "std": 1.0}, r"the label 'place' is a number, and domains are categories; make it a category"),
        (
            {"kind": "category", "classes": ["here"]},
            r"must tell two domains or more apart, and the split 'train' has only 'here'; put samples",
        ),
    ],
)
def test_a_label_that_tells_no_domains_apart_is_refused_with_a_way_out(kind: str, label: dict[str, Any] | None, sentence: str) -> None:
    made = config(objectives={"aligned": {"kind": kind, "domain": "place"}})
    with pytest.raises(LabelError, match=sentence):
        build_model(made, SHAPES, described(made.heads, {**LABELS, **({"place": label} if label else {})}, SHAPES, made.objectives))


def test_no_epoch_is_chosen_by_a_loss_that_fools() -> None:
    fused = model_with("adversarial", weight=0.25)
    assert fused.loss_weights == {"aligned": 0.25, "digit": 1.0, "height": 1.0}
    assert fused.judging == {"digit": 1.0, "height": 1.0}
    assert "aligned" in model_with("domain_coral", domain="place").judging


class Noting(ToyStep):
    """Remembers what each update changed."""

    changed: list[set[str]]

    def update(self, only: Any = None) -> torch.Tensor:
        before = {name: value.clone() for name, value in self.policy.named_parameters()}
        norm = super().update(only)
        self.changed.append({name for name, value in self.policy.named_parameters() if not torch.equal(before[name], value)})
        return norm


def test_the_policy_moves_discriminators_alone_then_the_rest_alone() -> None:
    fused = model_with("adversarial").train()
    policy = Adversarial(AdversarialPolicyConfig(discriminator_steps=2), fused, Setting(contextlib.nullcontext))
    step = Noting(policy)
    step.changed = []
    policy.step(step, batch(6))
    own = {name for name, _ in policy.named_parameters() if name.startswith("model.objectives.aligned_.discriminator")}
    assert len(own) == 4
    assert step.changed[0] == step.changed[1] == own
    assert not step.changed[2] & own
    assert any(name.startswith("model.encoders.image_") for name in step.changed[2])


def test_by_confusion_encoders_learn_to_make_the_discriminator_say_nothing_and_it_learns_as_before() -> None:
    torch.manual_seed(0)
    values, classes = torch.randn(5, 16, requires_grad=True), torch.tensor([0, 2, 1, 1, 0])
    grads = {}
    for by in ("reversal", "confusion"):
        torch.manual_seed(1)
        discriminator = Discriminator(DomainAdversarialConfig(domain="place", by=by, factor=0.5, rise=None), 16, 3)
        values.grad = None
        told = discriminator(values, classes)
        told.sum().backward()
        assert values.grad is not None
        grads[by] = (told.detach(), torch.cat([each.grad.flatten() for each in discriminator.parameters()]), values.grad.clone())
    torch.testing.assert_close(grads["confusion"][0], grads["reversal"][0])
    torch.testing.assert_close(grads["confusion"][1], grads["reversal"][1])
    uniform = torch.full((5, 3), 1 / 3)
    (0.5 * F.cross_entropy(discriminator.layers(F.layer_norm(values, (16,))), uniform, reduction="sum")).backward()
    torch.testing.assert_close(values.grad - grads["confusion"][2], grads["confusion"][2])


def test_two_encoders_that_fool_a_discriminator_leave_it_near_chance() -> None:
    """Both see noise; chance is log 2 = 0.69."""

    def told_apart(fooling: bool) -> float:
        torch.manual_seed(0)
        discriminator = Discriminator(AdversarialConfig(rise=None), 8, 2)
        encoders = nn.ModuleList([nn.Linear(4, 8), nn.Linear(4, 8)])
        telling = torch.optim.Adam(discriminator.parameters(), lr=3e-3)
        fooled = torch.optim.Adam(encoders.parameters(), lr=1e-3)
        classes, losses = torch.arange(2).repeat_interleave(32), []
        for _ in range(400):
            loss = discriminator(torch.cat([encoder(torch.randn(32, 4)) for encoder in encoders]), classes).mean()
            loss.backward()
            telling.step()
            if fooling:
                fooled.step()
            telling.zero_grad()
            fooled.zero_grad()
            losses.append(float(loss.detach()))
        return sum(losses[-50:]) / 50

    assert told_apart(fooling=False) < 0.1
    assert told_apart(fooling=True) > 0.5


def test_a_place_label_is_read_from_its_own_column() -> None:
    made = config(objectives={"aligned": {"kind": "domain_coral", "domain": "place"}})
    found = described(made.heads, {**LABELS, "place": PLACE}, SHAPES, made.objectives)
    assert found["aligned"] == {**PLACE, "column": "place", "name": "aligned"}


def test_the_average_of_weights_leaves_discriminators_as_they_are() -> None:
    fused = model_with("adversarial")
    average = begin_average(fused)
    with torch.no_grad():
        for parameter in fused.parameters():
            parameter += 1
    follow(average, fused, EmaConfig(decay=0.9), steps=1000)
    given, kept = dict(fused.named_parameters()), dict(average.named_parameters())
    own = {name for name in given if name.startswith("objectives.aligned_.")}
    assert len(own) == 4
    for name in given:
        torch.testing.assert_close(kept[name], given[name] if name in own else given[name] - 0.9)
