"""Matching: whom a sample is mixed with, and what is asked."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from tasks.models.objectives.matching import Matching, _asked, alike, chances, deranged
from tests.tasks.models.example import batch
from tests.tasks.models.objectives.made import model_with


@pytest.mark.parametrize("count", [2, 3, 7, 40])
def test_a_derangement_has_no_fixed_point_and_is_a_permutation_of_those_that_count(count: int) -> None:
    generator = torch.Generator().manual_seed(count)
    chance_G = torch.rand(count + 5, generator=generator, dtype=torch.float64)
    counts_G = torch.zeros(count + 5, dtype=torch.bool)
    counts_G[torch.randperm(count + 5, generator=generator)[:count]] = True
    partner_G = deranged(chance_G, counts_G)
    own_G = torch.arange(count + 5)
    assert (partner_G[counts_G] != own_G[counts_G]).all()
    assert sorted(partner_G[counts_G].tolist()) == own_G[counts_G].tolist()
    assert torch.equal(partner_G[~counts_G], own_G[~counts_G])


def test_a_single_sample_has_nobody_to_be_mixed_with_and_nothing_is_asked() -> None:
    assert deranged(torch.tensor([0.3, 0.1]).double(), torch.tensor([False, True])).tolist() == [0, 1]
    fused, given = model_with("matching"), batch(1)
    loss = fused.objective("aligned")(fused.outputs(given.inputs, given.present), given)
    assert loss.total == 0
    assert loss.weight == 3


def test_partners_belong_to_samples_and_epochs_not_to_their_places() -> None:
    given = batch(6)
    turned = replace(given, keys=given.keys[::-1])
    counts = torch.ones(6, dtype=torch.bool)
    one = {given.keys[at]: given.keys[partner] for at, partner in enumerate(deranged(chances(given), counts).tolist())}
    other = {turned.keys[at]: turned.keys[partner] for at, partner in enumerate(deranged(chances(turned), counts).tolist())}
    assert one == other
    later = deranged(chances(replace(given, epochs=[1] * 6)), counts)
    assert not torch.equal(later, deranged(chances(given), counts))


def test_hard_partners_are_drawn_by_the_softmax_of_cosines_and_never_are_ones_own() -> None:
    generator = torch.Generator().manual_seed(0)
    one, other = torch.randn(5, 4, generator=generator), torch.randn(5, 4, generator=generator)
    counts = torch.tensor([True, True, True, False, True])
    draws = 4000
    chance = (torch.arange(draws, dtype=torch.float64) + 0.5) / draws
    rows = torch.full((draws,), 1)
    partners = alike(one[rows], other, chance, rows, counts, temperature=0.5)
    cosines = np.array([float(F.cosine_similarity(one[1], each, dim=0)) for each in other])
    shares = np.exp(cosines / 0.5) * np.array([1, 0, 1, 0, 1])
    expected = shares / shares.sum()
    np.testing.assert_allclose(np.bincount(partners, minlength=5) / draws, expected, atol=1 / draws)


@pytest.mark.parametrize("negatives", ["shuffled", "hard"])
def test_the_loss_is_the_cross_entropy_of_true_and_mixed_pairs(negatives: str) -> None:
    fused, given = model_with("matching", negatives=negatives, between=["image", "text"]), batch(5)
    given.present[2] = torch.tensor([True, False, True])
    given.weight[0] = 0
    objective = fused.objective("aligned")
    assert isinstance(objective, Matching)
    outputs = fused.outputs(given.inputs, given.present)
    found = objective(outputs, given)
    one, other = (objective.towers(outputs.features)[name] for name in ("image", "text"))
    counts, rows = torch.tensor([False, True, False, True, True]), torch.arange(5)
    if negatives == "shuffled":
        ones = others = deranged(chances(given), counts)
    else:
        others, ones = (alike(a, b, chances(given), rows, counts, 0.1) for a, b in ((one, other), (other, one)))

    def right(first: torch.Tensor, second: torch.Tensor, belongs: bool) -> float:
        logit = float(_asked(objective.matchers[0], first[None], second[None]).detach())
        return -math.log(1 / (1 + math.exp(-logit if belongs else logit)))

    expected = 0.0
    for at in (1, 3, 4):
        assert int(others[at]) in {1, 3, 4} - {at}
        mixed = right(one[at], other[others[at]], False) + right(one[ones[at]], other[at], False)
        expected += (2 * right(one[at], other[at], True) + mixed) / 4
    assert float(found.total.detach()) == pytest.approx(expected, rel=1e-5)
    assert found.weight == 3


def test_a_model_learns_which_modalities_belong_together() -> None:
    """Text and picture say the same number; after training, mixed pairs are told from true ones."""
    torch.manual_seed(0)
    fused = model_with("matching", between=["image", "text"], projection="mlp").train()
    optimizer = torch.optim.AdamW(fused.parameters(), lr=1e-2)
    given = batch(12)
    for place in range(12):
        given.inputs["image"].values[place] = place % 4 - 1.5
        given.inputs["text"].values[place] = place % 4
    losses = []
    for epoch in range(50):
        given = replace(given, epochs=[epoch] * 12)
        loss = fused.objective("aligned")(fused.outputs(given.inputs, given.present), given)
        (loss.total / loss.weight).backward()
        optimizer.step()
        optimizer.zero_grad()
        losses.append(float(loss.total.detach() / loss.weight))
    assert sum(losses[:5]) / 5 > 0.65
    assert sum(losses[-10:]) / 10 < 0.55  # 3 of 11 partners say the same number: 0.33 is the least on average
