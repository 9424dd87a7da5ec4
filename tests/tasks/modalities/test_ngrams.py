"""The n-gram model against Kneser and Ney's formula, counted anew from the texts for every question."""

from __future__ import annotations

import functools
import itertools
import math
import pickle

import pytest

from tasks.errors import CorruptArtifact
from tasks.modalities.ngrams import BEGIN, END, Ngrams, learn

VOCAB_SIZE = 9
TEXTS = [[4, 5, 4, 6], [4, 5, 5], [4, 5, 4, 6, 7], [6], [4, 5, 4], [7, 5, 4, 6], [1, 4]]
FOLLOW = [1, END, 4, 5, 6, 7, 8]


def windows(length: int, order: int) -> list[tuple[int, ...]]:
    """All runs of `length` that end in a token that was said."""
    padded = [[BEGIN] * (order - 1) + text + [END] for text in TEXTS]
    return [tuple(text[end - length : end]) for text in padded for end in range(order, len(text) + 1)]


@functools.cache
def count(ngram: tuple[int, ...], order: int) -> int:
    if len(ngram) == order or ngram[0] == BEGIN:
        return windows(len(ngram), order).count(ngram)
    return len({longer[0] for longer in windows(len(ngram) + 1, order) if longer[1:] == ngram})


def probability(context: tuple[int, ...], token: int, order: int) -> float:
    lower = probability(context[1:], token, order) if context else 1 / (VOCAB_SIZE - 2)
    kinds = {ngram for ngram in windows(len(context) + 1, order) if ngram[:-1] == context}
    total = sum(count(ngram, order) for ngram in kinds)
    if not total:
        return lower
    all_counts = [count(ngram, order) for ngram in set(windows(len(context) + 1, order))]
    once, twice = all_counts.count(1), all_counts.count(2)
    discount = once / (once + 2 * twice) if once and twice else 0.5
    return (max(count((*context, token), order) - discount, 0) + discount * len(kinds) * lower) / total


@pytest.mark.parametrize("order", [1, 2, 3, 4])
def test_probabilities_are_those_of_the_formula_and_add_up_to_one(order: int) -> None:
    model = Ngrams.read(learn(TEXTS, order), VOCAB_SIZE)
    assert model.order == order
    for said in [(), *itertools.product([1, 4, 5, 8], repeat=2), (4, 5, 4), (7, 5, 4, 6)]:
        context = ((BEGIN,) * (order - 1) + said)[len(said) :] if order > 1 else ()
        found = [math.exp(model.log_probability(said, token)) for token in FOLLOW]
        assert found == pytest.approx([probability(context, token, order) for token in FOLLOW], abs=1e-12)
        assert sum(found) == pytest.approx(1, abs=1e-12)
        assert min(found) > 0


def test_what_was_read_often_is_likelier() -> None:
    model = Ngrams.read(learn(TEXTS, 3), VOCAB_SIZE)
    assert model.log_probability((4, 5, 4), 6) > model.log_probability((4, 5, 4), 7) > model.log_probability((4, 5, 4), 8)


def test_no_text_at_all_gives_equal_chances() -> None:
    model = Ngrams.read(learn([], 3), VOCAB_SIZE)
    assert [model.log_probability((), token) for token in FOLLOW] == pytest.approx([math.log(1 / 7)] * 7)


def test_the_same_texts_in_another_order_give_the_same_bytes() -> None:
    assert learn(TEXTS, 3) == learn(TEXTS[::-1], 3)
    assert learn(TEXTS, 3) != learn(TEXTS[1:], 3)


def test_a_model_pickles_and_goes_on_as_before() -> None:
    model = Ngrams.read(learn(TEXTS, 3), VOCAB_SIZE)
    before = model.log_probability((4,), 5)
    assert pickle.loads(pickle.dumps(model)).log_probability((4,), 5) == before


def test_a_damaged_file_says_so() -> None:
    with pytest.raises(CorruptArtifact, match="n-grams of the language model cannot be read"):
        Ngrams.read(learn(TEXTS, 3)[:-5], VOCAB_SIZE)
