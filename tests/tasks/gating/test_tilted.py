"""The bootstrap test respects what it tests, also where resamples of what was seen would hardly vary."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import binom, norm, t

from tasks.gating import tilted
from tasks.gating.tilted import Units, level, p_value, units


def alone(first: int, second: int, samples: int) -> Units:
    gain = np.zeros(samples)
    gain[:first], gain[first : first + second] = 1.0, -1.0
    return units(gain, np.ones(samples), np.arange(samples).astype(str), -1.0, seed=0)


def test_groups_are_summed_and_a_group_of_mean_size_may_be_lost() -> None:
    found = units(np.array([1.0, -1.0, 1.0, 0.0]), np.ones(4), np.array(["a", "a", "b", "c"]), -1.0, seed=0)
    assert (found.gain_G.tolist(), found.weight_G.tolist()) == ([0.0, 1.0, 0.0], [2.0, 1.0, 1.0])
    assert found.lost == pytest.approx(-4 / 3)
    assert found.value == 0.25


def test_no_disagreement_at_all_gives_the_rule_of_three() -> None:
    assert p_value(alone(0, 0, 150), -0.02, seed=0) == pytest.approx(0.98**150, abs=0.006)


def test_seldom_disagreement_is_about_the_binomial_test_and_never_bolder() -> None:
    for second in (3, 4, 5):
        found, exact = p_value(alone(0, second, 400), -0.02, seed=0), binom.cdf(second, 400, 0.02)
        assert 0.9 * exact < found < 1.6 * exact


def test_with_much_data_it_is_the_normal_test() -> None:
    found = p_value(alone(500, 520, 4000), -0.02, seed=0)
    assert found == pytest.approx(norm.sf((0.02 - 0.005) / np.sqrt(1020 / 4000 / 4000)), abs=0.012)


def test_what_is_no_better_has_no_small_p() -> None:
    assert p_value(alone(10, 40, 500), -0.05, seed=0) == 1.0


def test_the_same_data_and_seed_give_the_same_p() -> None:
    assert p_value(alone(20, 22, 300), -0.05, seed=4) == p_value(alone(20, 22, 300), -0.05, seed=4)


def test_the_level_is_students() -> None:
    assert level(0.95, 20) == pytest.approx(norm.sf(t.ppf(0.95, 19)))
    assert level(0.95, 100_000) == pytest.approx(0.05, abs=1e-4)


def test_many_groups_that_all_differ_are_dealt_into_piles() -> None:
    gain = np.random.default_rng(0).normal(0.1, 1.0, 3000)
    found = units(gain, np.ones(3000), np.arange(3000).astype(str), None, seed=0)
    assert found.gain_G.size == tilted.MAX_PILES
    assert (found.gain_G.sum(), found.weight_G.sum()) == (pytest.approx(gain.sum()), 3000)
    assert p_value(found, 0.0, seed=0) == pytest.approx(norm.sf(gain.mean() / gain.std() * np.sqrt(3000)), abs=0.004)
