from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest
from sklearn import metrics

from tasks.evaluation.intervals import Bootstrap
from tasks.evaluation.said import HeadPredictions
from tasks.evaluation.scorer import Subject
from tasks.evaluation.scorers.anomaly import Anomaly
from tasks.evaluation.scoring import compared, score_kind, score_slice


def scorer() -> Anomaly:
    return Anomaly(Subject("odd", {"kind": "none"}, SimpleNamespace()))


def made(size: int = 150) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(0)
    true = (rng.random(size) < 0.3).astype(float)
    said = true + rng.normal(size=size)
    true[::50] = np.nan
    return said, true


def test_areas_equal_scikit_learn_and_have_intervals() -> None:
    said, true = made()
    own = HeadPredictions({"image": -said, "image+text": said}, scorer=scorer(), scored_as="anomaly")
    given = compared(own, true, HeadPredictions({"image": 3 * said + 1}, scorer=scorer(), scored_as="anomaly"))
    head = score_kind(given, np.arange(150)[given.known_N], Bootstrap(resamples=300))
    known = np.isfinite(true)
    assert head["auroc"] == pytest.approx(metrics.roc_auc_score(true[known], said[known]), abs=1e-6)
    assert head["average_precision"] == pytest.approx(metrics.average_precision_score(true[known], said[known]), abs=1e-6)
    assert head["interval"][0] < head["auroc"] < head["interval"][1]
    assert head["by_modalities"]["image"]["auroc"] == pytest.approx(1 - head["auroc"])
    assert head["difference"] == {"value": 0.0, "interval": [0.0, 0.0]}, "only the order of scores counts, in every resample"
    assert head["strange"] == int(np.nansum(true))


def test_where_nothing_is_strange_there_is_no_number() -> None:
    said, true = made()
    given = compared(HeadPredictions({"image": said}, scorer=scorer(), scored_as="anomaly"), true, None)
    groups = np.arange(150)
    assert score_slice(given, true == 0, groups, Bootstrap(resamples=100)) is None
    assert score_slice(given, np.arange(150) < 75, groups, Bootstrap(resamples=100))["samples"] == 73


def test_of_very_many_samples_the_first_resamples_do(monkeypatch: pytest.MonkeyPatch) -> None:
    said, true = made()
    known = np.isfinite(true)
    seen: list[int] = []
    monkeypatch.setattr("tasks.evaluation.intervals._CELLS_AT_ONCE", 150 * 100)
    monkeypatch.setattr("tasks.evaluation.scoring._MOST_CELLS", 150 * 250)
    monkeypatch.setattr("tasks.evaluation.scoring.bounds", lambda draws, groups, bootstrap: seen.append(len(draws)))
    given = compared(HeadPredictions({"image": said}, scorer=scorer(), scored_as="anomaly"), true, None)
    score_kind(given, np.arange(150)[known], Bootstrap(resamples=1000))
    assert 250 <= max(seen) <= 400
