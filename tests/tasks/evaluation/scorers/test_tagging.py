from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest
from sklearn import metrics

from tasks.evaluation.intervals import Bootstrap
from tasks.evaluation.said import HeadPredictions
from tasks.evaluation.scorer import Subject
from tasks.evaluation.scorers.tagging import Tagging
from tasks.evaluation.scoring import compared, score_kind

CLASSES = ("name", "other", "place")


def scorer(align: str = "token", classes: tuple[str, ...] = CLASSES) -> Tagging:
    return Tagging(Subject("tags", {"kind": "tags", "classes": list(classes)}, SimpleNamespace(align=align)))


def made(size: int = 80) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(0)
    length = rng.integers(1, 6, size)
    there = np.arange(5) < length[:, None]
    true = np.where(there, rng.integers(0, 3, (size, 5)), -1)
    said = np.where(there, np.where(rng.random((size, 5)) < 0.7, true, rng.integers(0, 3, (size, 5))), -1)
    return said, true


def test_every_metric_equals_scikit_learn_over_all_tokens() -> None:
    said, true = made()
    given = compared(HeadPredictions({"text": said}, scorer=scorer(), scored_as="tagging"), true, None)
    head = score_kind(given, np.arange(80), Bootstrap(resamples=200))
    flat_true, flat_said = true[true >= 0], said[true >= 0]
    assert head["token_accuracy"] == pytest.approx(metrics.accuracy_score(flat_true, flat_said), abs=1e-6)
    assert head["f1_macro"] == pytest.approx(metrics.f1_score(flat_true, flat_said, average="macro"), abs=1e-6)
    assert head["exact_match"] == pytest.approx((said == true).all(axis=1).mean(), abs=1e-6)
    assert head["per_class"]["place"]["recall"] == pytest.approx(metrics.recall_score(flat_true, flat_said, labels=[2], average="macro"))
    assert head["best_single"] is None


def test_tags_without_a_token_are_wrong_and_tokens_without_a_tag_count_nothing() -> None:
    columns = scorer().columns(np.array([[0, 1, -1], [0, 1, 2]]), np.array([[0, 1, 2], [0, -1, -1]]))
    assert columns["right"].tolist() == [2, 1]
    assert columns["tokens"].tolist() == [3, 1]
    assert columns["exact"].tolist() == [0, 1]


def test_valid_tokens_are_counted_in_their_order_wherever_they_stand() -> None:
    own = scorer()
    said = own.said(np.array([[-1, 2, -1, 0]]))
    assert said.tolist() == [[2, 0, -1, -1]]
    assert own.words(said[0]) == "place name"


def test_stretched_tags_are_compared_with_the_token_in_the_middle_of_their_share() -> None:
    said, true = np.array([[0, 0, 0, 1, 1, 1]]), np.array([[0, 1]])
    assert scorer("stretch").columns(said, true)["right"].tolist() == [2]
    assert scorer("token").columns(said, true)["right"].tolist() == [1]
    assert scorer("stretch").translated(said, scorer("token")) is None


def test_a_baseline_with_other_classes_is_read_by_their_names() -> None:
    own, other = scorer(), scorer(classes=("place", "street", "name"))
    assert own.translated(np.array([[0, 1, 2, -1]]), other).tolist() == [[2, 3, 0, -1]]


@pytest.mark.parametrize("stretch", [False, True])
def test_a_class_that_only_the_baseline_knows_is_wrong_and_moves_no_other_tag(stretch: bool) -> None:
    align = "stretch" if stretch else "token"
    own, other = scorer(align), scorer(align, (*CLASSES, "street"))
    rng = np.random.default_rng(0)
    true, said = rng.integers(0, len(own.classes), (200, 6)), rng.integers(0, len(other.classes), (200, 9 if stretch else 6))
    there, theirs = own.columns(own.translated(said, other), true), other.columns(said, true)
    np.testing.assert_array_equal(there["right"], theirs["right"])
    foreign = own.translated(np.full((1, 6), len(own.classes)), other)
    assert own.columns(foreign, true[:1])["right"] == [0]
    assert own.tables(foreign, true[:1])["class_predicted"].sum() == 0
    assert own.words(foreign[0]) == " ".join(["\ufffd"] * 6)
    assert own.stored(foreign).to_pylist() == [["\ufffd"] * 6]
