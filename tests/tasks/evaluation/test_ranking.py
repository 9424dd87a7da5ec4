from __future__ import annotations

import numpy as np
import pytest
from sklearn.metrics import average_precision_score, roc_auc_score

from tasks.evaluation.ranking import auroc, auroc_parts, average_precision, mean_over_classes


@pytest.fixture
def ranked() -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Scores with ties, a third positive, and how often each counts in 20 resamples."""
    rng = np.random.default_rng(0)
    score = np.round(rng.normal(size=200), 1)
    return score, rng.random(200) < 0.3, rng.integers(0, 4, (20, 200)).astype(float)


def test_both_areas_equal_scikit_learn_under_weights_and_ties(ranked: tuple) -> None:
    score, positive, weights = ranked
    expected = np.array(
        [[metric(positive, score, sample_weight=row) for row in weights] for metric in (roc_auc_score, average_precision_score)]
    )
    np.testing.assert_allclose(auroc(score, positive, weights), expected[0], atol=1e-9)
    np.testing.assert_allclose(average_precision(score, positive, weights), expected[1], atol=1e-9)


def test_weights_are_the_same_as_repeating_samples(ranked: tuple) -> None:
    score, positive, weights = ranked
    times = weights[0].astype(int)
    assert auroc(score, positive, weights[:1])[0] == pytest.approx(roc_auc_score(np.repeat(positive, times), np.repeat(score, times)))


def test_without_both_kinds_there_is_no_area() -> None:
    score, once = np.arange(4.0), np.ones((1, 4))
    assert np.isnan(auroc(score, np.zeros(4, bool), once))[0]
    assert np.isnan(auroc(score, np.ones(4, bool), once))[0]
    assert np.isnan(average_precision(score, np.zeros(4, bool), once))[0]
    assert np.isnan(auroc_parts(score, np.ones(4, bool))).all()


def test_what_was_never_scored_counts_as_not_found() -> None:
    score, positive, once = np.array([0.9, 0.8]), np.array([True, True]), np.ones((1, 2))
    assert average_precision(score, positive, once, np.array([4.0]))[0] == pytest.approx(0.5)


def test_the_mean_is_over_the_classes_that_can_be_ranked() -> None:
    rng = np.random.default_rng(1)
    score, positive = rng.random((50, 3)), rng.random((50, 3)) < 0.5
    positive[:, 1] = False
    expected = np.mean([roc_auc_score(positive[:, at], score[:, at]) for at in (0, 2)])
    assert mean_over_classes(auroc, score, positive, np.ones((1, 50)))[0] == pytest.approx(expected)


def test_the_parts_of_an_area_have_it_as_their_mean_and_its_standard_error_as_their_spread(ranked: tuple) -> None:
    """Beside a bootstrap of the area itself: DeLong's variance is that of the mean of the parts."""
    score, positive, _ = ranked
    parts = auroc_parts(score, positive)
    assert parts.mean() == pytest.approx(roc_auc_score(positive, score))
    weights = np.random.default_rng(2).multinomial(200, np.full(200, 1 / 200), size=4000).astype(float)
    assert parts.std() / np.sqrt(200) == pytest.approx(auroc(score, positive, weights).std(), rel=0.05)
