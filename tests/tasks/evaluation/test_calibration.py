from __future__ import annotations

import numpy as np
import pytest
from sklearn.calibration import calibration_curve

from tasks.evaluation.calibration import bin_of, bins, calibration, difference
from tasks.evaluation.intervals import Bootstrap, interval, resampled_sums

BOOTSTRAP = Bootstrap(resamples=400)


def answers(number: int = 900, seed: int = 0, off: float = 0.1) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    confidence = rng.beta(5, 1.5, number)
    return confidence, rng.random(number) < np.clip(confidence - off, 0, 1)


def guo(confidence: np.ndarray, right: np.ndarray, num_bins: int) -> float:
    """Equation 3 of the paper, word for word."""
    total = 0.0
    for m in range(1, num_bins + 1):
        members = [at for at in range(len(confidence)) if (m - 1) / num_bins < confidence[at] <= m / num_bins]
        if members:
            total += len(members) / len(confidence) * abs(np.mean(right[members]) - np.mean(confidence[members]))
    return total


@pytest.mark.parametrize("num_bins", [2, 10, 15, 40])
def test_the_error_is_that_of_the_paper(num_bins: int) -> None:
    confidence, right = answers()
    found = calibration(confidence, right, np.arange(900), num_bins, BOOTSTRAP)
    assert found["ece"] == pytest.approx(guo(confidence, right, num_bins), abs=1e-9)


def test_the_bins_are_those_of_scikit_learn() -> None:
    confidence, right = answers()
    accuracy, sure = calibration_curve(right, confidence, n_bins=15)
    filled = [part for part in bins(confidence, right, 15) if part["n"]]
    np.testing.assert_allclose([part["accuracy"] for part in filled], accuracy, atol=1e-12)
    np.testing.assert_allclose([part["confidence"] for part in filled], sure, atol=1e-12)
    assert sum(part["n"] for part in filled) == 900


def test_eight_of_ten_right_at_eight_tenths_is_no_error_and_at_nine_tenths_is_one_tenth() -> None:
    right = np.arange(10) < 8
    for sure, error in ((0.8, 0.0), (0.9, 0.1)):
        assert calibration(np.full(10, sure), right, np.arange(10), 15, BOOTSTRAP)["ece"] == pytest.approx(error, abs=1e-12)


def test_an_edge_belongs_to_the_bin_below_it() -> None:
    assert bin_of(np.array([0.0, 0.1, 0.2, 0.20001, 0.4, 0.99, 1.0]), 5).tolist() == [0, 0, 0, 1, 1, 4, 4]


def test_an_empty_bin_has_no_means() -> None:
    first, last = bins(np.array([0.9, 0.95]), np.array([True, False]), 2)
    assert first == {"low": 0.0, "high": 0.5, "n": 0, "confidence": None, "accuracy": None}
    assert (last["n"], last["accuracy"]) == (2, 0.5)


def test_the_interval_takes_back_what_chance_adds() -> None:
    confidence, right = answers(off=0.0)
    groups = np.arange(900)
    found = calibration(confidence, right, groups, 15, BOOTSTRAP)
    at = bin_of(confidence, 15)
    sums = resampled_sums([np.where(at == m, right - confidence, 0.0) for m in range(15)], groups, BOOTSTRAP)
    percentiles = interval(np.abs(sums).sum(axis=1) / 900, groups, BOOTSTRAP)
    assert percentiles is not None
    assert 0 <= found["interval"][0] <= found["interval"][1] < percentiles[1]
    assert found["interval"][0] < percentiles[0]


def test_an_error_that_is_there_is_inside_its_interval_and_differs_from_none() -> None:
    found = calibration(*answers(4000, off=0.15), np.arange(4000), 15, BOOTSTRAP)
    assert 0.1 < found["interval"][0] <= found["ece"] <= found["interval"][1] < 0.2


def test_two_models_are_compared_on_the_same_resamples() -> None:
    good, bad = answers(2000, off=0.0), answers(2000, off=0.15)
    assert difference(good, good, np.arange(2000), 15, BOOTSTRAP) == {"value": 0.0, "interval": [0.0, 0.0]}
    found = difference(good, bad, np.arange(2000), 15, BOOTSTRAP)
    assert found["value"] == pytest.approx(guo(*good, 15) - guo(*bad, 15), abs=1e-9)
    assert found["interval"][1] < 0


def test_a_single_group_tells_nothing_about_others() -> None:
    confidence, right = answers(50)
    assert calibration(confidence, right, np.zeros(50), 15, BOOTSTRAP)["interval"] is None
