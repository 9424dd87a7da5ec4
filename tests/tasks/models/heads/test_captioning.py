"""Captions: what was said once and kept gives the same as computing it anew, and a wide search finds the best of all texts.

Shape suffixes: B samples, S tokens said, T tokens of the sample, V tokens there are.
"""

from __future__ import annotations

import itertools
import math
from typing import Any

import pytest
import torch
from torch import Tensor

from tasks.models.contracts import Sequence
from tasks.models.heads.generation import beam_search
from tasks.models.heads.sequences import BEGIN, END, said_alone
from tasks.models.tokens import Tokens
from tests.tasks.models.heading import TEXTS, features, head_of

WEIGHT_B = torch.tensor([1.0, 2.0, 0.5, 1.0])


def log_probabilities(head: Any, sample: Tokens, row: int, said: list[int]) -> Tensor:
    """Of what follows, with nothing kept from before."""
    alone = Tokens(sample.values_BTD[row : row + 1], sample.mask_BT[row : row + 1])
    about = [layer.about(alone.values_BTD) for layer in head.layers]
    logits_BSV, _ = head._decoded(torch.tensor([[BEGIN, *said]]), about, alone.mask_BT, [None] * len(head.layers))
    found: Tensor = logits_BSV[0, -1].log_softmax(-1)
    return found


@pytest.mark.parametrize("tied", [True, False])
@pytest.mark.parametrize("seed", range(3))
def test_the_likeliest_tokens_with_what_was_kept_are_those_without(seed: int, tied: bool) -> None:
    head = head_of("captioning", tied=tied, max_tokens=7)
    sample = head(features(seed))
    found = head.predict(sample)
    for row in range(4):
        said: list[int] = []
        while len(said) < 7:
            token = 3 + int(log_probabilities(head, sample, row, said)[3:].argmax())
            if token == END:
                break
            said.append(token)
        assert [each for each in found[row].tolist() if each] == said


def test_the_loss_is_that_of_each_token_behind_those_before_it() -> None:
    head = head_of("captioning", label_smoothing=0.2)
    sample = head(features())
    loss = head.loss(sample, TEXTS, WEIGHT_B)
    total, count, hits = 0.0, 0.0, 0.0
    for row, text in enumerate([[4, 5, 19], [7], [8, 9]]):
        for place, token in enumerate([*text, END]):
            log_V = log_probabilities(head, sample, row, text[:place])
            total -= float(WEIGHT_B[row] * (0.8 * log_V[token] + 0.2 * log_V.mean()).detach())
            hits += float(WEIGHT_B[row]) * (int(log_V.argmax()) == token)
            count += float(WEIGHT_B[row])
    assert loss.total.item() == pytest.approx(total, rel=1e-5)
    assert loss.weight.item() == count
    assert head.loss_weight_B(TEXTS, WEIGHT_B).tolist() == [4, 4, 1.5, 0]
    accuracy = head.metrics(sample, TEXTS, WEIGHT_B)["token_accuracy"]
    assert (accuracy.total.item(), accuracy.weight.item()) == (hits, count)


def test_tokens_behind_the_end_of_a_text_and_masked_tokens_of_a_sample_have_no_influence() -> None:
    head, given = head_of("captioning", beam_width=3), features()
    spoiled = Sequence(TEXTS.values_BT.clone(), TEXTS.lengths_B, TEXTS.present_B)
    spoiled.values_BT[1, 1:] = 11
    torch.testing.assert_close(head.loss(head(given), spoiled, WEIGHT_B).total, head.loss(head(given), TEXTS, WEIGHT_B).total)
    towers = {name: Tokens(torch.where(each.mask_BT[..., None], each.values_BTD, 9.0), each.mask_BT) for name, each in given.towers.items()}
    fused = Tokens(torch.where(given.fused.mask_BT[..., None], given.fused.values_BTD, -9.0), given.fused.mask_BT)
    other = given._replace(towers=towers, fused=fused)
    torch.testing.assert_close(head.loss(head(other), TEXTS, WEIGHT_B), head.loss(head(given), TEXTS, WEIGHT_B))
    assert torch.equal(head.predict(head(other)), head.predict(head(given)))


def test_every_modality_is_looked_at_even_behind_one_fused_token() -> None:
    head, given = head_of("captioning"), features()
    one = given._replace(fused=Tokens(given.fused.values_BTD[:, :1], given.fused.mask_BT[:, :1]))
    before = head.loss(head(one), TEXTS, WEIGHT_B).total
    for name in given.towers:
        towers = {**given.towers, name: Tokens(given.towers[name].values_BTD.flip(-1), given.towers[name].mask_BT)}
        assert not torch.allclose(head.loss(head(one._replace(towers=towers)), TEXTS, WEIGHT_B).total, before)


@pytest.mark.parametrize("width", [1, 4])
def test_a_sample_is_told_of_alone_as_among_others(width: int) -> None:
    head = head_of("captioning", beam_width=width)
    sample = head(features(5))
    together = head.predict(sample).tolist()
    for row in range(4):
        alone = head.predict(Tokens(sample.values_BTD[row : row + 1], sample.mask_BT[row : row + 1])).tolist()
        assert [each for each in alone[0] if each] == [each for each in together[row] if each]


@pytest.mark.parametrize("penalty", [0.0, 1.0])
@pytest.mark.parametrize("seed", range(6))
def test_a_wide_search_finds_the_best_of_all_texts(seed: int, penalty: float) -> None:
    so_far: list[tuple[int, ...]] = [()] * 128
    table = torch.randn(4, 4, 5, generator=torch.Generator().manual_seed(seed)).log_softmax(-1)

    def log_V(said: tuple[int, ...]) -> Tensor:
        return table[len(said), said[-1] % 4 if said else 0]

    def follow(last_B: Tensor, from_B: Tensor) -> Tensor:
        nonlocal so_far
        so_far = [(*so_far[place], token) for place, token in zip(from_B.tolist(), last_B.tolist(), strict=True)]
        return torch.stack([log_V(said[1:]) for said in so_far])

    found = beam_search(follow, 1, 128, begin=9, end=0, longest=3, length_penalty=penalty, device=torch.device("cpu"))
    scores = {}
    for length in range(4):
        for said in itertools.product(range(1, 5), repeat=length):
            whole = (*said, 0) if length < 3 else said
            chance = sum(float(log_V(whole[:place])[each]) for place, each in enumerate(whole))
            scores[said] = chance / len(whole) ** penalty
    assert tuple(found[0]) == max(scores, key=scores.__getitem__)


def test_a_text_is_never_longer_than_asked_for_nor_says_what_cannot_be_said() -> None:
    for limit in (1, 3):
        for width in (1, 5):
            said = head_of("captioning", beam_width=width, max_tokens=limit).predict(head_of("captioning")(features()))
            assert said.shape[1] <= limit
            assert not {1, 2, 3} & set(said.flatten().tolist())
    assert head_of("captioning").longest == 6


def test_begin_and_end_of_the_reader_change_nothing() -> None:
    marked = Sequence(
        torch.tensor([[2, 4, 5, 19, 3], [2, 7, 3, 0, 0], [8, 9, 0, 0, 0], [0] * 5]), torch.tensor([5, 3, 2, 1]), TEXTS.present_B
    )
    assert said_alone(marked)[0].tolist() == [[4, 5, 19, 0, 0], [7, 0, 0, 0, 0], [8, 9, 0, 0, 0], [0] * 5]
    assert said_alone(marked)[1].tolist() == [3, 1, 2, 0]
    head = head_of("captioning")
    torch.testing.assert_close(head.loss(head(features()), marked, WEIGHT_B), head.loss(head(features()), TEXTS, WEIGHT_B))


def test_a_decoder_learns_to_say_what_it_was_taught() -> None:
    head, given = head_of("captioning", dropout=0.0), features()
    optimizer = torch.optim.AdamW(head.parameters(), lr=0.01)
    for _ in range(60):
        loss = head.loss(head(given), TEXTS, torch.ones(4))
        (loss.total / loss.weight).backward()
        optimizer.step()
        optimizer.zero_grad()
    assert (loss.total / loss.weight).item() < 0.1 < math.log(20)
    assert head.predict(head(given))[:3].tolist() == [[4, 5, 19], [7, 0, 0], [8, 9, 0]]
