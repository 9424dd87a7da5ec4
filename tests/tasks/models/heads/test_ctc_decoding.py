"""The search over transcripts against all paths there are."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest

from tasks.models.heads.ctc_decoding import Transcript, best_path, prefix_beam_search


def chances(steps: int, classes: int, seed: int) -> np.ndarray:
    logits = np.random.default_rng(seed).normal(size=(steps, classes))
    return np.asarray(logits - np.log(np.exp(logits).sum(1, keepdims=True)))


def over_all_paths(log_TK: np.ndarray) -> dict[Transcript, float]:
    """Every transcript → its probability."""
    found: dict[Transcript, float] = {}
    for path in itertools.product(range(log_TK.shape[1]), repeat=len(log_TK)):
        said = tuple(each for each, _ in itertools.groupby(path) if each != 0)
        found[said] = found.get(said, 0.0) + math.exp(sum(log_TK[step, each] for step, each in enumerate(path)))
    return found


@pytest.mark.parametrize("seed", range(12))
def test_a_wide_beam_finds_the_likeliest_of_all_transcripts(seed: int) -> None:
    log_TK = chances(5, 3, seed)
    everything = over_all_paths(log_TK)
    assert sum(everything.values()) == pytest.approx(1)
    assert prefix_beam_search(log_TK, 1000) == max(everything, key=everything.__getitem__)


@pytest.mark.parametrize("seed", range(12))
def test_a_wide_beam_with_a_language_model_finds_the_best_sum_of_both(seed: int) -> None:
    log_TK = chances(5, 3, seed)
    language = np.random.default_rng(seed + 100).normal(size=(3, 3))

    def bonus(said: Transcript, follows: int) -> float:
        return float(language[said[-1] if said else 0, follows])

    def end(said: Transcript) -> float:
        return float(language[said[-1] if said else 0, 0])

    everything = over_all_paths(log_TK)
    scores = {
        said: math.log(chance) + sum(bonus(said[:place], each) for place, each in enumerate(said)) + end(said)
        for said, chance in everything.items()
    }
    assert prefix_beam_search(log_TK, 1000, bonus, end) == max(scores, key=scores.__getitem__)


def test_what_all_paths_say_together_beats_the_likeliest_path() -> None:
    log_TK = np.log([[0.4, 0.35, 0.25]] * 2)  # nothing: 0.16; class 1: 2 × 0.14 + 0.1225
    assert best_path(log_TK.argmax(1).tolist()) == ()
    assert prefix_beam_search(log_TK, 10) == (1,)


def test_a_narrow_beam_may_lose_the_best_and_still_answers() -> None:
    narrow = [prefix_beam_search(chances(6, 4, seed), 1) for seed in range(30)]
    wide = [prefix_beam_search(chances(6, 4, seed), 1000) for seed in range(30)]
    assert sum(one == other for one, other in zip(narrow, wide, strict=True)) in range(5, 30)


def test_repetitions_count_once_unless_a_blank_stands_between() -> None:
    assert best_path([0, 1, 1, 0, 1, 2, 2, 0]) == (1, 1, 2)
    sure = np.log(np.eye(3)[[1, 1, 0, 1, 2]] + 1e-30)
    assert prefix_beam_search(sure, 4) == (1, 1, 2)


def test_no_steps_say_nothing() -> None:
    assert prefix_beam_search(np.zeros((0, 3)), 4) == best_path([]) == ()
