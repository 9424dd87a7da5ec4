"""Bound, power and the number of samples agree with each other and with the textbook, for classes and for numbers."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import norm

from tasks.errors import InputError
from tasks.gating.contest import Judge
from tasks.gating.rows import Contest, Rows


def classes(first: int, second: int, samples: int, test: str = "bootstrap", groups: np.ndarray | None = None) -> Judge:
    gain = np.zeros(samples)
    gain[:first], gain[first : first + second] = 1.0, -1.0
    names = (np.arange(samples) if groups is None else groups).astype(str)
    return Judge(Contest(gain, np.ones(samples), names, 0.0, 0.0), "accuracy", test, seed=0)


def numbers(metric: str, own: np.ndarray, rival: np.ndarray) -> Judge:
    rows = Rows(metric, np.arange(own.size).astype(str), {"prediction": own, "baseline_prediction": rival}, {})
    return Judge(rows.contest("prediction", "baseline_prediction"), metric, "bootstrap", seed=0)


@pytest.mark.parametrize("test", ["bootstrap", "mcnemar"])
def test_the_bound_lies_where_the_test_decides(test: str) -> None:
    stand = classes(60, 64, 2000, test)
    bound = stand.lower_bound(0.95, at=-0.02)
    assert stand.p_better(bound - 0.002) < 0.05 < stand.p_better(bound + 0.002)
    assert bound == pytest.approx(-0.002 - 1.645 * np.sqrt(124) / 2000, abs=0.001)


@pytest.mark.parametrize("test", ["bootstrap", "mcnemar"])
def test_worse_is_better_the_other_way_round(test: str) -> None:
    assert classes(20, 60, 1000, test).p_worse(-0.02) == classes(60, 20, 1000, test).p_better(0.02)
    assert classes(60, 20, 1000, test).p_worse(-0.02) == 1.0


@pytest.mark.parametrize("test", ["bootstrap", "mcnemar"])
def test_the_samples_it_would_take_have_the_power(test: str) -> None:
    stand = classes(8, 8, 300, test)
    assert stand.power(-0.02, 0.0, 0.95) < 0.8
    needed = stand.samples_for(-0.02, 0.0, 0.95, 0.8)
    assert 0.8 <= stand.power(-0.02, 0.0, 0.95, needed / 300) < 0.9


def test_samples_of_groups_that_agree_with_each_other_have_less_power() -> None:
    groups = np.concatenate([np.repeat(np.arange(10), 4), np.repeat(np.arange(10, 20), 4), np.arange(20, 940)])
    together, apart = classes(40, 40, 1000, groups=groups), classes(40, 40, 1000)
    assert together.power(-0.02, 0.0, 0.95) < apart.power(-0.02, 0.0, 0.95) - 0.2


def test_mcnemar_refuses_samples_that_are_not_independent() -> None:
    with pytest.raises(InputError, match="1000 are of 100 groups; use test: bootstrap"):
        classes(10, 10, 1000, "mcnemar", np.arange(1000) // 10)


def test_of_errors_the_benefit_is_the_share_that_is_gone() -> None:
    rival = np.random.default_rng(0).normal(size=400)
    assert numbers("rmse", 0.9 * rival, rival).difference == pytest.approx(0.1)
    assert numbers("mae", 1.05 * rival, rival).difference == pytest.approx(-0.05)


@pytest.mark.parametrize("metric", ["rmse", "mae"])
def test_a_model_with_as_large_errors_passes_and_one_with_larger_ones_does_not(metric: str) -> None:
    rng = np.random.default_rng(0)
    truth = rng.normal(size=3000)
    rival, equal, worse = truth + 0.1 * rng.normal(size=3000), truth + 0.1 * rng.normal(size=3000), 1.1 * truth
    assert numbers(metric, equal, rival).p_better(-0.02) < 0.01
    assert numbers(metric, worse, rival).p_better(-0.02) == 1.0
    assert numbers(metric, worse, rival).p_worse(-0.02) < 0.01


def test_the_power_of_errors_is_that_of_the_normal_distribution() -> None:
    rng = np.random.default_rng(1)
    rival = rng.exponential(size=2000)
    own = rival + 0.2 * rng.normal(size=2000)
    stand = numbers("mae", np.abs(own), rival)
    gain = rival - np.abs(own)
    error = np.std(gain - gain.mean() / rival.mean() * rival) / rival.mean() / np.sqrt(2000)
    assert stand.power(-0.01, 0.0, 0.95) == pytest.approx(norm.cdf(0.01 / error - 1.645), abs=0.05)
