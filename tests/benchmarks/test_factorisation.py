"""The benchmark hides as it says, and a shared vector of modalities that say the same beats what is filled by means."""

from __future__ import annotations

import numpy as np
import pytest
from threadpoolctl import threadpool_limits

from benchmarks import factorisation
from benchmarks.factorisation import Split, compared, said


def made(count: int, seed: int) -> Split:
    """The digit in ten numbers, said by three modalities with noise and seen through fixed mixtures."""
    random, mixing = np.random.default_rng(seed), np.random.default_rng(0)
    digits = random.integers(0, 10, count)
    features = {
        name: (np.eye(10)[digits] + 0.1 * random.normal(size=(count, 10))) @ mixing.normal(size=(10, 40))
        for name in ("audio", "image", "text")
    }
    keys = [f"digit-{place:04d}-0" for place in range(count)]
    return Split(features, digits, keys, keys)


def test_one_modality_of_each_sample_always_stays() -> None:
    hidden = made(200, 1).hidden(0.6, 0)
    shown = np.stack([hidden[name] for name in sorted(hidden)])
    assert shown.any(0).all()
    assert 0.4 < shown.mean() < 0.55  # 0.4, and those that stay
    assert all(flags.all() for flags in made(20, 1).hidden(0.0, 0).values())


def test_what_is_shared_is_found_with_gaps() -> None:
    with threadpool_limits(1):
        train, test = made(300, 1), made(200, 3)
        found = {**compared(train, test, 0.4, 1.0), **said(train, test, 1.0)}
    assert found["gaps_factorisation_accuracy"]["median"] > 0.9
    assert found["gaps_factorisation_minus_pca"]["low"] > 0
    assert found["picture_said_from_the_others"]["median"] > 0.5


def test_the_ridge_is_the_one_that_answers_best_on_other_samples(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(factorisation, "RIDGES", (1.0, 1e4))  # the second leaves nothing to ask
    with threadpool_limits(1):
        assert factorisation.ridge_of(made(100, 1), made(50, 2), 0.0) == 1.0
