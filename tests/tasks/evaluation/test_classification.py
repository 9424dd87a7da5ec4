from __future__ import annotations

import numpy as np
import pytest
from sklearn.metrics import accuracy_score, f1_score

from tasks.evaluation.classification import score_classification
from tasks.evaluation.intervals import Bootstrap
from tests.tasks.evaluation.example import example

BOOTSTRAP = Bootstrap(resamples=500, seed=1)


@pytest.fixture(scope="module")
def scored() -> tuple[dict, np.ndarray, object, np.ndarray]:
    made = example(400)
    labels_N = made.labels["digit"].copy()
    labels_N[labels_N < 0] = 0
    head = made.predictions.heads["digit"]
    baseline_N = made.baseline.heads["digit"].by_subset["audio+image+text"]
    return score_classification(labels_N, head, baseline_N, made.groups, BOOTSTRAP), labels_N, head, baseline_N


def test_numbers_equal_scikit_learn(scored: tuple) -> None:
    numbers, labels_N, head, baseline_N = scored
    for subset, predictions_N in head.by_subset.items():
        assert numbers["by_modalities"][subset]["accuracy"] == pytest.approx(accuracy_score(labels_N, predictions_N), abs=1e-12)
    assert numbers["accuracy"] == numbers["by_modalities"]["audio+image+text"]["accuracy"]
    assert numbers["f1_macro"] == pytest.approx(f1_score(labels_N, head.by_subset["audio+image+text"], average="macro"), abs=1e-9)
    assert numbers["baseline_accuracy"] == pytest.approx(accuracy_score(labels_N, baseline_N), abs=1e-12)
    assert numbers["samples"] == 400
    assert numbers["groups"] == 134


def test_intervals_hold_their_values(scored: tuple) -> None:
    numbers = scored[0]
    low, high = numbers["interval"]
    assert low < numbers["accuracy"] < high
    assert numbers["f1_macro_interval"][0] < numbers["f1_macro"] < numbers["f1_macro_interval"][1]
    difference = numbers["difference"]
    assert difference["value"] == pytest.approx(numbers["accuracy"] - numbers["baseline_accuracy"])
    assert difference["interval"][0] < difference["value"] < difference["interval"][1]


def test_the_best_single_modality_is_compared_with_the_full_set(scored: tuple) -> None:
    numbers = scored[0]
    singles = {name: numbers["by_modalities"][name]["accuracy"] for name in ("audio", "image", "text")}
    best = numbers["best_single"]
    assert best["modalities"] == max(singles, key=lambda name: singles[name])
    assert best["difference"]["value"] == pytest.approx(numbers["accuracy"] - best["accuracy"])
    assert best["difference"]["interval"][0] > 0


def test_differences_are_paired_so_they_are_tighter_than_two_intervals(scored: tuple) -> None:
    numbers = scored[0]
    pair = numbers["by_modalities"]["image+text"]
    width = pair["difference"]["interval"][1] - pair["difference"]["interval"][0]
    assert width < (numbers["interval"][1] - numbers["interval"][0]) + (pair["interval"][1] - pair["interval"][0])
    assert numbers["by_modalities"]["audio+image+text"]["difference"] == {"value": 0.0, "interval": [0.0, 0.0]}


def test_mcnemar_counts_where_only_one_is_right(scored: tuple) -> None:
    numbers, labels_N, head, baseline_N = scored
    right, other = head.by_subset["audio+image+text"] == labels_N, baseline_N == labels_N
    assert numbers["mcnemar"]["candidate_only"] == int((right & ~other).sum())
    assert numbers["mcnemar"]["baseline_only"] == int((other & ~right).sum())


def test_per_class_numbers_add_up(scored: tuple) -> None:
    numbers = scored[0]
    assert sum(entry["support"] for entry in numbers["per_class"].values()) == 400
    assert sum(map(sum, numbers["confusion"])) == 400
    assert numbers["majority_accuracy"] == max(entry["support"] for entry in numbers["per_class"].values()) / 400


def test_one_modality_has_no_best_single() -> None:
    made = example(90)
    head = made.predictions.heads["digit"]
    alone = type(head)({"image": head.by_subset["image"]}, head.classes, head.probability)
    numbers = score_classification(np.maximum(made.labels["digit"], 0), alone, None, made.groups, BOOTSTRAP)
    assert numbers["best_single"] is None
    assert "difference" not in numbers


def test_one_group_has_numbers_without_intervals() -> None:
    made = example(90)
    numbers = score_classification(np.maximum(made.labels["digit"], 0), made.predictions.heads["digit"], None, np.zeros(90), BOOTSTRAP)
    assert numbers["interval"] is None
    assert numbers["best_single"]["difference"]["interval"] is None
