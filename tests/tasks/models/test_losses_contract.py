"""Every objective and every alignment keeps the promises that the loop counts on."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from tasks.models.alignments import ALIGNMENTS
from tasks.models.contracts import Outputs
from tasks.models.fused import FusedModel
from tasks.models.objectives import OBJECTIVES
from tasks.registry import implementation
from tests.tasks.models.objectives.made import model_with, placed_batch

SIZE, DIM = 6, 8
SETTINGS: dict[str, dict[str, Any]] = {"domain_adversarial": {"domain": "place"}, "domain_coral": {"domain": "place"}}
"""Objective → what its config needs beside its kind."""


def alignment_of(kind: str) -> Any:
    torch.manual_seed(0)
    return implementation(ALIGNMENTS, kind)(ALIGNMENTS[kind].config(), DIM)


def embeddings(seed: int = 0) -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(SIZE, DIM, generator=generator), torch.randn(SIZE, DIM, generator=generator)


@pytest.mark.parametrize("kind", ALIGNMENTS)
def test_samples_without_weight_have_no_influence_on_an_alignment(kind: str) -> None:
    alignment, (one, other) = alignment_of(kind), embeddings()
    weight_B = torch.tensor([1.0, 1.0, 0.0, 1.0, 1.0, 0.0])
    expected = alignment(one, other, weight_B)
    assert expected.weight == 4
    changed = alignment(one + 5 * (weight_B == 0)[:, None], other - 3 * (weight_B == 0)[:, None], weight_B)
    torch.testing.assert_close(changed.total, expected.total)
    assert not torch.allclose(alignment(*embeddings(seed=1), weight_B).total, expected.total)


@pytest.mark.parametrize("kind", ALIGNMENTS)
@pytest.mark.parametrize("pairs", [0, 1, 2])
def test_an_alignment_of_hardly_any_pairs_is_a_number_and_so_are_its_gradients(kind: str, pairs: int) -> None:
    alignment = alignment_of(kind)
    one, other = (each.requires_grad_() for each in embeddings())
    loss = alignment(one, other, torch.tensor([1.0] * pairs + [0.0] * (SIZE - pairs)))
    loss.total.backward()
    assert loss.total.isfinite()
    assert loss.weight == pairs
    for grad in (one.grad, other.grad):
        assert grad is not None
        assert grad.isfinite().all()


@pytest.mark.parametrize("kind", OBJECTIVES)
def test_an_objective_weighs_the_batch_as_it_said_before_and_padding_counts_nothing(kind: str) -> None:
    fused, given = model_with(kind, **SETTINGS.get(kind, {})), placed_batch(SIZE)
    given.weight[3] = 0
    given.present[1] = torch.tensor([True, False, True])
    expected = loss_of(fused, given)
    torch.testing.assert_close(expected.weight, fused.objective("aligned").loss_weight(given))
    given.inputs["image"].values[3] += 7
    torch.testing.assert_close(loss_of(fused, given).total, expected.total)
    given.inputs["image"].values[0] += 7
    assert not torch.allclose(loss_of(fused, given).total, expected.total)


@pytest.mark.parametrize("kind", OBJECTIVES)
def test_an_objective_is_in_float32_whatever_the_model_computes_in(kind: str) -> None:
    fused, given = model_with(kind, **SETTINGS.get(kind, {})), placed_batch(SIZE)
    expected = loss_of(fused, given)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        outputs = fused.outputs(given.inputs, fused.present_BM(given))
    loss = fused.losses(outputs, given)["aligned"]
    assert loss.total.dtype == torch.float32
    torch.testing.assert_close(loss.total, expected.total, rtol=0.1, atol=0.05)


@pytest.mark.parametrize("kind", OBJECTIVES)
def test_gradients_of_an_objective_reach_every_encoder(kind: str) -> None:
    fused = model_with(kind, **SETTINGS.get(kind, {})).train()
    loss_of(fused, placed_batch(SIZE)).total.backward()
    for modality in fused.modalities:
        grads = [parameter.grad for parameter in fused.encoders[f"{modality}_"].parameters()]
        assert any(grad is not None and grad.abs().sum() > 0 for grad in grads)
        assert all(grad.isfinite().all() for grad in grads if grad is not None)


def loss_of(fused: FusedModel, given: Any) -> Any:
    torch.manual_seed(5)
    outputs: Outputs = fused.outputs(given.inputs, fused.present_BM(given))
    return fused.losses(outputs, given)["aligned"]
