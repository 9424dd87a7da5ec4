from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest
from sklearn import metrics

from tasks.evaluation.intervals import Bootstrap
from tasks.evaluation.said import HeadPredictions
from tasks.evaluation.scorer import Subject
from tasks.evaluation.scorers.multi_label import MultiLabel
from tasks.evaluation.scoring import compared, score_kind

CLASSES = ("bird", "cat", "dog", "eel")
BOOTSTRAP = Bootstrap(resamples=200)


def scorer(classes: tuple[str, ...] = CLASSES) -> MultiLabel:
    return MultiLabel(Subject("animals", {"kind": "set", "classes": list(classes)}, SimpleNamespace()))


def made(size: int = 120, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Probabilities that know a little, and sets; the last three samples have no label."""
    rng = np.random.default_rng(seed)
    true = (rng.random((size, 4)) < [0.5, 0.3, 0.2, 0.1]).astype(np.float32)
    said = np.clip(0.35 * true + 0.7 * rng.random((size, 4)), 0, 1).astype(np.float32)
    true[-3:] = np.nan
    return said, true


def scored(**others: HeadPredictions) -> dict:
    said, true = made()
    own = HeadPredictions({"image": said[::-1].copy(), "image+text": said}, scorer=scorer(), scored_as="multi_label")
    given = compared(own, true, others.get("baseline"))
    groups = np.asarray([f"g{at // 2}" for at in range(len(said))])
    return score_kind(given, groups[given.known_N], BOOTSTRAP)


def test_every_metric_equals_scikit_learn() -> None:
    said, true = (part[:-3] for part in made())
    head, answer = scored(), said >= 0.5
    expected = {
        "f1_micro": metrics.f1_score(true, answer, average="micro"),
        "f1_macro": metrics.f1_score(true, answer, average="macro"),
        "precision_micro": metrics.precision_score(true, answer, average="micro"),
        "recall_micro": metrics.recall_score(true, answer, average="micro"),
        "exact_match": metrics.accuracy_score(true, answer),
        "average_precision": metrics.average_precision_score(true, said, average="macro"),
        "auroc": metrics.roc_auc_score(true, said, average="macro"),
    }
    assert {name: head[name] for name in expected} == pytest.approx(expected, abs=1e-6)
    for name in expected:
        low, high = head["interval" if name == "f1_micro" else f"{name}_interval"]
        assert low < head[name] < high
    assert (head["samples"], head["groups"]) == (117, 59)


def test_a_class_has_its_own_numbers() -> None:
    said, true = (part[:-3] for part in made())
    cat = scored()["per_class"]["cat"]
    assert cat["f1"] == pytest.approx(metrics.f1_score(true[:, 1], said[:, 1] >= 0.5))
    assert cat["average_precision"] == pytest.approx(metrics.average_precision_score(true[:, 1], said[:, 1]))
    assert (cat["support"], cat["predicted"]) == (int(true[:, 1].sum()), int((said[:, 1] >= 0.5).sum()))


def test_a_baseline_is_compared_by_the_names_of_classes_on_the_same_samples() -> None:
    said, true = made()
    order = (2, 0, 1)
    baseline = HeadPredictions({"image": said[:, order]}, scorer=scorer(tuple(CLASSES[at] for at in order)), scored_as="multi_label")
    head = scored(baseline=baseline)
    without_eel = (said[:-3] >= 0.5) & np.array([True, True, True, False])
    assert head["baseline_f1_micro"] == pytest.approx(metrics.f1_score(true[:-3], without_eel, average="micro"))
    assert head["difference"]["value"] == pytest.approx(head["f1_micro"] - head["baseline_f1_micro"])
    low, high = head["difference"]["interval"]
    assert high - low < (head["interval"][1] - head["interval"][0]) / 2, "paired: what both get right or wrong is not in it"


def test_subsets_of_modalities_have_the_deciding_metric() -> None:
    head = scored()
    assert set(head["by_modalities"]) == {"image", "image+text"}
    assert head["by_modalities"]["image"]["difference"]["value"] > 0
    assert head["metric"] == "f1_micro"


def test_words_and_columns_are_lists_of_classes() -> None:
    said, true = made()
    own = scorer()
    assert own.words(np.array([0.9, 0.1, 0.5, 0.0])) == "bird, dog"
    assert own.words(np.zeros(4)) == "none"
    assert own.true_words(true[-1]) == ""
    assert own.stored(said)[0].as_py() == [name for name, chance in zip(CLASSES, said[0], strict=True) if chance >= 0.5]
    assert own.stored_true(true)[-1].as_py() is None


def test_the_best_champion_ever_is_asked_on_the_same_samples() -> None:
    said, true = made()
    own, best = (HeadPredictions({"image": each}, scorer=scorer(), scored_as="multi_label") for each in (said, 1 - said))
    given = compared(own, true, None, best)
    assert given.best is not None
    assert given.best.columns["samples"].sum() == 117
    assert given.best.columns["predicted"].sum() == ((1 - said[:-3]) >= 0.5).sum()
    assert (given.rival, compared(own, true, None).best) == (None, None)
