"""Every encoder keeps the promises that the fused model counts on, for every medium that it says it is made for."""

from __future__ import annotations

import pytest
import torch
from safetensors.torch import load, save

from tasks.contracts import ModalityBatch
from tasks.errors import InputError
from tasks.models.encoders import ENCODERS
from tests.tasks.models.encoders.example import LENGTHS, SHAPES, WIDTH, encoder, values

CASES = [(kind, medium) for kind, entry in ENCODERS.items() for medium in entry.config.media]  # type: ignore[attr-defined]
STEPS = {"audio", "waveform", "sensor"}
"""Media whose shapes tell nothing apart: steps of features."""


def part(given: ModalityBatch, place: int) -> ModalityBatch:
    return ModalityBatch(given.values[place : place + 1], None if given.lengths is None else given.lengths[place : place + 1])


@pytest.mark.parametrize(("kind", "medium"), CASES)
def test_it_gives_tokens_of_the_width_and_each_sample_has_a_valid_one(kind: str, medium: str) -> None:
    given = values(medium)
    values_BTD, mask_BT = encoder(kind, medium)(given.values, given.lengths)
    assert values_BTD.shape == (4, mask_BT.shape[1], WIDTH)
    assert values_BTD.dtype == torch.float32
    assert mask_BT.dtype == torch.bool
    assert mask_BT.any(1).all()


@pytest.mark.parametrize(("kind", "medium"), CASES)
def test_a_sample_alone_gives_the_tokens_that_it_gives_among_others(kind: str, medium: str) -> None:
    """Also the shortest there is: one frame, one word, one step."""
    built, given = encoder(kind, medium), values(medium)
    together = built(given.values, given.lengths).masked()
    for place in range(4):
        alone = part(given, place)
        if alone.lengths is not None:
            alone.values = alone.values[:, : int(alone.lengths[0])]
        found = built(alone.values, alone.lengths).masked()
        steps = found.mask_BT.shape[1]
        assert not together.mask_BT[place, steps:].any()
        assert torch.equal(found.mask_BT[0], together.mask_BT[place, :steps])
        torch.testing.assert_close(found.values_BTD[0], together.values_BTD[place, :steps], rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(("kind", "medium"), [case for case in CASES if case[1] in LENGTHS])
def test_what_stands_in_the_padding_has_no_influence(kind: str, medium: str) -> None:
    built, given = encoder(kind, medium), values(medium)
    assert given.lengths is not None
    changed = given.values.clone()
    for place, length in enumerate(given.lengths.tolist()):
        changed[place, length:] = 7
    expected = built(given.values, given.lengths).masked()
    found = [built(changed, given.lengths).masked()]
    if changed.is_floating_point():
        for place, length in enumerate(given.lengths.tolist()):
            changed[place, length:] = torch.nan
        found.append(built(changed, given.lengths).masked())
    for each in found:
        torch.testing.assert_close(each.values_BTD, expected.values_BTD, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(("kind", "medium"), CASES)
def test_another_sample_in_the_batch_changes_nothing_in_training_either(kind: str, medium: str) -> None:
    built, given, others = encoder(kind, medium, **still(kind)).train(), values(medium), values(medium, seed=1)
    mixed = torch.cat([given.values[:1], others.values[1:]])
    expected = built(given.values, given.lengths).values_BTD[0]
    torch.testing.assert_close(built(mixed, given.lengths).values_BTD[0], expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(("kind", "medium"), CASES)
def test_it_looks_at_its_input(kind: str, medium: str) -> None:
    built, given = encoder(kind, medium), values(medium)
    other = values(medium, seed=1)
    assert not torch.equal(built(given.values, given.lengths).values_BTD, built(other.values, given.lengths).values_BTD)


@pytest.mark.parametrize(("kind", "medium"), CASES)
def test_every_parameter_that_learns_gets_a_gradient_from_a_batch_of_one(kind: str, medium: str) -> None:
    built, given = encoder(kind, medium).train(), part(values(medium), 0)
    tokens = built(given.values, given.lengths).masked()
    (tokens.values_BTD * torch.randn_like(tokens.values_BTD)).sum().backward()
    without = [name for name, parameter in built.named_parameters() if parameter.requires_grad and parameter.grad is None]
    assert not without
    assert all(parameter.grad.isfinite().all() for parameter in built.parameters() if parameter.grad is not None)


@pytest.mark.parametrize(("kind", "medium"), CASES)
def test_saved_and_loaded_it_gives_the_same_tokens_to_the_last_bit(kind: str, medium: str) -> None:
    built, given, other = encoder(kind, medium), values(medium), encoder(kind, medium, seed=5)
    other.load_state_dict(load(save({name: value.contiguous() for name, value in built.state_dict().items()})))
    assert torch.equal(other(given.values, given.lengths).values_BTD, built(given.values, given.lengths).values_BTD)


@pytest.mark.parametrize(("kind", "medium"), CASES)
def test_the_same_seed_gives_the_same_weights_and_another_seed_others(kind: str, medium: str) -> None:
    first, second, third = (encoder(kind, medium, seed=seed).state_dict() for seed in (0, 0, 1))
    assert all(torch.equal(first[name], second[name]) for name in first)
    assert any(not torch.equal(first[name], third[name]) for name in first)


@pytest.mark.parametrize("kind", ENCODERS)
def test_it_says_which_medium_it_needs(kind: str) -> None:
    made_for = set(ENCODERS[kind].config.media)  # type: ignore[attr-defined]
    for medium in SHAPES.keys() - made_for - (STEPS if made_for & STEPS else set()):
        with pytest.raises(InputError, match=kind):
            encoder(kind, medium)


def still(kind: str) -> dict[str, float]:
    return {name: 0.0 for name in ENCODERS[kind].config.model_fields if name.endswith("dropout")}
