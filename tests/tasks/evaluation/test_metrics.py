from __future__ import annotations

import numpy as np
import pytest
from sklearn import metrics as reference

from tasks.evaluation.metrics import ClassCounts, ErrorSums, class_scores, confusion_matrix, macro_scores, mae, r2, rmse

pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.UndefinedMetricWarning")

CASES = {
    "all classes occur": (10, np.arange(10)),
    "one class is never a label": (6, np.array([0, 1, 2, 4, 5])),
    "two classes": (2, np.array([0, 1])),
    "one class": (3, np.array([1])),
}


def drawn(case: str) -> tuple[int, np.ndarray, np.ndarray]:
    num_classes, labels = CASES[case]
    rng = np.random.default_rng(3)
    labels_N = rng.choice(labels, 400)
    return num_classes, labels_N, np.where(rng.random(400) < 0.7, labels_N, rng.integers(0, num_classes, 400))


@pytest.mark.parametrize("case", CASES)
def test_confusion_matrix_equals_scikit_learn(case: str) -> None:
    num_classes, labels_N, predictions_N = drawn(case)
    ours = confusion_matrix(labels_N, predictions_N, num_classes)
    np.testing.assert_array_equal(ours, reference.confusion_matrix(labels_N, predictions_N, labels=range(num_classes)))


@pytest.mark.parametrize("case", CASES)
def test_precision_recall_and_f1_of_each_class_equal_scikit_learn(case: str) -> None:
    num_classes, labels_N, predictions_N = drawn(case)
    ours = class_scores(ClassCounts.of_confusion(confusion_matrix(labels_N, predictions_N, num_classes)))
    theirs = reference.precision_recall_fscore_support(labels_N, predictions_N, labels=range(num_classes), zero_division=0)
    for mine, other in zip((ours.precision, ours.recall, ours.f1), theirs, strict=False):
        np.testing.assert_allclose(mine, other, atol=1e-9, rtol=0)


@pytest.mark.parametrize("case", CASES)
def test_macro_scores_equal_scikit_learn(case: str) -> None:
    num_classes, labels_N, predictions_N = drawn(case)
    ours = macro_scores(ClassCounts.of_confusion(confusion_matrix(labels_N, predictions_N, num_classes)))
    theirs = reference.precision_recall_fscore_support(labels_N, predictions_N, average="macro", zero_division=0)
    assert (float(ours.precision), float(ours.recall), float(ours.f1)) == pytest.approx(theirs[:3], abs=1e-9)


def test_scores_over_a_leading_axis_are_those_of_each_row() -> None:
    num_classes, labels_N, predictions_N = drawn("all classes occur")
    halves = [
        ClassCounts.of_confusion(confusion_matrix(labels_N[half], predictions_N[half], num_classes))
        for half in (slice(200), slice(200, None))
    ]
    stacked = ClassCounts(*(np.stack([getattr(half, name) for half in halves]) for name in ("hits", "predicted", "support")))
    np.testing.assert_allclose(macro_scores(stacked).f1, [macro_scores(half).f1 for half in halves])


@pytest.mark.parametrize("offset", [0.0, 1e6])
def test_regression_metrics_equal_scikit_learn(offset: float) -> None:
    rng = np.random.default_rng(4)
    labels_N = rng.normal(size=500) + offset
    predictions_N = labels_N + rng.normal(size=500) * 0.4
    sums = ErrorSums.of_columns(np.array([column.sum() for column in ErrorSums.columns(labels_N, predictions_N)]))
    assert float(rmse(sums)) == pytest.approx(reference.root_mean_squared_error(labels_N, predictions_N), abs=1e-9)
    assert float(mae(sums)) == pytest.approx(reference.mean_absolute_error(labels_N, predictions_N), abs=1e-9)
    assert float(r2(sums)) == pytest.approx(reference.r2_score(labels_N, predictions_N), abs=1e-9)


@pytest.mark.parametrize("scale", [1e-9, 1e-3, 1e9])
def test_r2_does_not_ask_for_the_unit(scale: float) -> None:
    rng = np.random.default_rng(0)
    labels_N = scale * (11 + rng.standard_normal(200))
    predictions_N = labels_N + scale * 0.1 * rng.standard_normal(200)
    sums = ErrorSums.of_columns(np.array([column.sum() for column in ErrorSums.columns(labels_N, predictions_N)]))
    assert float(r2(sums)) == pytest.approx(reference.r2_score(labels_N, predictions_N), abs=1e-9)


@pytest.mark.parametrize("error", [0.0, 0.5])
def test_r2_of_equal_labels_is_that_of_scikit_learn(error: float) -> None:
    labels_N = np.full(20, 7.0)
    sums = ErrorSums.of_columns(np.array([column.sum() for column in ErrorSums.columns(labels_N, labels_N + error)]))
    assert float(r2(sums)) == reference.r2_score(labels_N, labels_N + error)
