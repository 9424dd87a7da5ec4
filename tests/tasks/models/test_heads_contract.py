"""Every head keeps the promises that the fused model and the loop count on; `heading.EXAMPLES` says what each is tried with."""

from __future__ import annotations

import pytest
import torch

from tasks.models.heads import HEADS
from tasks.models.tokens import Tokens
from tests.tasks.models.heading import EXAMPLES, NUM_SAMPLES, features, head_of, rows

WEIGHT_B = torch.tensor([1.0, 1.0, 0.0, 1.0])


def test_there_is_an_example_of_every_head() -> None:
    assert EXAMPLES.keys() == HEADS.keys()


@pytest.mark.parametrize("kind", HEADS)
def test_a_heads_loss_weighs_samples_as_it_said_before(kind: str) -> None:
    head, target = head_of(kind), EXAMPLES[kind].target()
    loss = head.loss(head(features()), target, WEIGHT_B)
    assert loss.total.isfinite()
    torch.testing.assert_close(loss.weight, head.loss_weight_B(target, WEIGHT_B).sum())
    for total, weight in head.metrics(head(features()), target, WEIGHT_B).values():
        assert total.isfinite()
        assert weight >= 0


@pytest.mark.parametrize("kind", HEADS)
def test_padding_has_no_influence_on_a_heads_loss(kind: str) -> None:
    head, target = head_of(kind), EXAMPLES[kind].target()
    expected = head.loss(head(features()), target, WEIGHT_B)
    other = features(seed=1)
    padded = [torch.where((WEIGHT_B > 0)[:, None, None], one.values_BTD, two.values_BTD) for one, two in _pairs(features(), other)]
    names = list(features().towers)
    towers = {name: Tokens(values, features().towers[name].mask_BT) for name, values in zip(names, padded[:-1], strict=True)}
    changed = features()._replace(towers=towers, fused=Tokens(padded[-1], features().fused.mask_BT))
    found = head.loss(head(changed), target, WEIGHT_B)
    torch.testing.assert_close(found.total, expected.total)
    assert not torch.equal(head.loss(head(other), target, WEIGHT_B).total, expected.total)


@pytest.mark.parametrize("kind", HEADS)
def test_a_heads_loss_is_the_sum_over_its_samples(kind: str) -> None:
    example = EXAMPLES[kind]
    if not example.sums_over_samples:
        assert any(getattr(part, "compares_samples", False) for part in (HEADS[kind].config(**example.settings), _loss(kind)))
        return
    head, target = head_of(kind), example.target()
    whole = head.loss(head(features()), target, WEIGHT_B)
    places = [slice(place, place + 1) for place in range(NUM_SAMPLES)]
    parts = [head.loss(head(rows(features(), place)), rows(target, place), WEIGHT_B[place]) for place in places]
    torch.testing.assert_close(whole.total, torch.stack([part.total for part in parts]).sum())
    torch.testing.assert_close(whole.weight, torch.stack([part.weight for part in parts]).sum())


@pytest.mark.parametrize("kind", HEADS)
def test_gradients_of_a_head_reach_its_parameters_even_when_nothing_has_a_label(kind: str) -> None:
    head, target = head_of(kind), EXAMPLES[kind].target()
    head.loss(head(features()), target, torch.zeros(NUM_SAMPLES)).total.backward()
    grads = [parameter.grad for parameter in head.parameters() if parameter.requires_grad]
    assert all(grad is not None and grad.isfinite().all() for grad in grads)


@pytest.mark.parametrize("kind", HEADS)
def test_a_head_predicts_one_row_a_sample(kind: str) -> None:
    head = head_of(kind)
    predicted = head.predict(head(features()))
    assert len(predicted) == NUM_SAMPLES
    assert predicted.isfinite().all()


def _pairs(one: object, other: object) -> list[tuple[Tokens, Tokens]]:
    return [(one.towers[name], other.towers[name]) for name in one.towers] + [(one.fused, other.fused)]  # type: ignore[attr-defined]


def _loss(kind: str) -> object:
    return getattr(HEADS[kind].config(**EXAMPLES[kind].settings), "loss", None)
