from __future__ import annotations

import numpy as np
import pytest
from sklearn.metrics import mean_absolute_error, r2_score, root_mean_squared_error

from tasks.evaluation.intervals import Bootstrap
from tasks.evaluation.regression import score_regression
from tests.tasks.evaluation.example import example

FULL = "audio+image+text"


@pytest.fixture(scope="module")
def scored() -> tuple:
    made = example(300)
    head, baseline_N = made.predictions.heads["height"], made.baseline.heads["height"].by_subset[FULL]
    return (
        score_regression(made.labels["height"], head, baseline_N, made.groups, Bootstrap(resamples=500)),
        made.labels["height"],
        head,
        baseline_N,
    )


def test_numbers_equal_scikit_learn(scored: tuple) -> None:
    numbers, labels_N, head, baseline_N = scored
    assert numbers["rmse"] == pytest.approx(root_mean_squared_error(labels_N, head.by_subset[FULL]), abs=1e-9)
    assert numbers["mae"] == pytest.approx(mean_absolute_error(labels_N, head.by_subset[FULL]), abs=1e-9)
    assert numbers["r2"] == pytest.approx(r2_score(labels_N, head.by_subset[FULL]), abs=1e-9)
    assert numbers["baseline_rmse"] == pytest.approx(root_mean_squared_error(labels_N, baseline_N), abs=1e-9)
    for subset, values_N in head.by_subset.items():
        assert numbers["by_modalities"][subset]["rmse"] == pytest.approx(root_mean_squared_error(labels_N, values_N), abs=1e-9)


def test_intervals_hold_their_values(scored: tuple) -> None:
    numbers = scored[0]
    for value, bounds in (("rmse", "interval"), ("mae", "mae_interval"), ("r2", "r2_interval"), ("baseline_rmse", "baseline_interval")):
        assert numbers[bounds][0] < numbers[value] < numbers[bounds][1]


def test_a_smaller_error_is_a_negative_difference(scored: tuple) -> None:
    numbers = scored[0]
    assert numbers["difference"]["value"] == pytest.approx(numbers["rmse"] - numbers["baseline_rmse"])
    assert numbers["difference"]["interval"][1] < 0
    assert numbers["best_single"]["rmse"] == min(numbers["by_modalities"][name]["rmse"] for name in ("audio", "image", "text"))
    assert numbers["best_single"]["difference"]["interval"][1] < 0


def test_without_a_baseline_there_is_no_comparison() -> None:
    made = example(60)
    numbers = score_regression(made.labels["height"], made.predictions.heads["height"], None, made.groups, Bootstrap(resamples=100))
    assert not {"difference", "baseline_rmse"} & set(numbers)
    assert np.isfinite(numbers["rmse"])
