from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from sklearn import metrics

from tasks.evaluation.intervals import Bootstrap
from tasks.evaluation.said import HeadPredictions
from tasks.evaluation.scorer import Subject
from tasks.evaluation.scorers.localisation import Localisation, overlap
from tasks.evaluation.scoring import compared, score_kind

CLASSES = ("bell", "speech")
NONE = (-1.0, -1.0, -1.0, -1.0)
NAN = (np.nan, np.nan, np.nan)


def scorer(classes: tuple[str, ...] = CLASSES, least: float = 0.0) -> Localisation:
    return Localisation(Subject("events", {"kind": "spans", "classes": list(classes)}, SimpleNamespace(score_threshold=least)))


def told(spans: Any, of: Localisation | None = None) -> NDArray[Any]:
    """Class, start, end and score, as a scorer keeps them."""
    return (of or scorer()).said(np.asarray(spans))


def test_the_overlap_is_what_both_cover_over_what_either_does() -> None:
    assert overlap(0.0, 2.0, 1.0, 3.0) == pytest.approx(1 / 3)
    assert overlap(0.0, 1.0, 2.0, 3.0) == 0


def test_a_true_span_is_found_once_by_the_highest_score_of_its_class() -> None:
    said = told([[(0, 0.0, 1.0, 0.6), (0, 0.1, 1.0, 0.9), (1, 0.0, 1.0, 0.8), NONE]])
    true = np.array([[(0, 0.0, 1.0), NAN]])
    assert scorer().tables(said, true)["span_found"].tolist() == [[0, 1, 0, 0]]
    columns = scorer().columns(said, true)
    assert [columns[name].tolist() for name in ("found", "predicted", "true")] == [[1], [3], [1]]


def test_a_sample_that_is_labelled_and_has_no_span_counts_and_one_without_a_label_does_not() -> None:
    true = np.array([[(-1.0, 0.0, 0.0)], [NAN]])
    assert scorer().known(true).tolist() == [True, False]
    assert scorer().columns(told([[(0, 0.0, 1.0, 0.5)]]), true[:1])["predicted"].tolist() == [1]
    assert (scorer().true_words(true[0]), scorer().true_words(true[1])) == ("none", "")


def test_average_precision_equals_scikit_learn_where_every_true_span_is_said() -> None:
    """Then what is found is all that there is, as that function takes it."""
    rng = np.random.default_rng(0)
    start = rng.random(60)
    true = np.stack([np.zeros(60), start, start + 1], axis=1)[:, None]
    said = np.stack(
        [
            np.stack([np.zeros(60), start, start + 1, rng.random(60)], axis=1),
            np.stack([np.zeros(60), start + 5, start + 6, rng.random(60)], axis=1),
        ],
        axis=1,
    )
    given = compared(HeadPredictions({"audio": told(said)}, scorer=scorer(), scored_as="localisation"), true, None)
    head = score_kind(given, np.arange(60), Bootstrap(resamples=200))
    hit = np.tile([True, False], 60)
    assert head["map_at_50"] == pytest.approx(metrics.average_precision_score(hit, said[:, :, 3].ravel()), abs=1e-6)
    assert (head["precision_at_50"], head["recall_at_50"], head["f1_at_50"]) == pytest.approx((0.5, 1.0, 2 / 3))
    low, high = head["map_at_50_interval"]
    assert low < head["map_at_50"] < high


def test_missed_spans_lower_the_average_precision() -> None:
    said = np.array([[(0, 0.0, 1.0, 0.9)], [NONE]])
    true = np.array([[(0, 0.0, 1.0)], [(0, 0.0, 1.0)]])
    given = compared(HeadPredictions({"audio": told(said)}, scorer=scorer(), scored_as="localisation"), true, None)
    assert score_kind(given, np.arange(2), Bootstrap(resamples=100))["map_at_50"] == pytest.approx(0.5)


def test_spans_below_the_threshold_are_ranked_and_not_given() -> None:
    own = scorer(least=0.5)
    said, true = told([[(0, 0.0, 1.0, 0.4), (0, 5.0, 6.0, 0.3)]], own), np.array([[(0, 0.0, 1.0)]])
    assert [own.columns(said, true)[name].tolist() for name in ("found", "predicted")] == [[0], [0]]
    assert (own.words(said[0]), own.stored(said).to_pylist()) == ("none", [[]])
    given = compared(HeadPredictions({"audio": said}, scorer=own, scored_as="localisation"), true, None)
    head = score_kind(given, np.arange(1), Bootstrap(resamples=100))
    assert (head["map_at_50"], head["f1_at_50"]) == (1, 0)
    rival = scorer(least=0.2)
    assert own.columns(own.translated(told([[(0, 0.0, 1.0, 0.4)]], rival), rival), true)["found"] == [1], "by its own threshold"


def test_spans_of_a_class_that_only_the_baseline_knows_find_nothing_but_count_as_said() -> None:
    own, other = scorer(), scorer(("drum", "speech"))
    said = own.translated(told([[(0, 0.0, 1.0, 0.9), (1, 0.0, 1.0, 0.9), NONE]], other), other)
    columns = own.columns(said, np.array([[(0, 0.0, 1.0), (1, 0.0, 1.0)]]))
    assert (columns["found"][0], columns["predicted"][0]) == (1, 2)
    assert own.stored(said)[0].as_py()[0]["class"] is None


def test_words_are_in_the_order_of_time() -> None:
    assert scorer().words(told([[(1, 2.0, 3.0, 0.5), (0, 0.5, 1.0, 0.4), NONE]])[0]) == "0.5-1 bell; 2-3 speech"
