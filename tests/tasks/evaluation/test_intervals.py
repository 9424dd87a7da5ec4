from __future__ import annotations

import time

import numpy as np
import pytest
from scipy.stats import binomtest

from tasks.evaluation import intervals
from tasks.evaluation.intervals import Bootstrap, interval, mcnemar_exact, num_groups, resampled_sums, resampled_weights


def test_resamples_agree_with_a_plain_loop_over_groups() -> None:
    rng = np.random.default_rng(0)
    groups_N = rng.integers(0, 40, 300)
    values_N = rng.random(300)
    drawn = resampled_sums([np.ones(300), values_N], groups_N, Bootstrap(resamples=4000))
    means = drawn[:, 1] / drawn[:, 0]
    members = [np.flatnonzero(groups_N == group) for group in np.unique(groups_N)]
    looped = []
    for _ in range(4000):
        chosen = np.concatenate([members[place] for place in rng.integers(0, len(members), len(members))])
        looped.append(values_N[chosen].mean())
    np.testing.assert_allclose(np.quantile(means, [0.025, 0.5, 0.975]), np.quantile(looped, [0.025, 0.5, 0.975]), atol=0.006)


def test_every_resample_draws_as_many_groups_as_there_are() -> None:
    drawn = resampled_sums([np.ones(50)], np.arange(50), Bootstrap(resamples=200))
    assert (drawn == 50).all()


def test_intervals_hold_the_truth_about_as_often_as_they_say() -> None:
    rng = np.random.default_rng(1)
    bootstrap = Bootstrap(resamples=300, confidence=0.9)
    held = 0
    for _ in range(300):
        ease_G = rng.beta(8, 2, 60)
        groups_N = np.repeat(np.arange(60), 4)
        right_N = rng.random(240) < ease_G[groups_N]
        drawn = resampled_sums([np.ones(240), right_N], groups_N, bootstrap)
        low, high = interval(drawn[:, 1] / drawn[:, 0], groups_N, bootstrap)  # type: ignore[misc]
        held += low <= 0.8 <= high
    assert 0.85 <= held / 300 <= 0.95


def test_samples_that_come_in_groups_make_the_interval_wider() -> None:
    right_N = np.repeat(np.random.default_rng(2).random(50) < 0.8, 8).astype(float)
    bootstrap = Bootstrap()
    widths = []
    for groups_N in (np.repeat(np.arange(50), 8), np.arange(400)):
        drawn = resampled_sums([np.ones(400), right_N], groups_N, bootstrap)
        low, high = interval(drawn[:, 1] / drawn[:, 0], groups_N, bootstrap)  # type: ignore[misc]
        widths.append(high - low)
    assert widths[0] > 2 * widths[1]


def test_columns_of_one_call_share_their_resamples() -> None:
    rng = np.random.default_rng(3)
    right_N = (rng.random(200) < 0.7).astype(float)
    drawn = resampled_sums([right_N, right_N + 1.0], np.arange(200), Bootstrap(resamples=100))
    np.testing.assert_allclose(drawn[:, 1] - drawn[:, 0], 200)


def test_the_same_seed_gives_the_same_resamples_and_another_seed_others() -> None:
    values_N, groups_N = np.random.default_rng(4).random(90), np.arange(90) // 3
    first, again, other = (resampled_sums([values_N], groups_N, Bootstrap(100, 0.95, seed)) for seed in (5, 5, 6))
    np.testing.assert_array_equal(first, again)
    assert (first != other).any()


def test_columns_may_be_an_array_or_come_one_by_one() -> None:
    columns_NC = np.random.default_rng(5).random((60, 3))
    groups_N = np.arange(60)
    bootstrap = Bootstrap(resamples=100)
    np.testing.assert_array_equal(
        resampled_sums(columns_NC, groups_N, bootstrap), resampled_sums((column for column in columns_NC.T), groups_N, bootstrap)
    )


def test_one_group_gives_no_interval() -> None:
    assert interval(np.ones(10), np.array(["speaker"] * 5), Bootstrap()) is None


def test_very_many_groups_are_dealt_into_piles_with_the_same_spread(monkeypatch: pytest.MonkeyPatch) -> None:
    values_N, groups_N = np.random.default_rng(6).random(6000), np.arange(6000)
    exact = resampled_sums([np.ones(6000), values_N], groups_N, Bootstrap())
    monkeypatch.setattr(intervals, "MAX_PILES", 700)
    piled = resampled_sums([np.ones(6000), values_N], groups_N, Bootstrap())
    spreads = [float((drawn[:, 1] / drawn[:, 0]).std()) for drawn in (exact, piled)]
    assert spreads[1] == pytest.approx(spreads[0], rel=0.12)


def test_two_thousand_resamples_of_two_thousand_samples_take_less_than_a_second() -> None:
    columns_NC = np.random.default_rng(7).random((2000, 40))
    started = time.process_time()
    resampled_sums(columns_NC, np.arange(2000), Bootstrap(resamples=2000))
    assert time.process_time() - started < 1.0


@pytest.mark.parametrize(("first", "second"), [(0, 0), (1, 0), (3, 12), (12, 3), (7, 7), (40, 61), (5000, 5300)])
def test_mcnemar_equals_the_exact_binomial_test(first: int, second: int) -> None:
    expected = binomtest(min(first, second), first + second).pvalue if first + second else 1.0
    assert mcnemar_exact(first, second) == pytest.approx(expected, rel=1e-8)


def test_groups_are_counted_by_their_names() -> None:
    assert num_groups(np.array(["a", "b", "a"])) == 2


@pytest.mark.parametrize("cells", [40, 4_000_000])
def test_weights_are_those_of_the_same_resamples_as_the_sums(monkeypatch: pytest.MonkeyPatch, cells: int) -> None:
    monkeypatch.setattr("tasks.evaluation.intervals._CELLS_AT_ONCE", cells)
    rng = np.random.default_rng(0)
    column, groups = rng.random(50), np.repeat(np.arange(10), 5)
    weights = np.concatenate(list(resampled_weights(groups, Bootstrap(resamples=30))))
    assert weights.shape == (30, 50)
    np.testing.assert_allclose(weights @ column, resampled_sums([column], groups, Bootstrap(resamples=30))[:, 0])
