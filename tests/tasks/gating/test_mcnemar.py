"""The exact test keeps its level whatever the disagreement is, and its power is that of a simulation."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import binom, multinomial, norm

from tasks.gating import mcnemar


def brute_size(samples: int, delta: float, critical: float, q: float) -> float:
    """Probability of rejection, by adding up every outcome."""
    first, second = np.meshgrid(np.arange(samples + 1), np.arange(samples + 1), indexing="ij")
    possible = first + second <= samples
    first, second = first[possible], second[possible]
    chances = multinomial.pmf(np.stack([first, second, samples - first - second], axis=1), samples, [q, q - delta, 1 - 2 * q + delta])
    return float(chances[mcnemar.score(first, second, samples, delta) >= critical].sum())


@pytest.mark.parametrize("delta", [-0.05, 0.0, 0.04])
def test_the_share_of_false_alarms_is_at_most_the_level_for_every_disagreement(delta: float) -> None:
    critical = mcnemar.critical(60, delta, 0.05)
    sizes = [brute_size(60, delta, critical, q) for q in np.linspace(max(0.0, delta), (1 + delta) / 2, 25)]
    assert max(sizes) <= 0.0505, "between two values of the grid it may be a little more"
    assert max(sizes) > 0.03, "nor is it given away"


def test_where_only_the_baseline_is_ever_right_alone_it_is_the_binomial_test() -> None:
    assert mcnemar.p_value(0, 2, 300, -0.02) == pytest.approx(binom.cdf(2, 300, 0.02), rel=0.01)


def test_no_disagreement_at_all_gives_the_rule_of_three() -> None:
    assert mcnemar.p_value(0, 0, 150, -0.02) == pytest.approx(0.98**150)


def test_without_a_margin_the_statistic_is_mcnemars() -> None:
    assert mcnemar.score(30, 18, 500, 0.0) == pytest.approx((30 - 18) / np.sqrt(30 + 18))


def test_what_is_no_better_has_no_small_p() -> None:
    assert mcnemar.p_value(3, 9, 100, -0.05) == 1.0


@pytest.mark.parametrize(
    ("first", "second", "samples", "delta"), [(3, 6, 300, -0.02), (30, 40, 1000, -0.02), (5, 9, 200, 0.05), (0, 4, 90, -0.1)]
)
def test_the_restricted_estimate_is_the_most_likely_one(first: int, second: int, samples: int, delta: float) -> None:
    q = np.linspace(max(0.0, delta) + 1e-9, (1 + delta) / 2 - 1e-9, 200_001)
    likelihood = first * np.log(q) + second * np.log(q - delta) + (samples - first - second) * np.log(1 - 2 * q + delta)
    best = float(q[likelihood.argmax()])
    expected = (first - second - samples * delta) / np.sqrt(samples * (2 * best - delta - delta**2))
    assert mcnemar.score(first, second, samples, delta) == pytest.approx(expected, abs=0.01)


def test_power_is_what_a_simulation_finds() -> None:
    samples, disagreement, margin = 400, 0.08, 0.04
    stated = mcnemar.power(samples, disagreement, -margin, 0.0, 0.05)
    drawn = np.random.default_rng(0).multinomial(samples, [disagreement / 2] * 2 + [1 - disagreement], size=20_000)
    found = np.mean(mcnemar.score(drawn[:, 0], drawn[:, 1], samples, -margin) >= mcnemar.critical(samples, -margin, 0.05))
    assert stated == pytest.approx(found, abs=0.01)


def test_with_many_samples_power_is_that_of_the_normal_distribution() -> None:
    stated = mcnemar.power(4000, 0.1, -0.01, 0.0, 0.05)
    assert stated == pytest.approx(norm.cdf(0.01 / np.sqrt(0.1 / 4000) - norm.ppf(0.95)), abs=0.01)
