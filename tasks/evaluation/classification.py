"""The numbers of one classification head.

In: labels and predictions of the samples that have a label. Out: the head's part of `report.json`. All intervals of a head come from
the same resamples, so every difference is paired.

    kind                 category
    classes              in the order of the confusion matrix
    samples, groups      that have a label; `missing` = left out, because they have none
    accuracy, interval   with all modalities
    precision_macro, recall_macro, f1_macro      each also as `…_interval`
    majority_accuracy    of always saying the commonest class
    per_class            {class: {precision, recall, f1, support, predicted}}
    confusion            rows are labels, columns predictions
    by_modalities        {subset: {accuracy, interval, difference, covered}}: `difference` is the full set minus the subset,
                         `covered` counts the samples that have one of its modalities
    best_single          {modalities, accuracy, interval, difference}, or null when there is one modality only
    baseline_accuracy, baseline_interval         with a baseline
    difference           candidate minus baseline
    mcnemar              {candidate_only, baseline_only, both, neither, p}: samples that only one, both or none gets right

A difference is {value, interval}. An interval is [low, high], or null when all samples are of one group.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tasks.evaluation.intervals import Bootstrap, Floats, interval, mcnemar_exact, num_groups, resampled_sums
from tasks.evaluation.metrics import ClassCounts, confusion_matrix, macro_scores, per_class
from tasks.evaluation.said import HeadPredictions
from tasks.evaluation.subsets import subset_members

Indices = NDArray[np.int64]


def score_classification(
    labels_N: Indices,
    predictions: HeadPredictions,
    baseline_N: Indices | None,
    groups_N: NDArray[Any],
    bootstrap: Bootstrap,
) -> dict[str, Any]:
    """All numbers of the head. Labels and predictions are indices into `predictions.classes`; a baseline's other classes are -1."""
    num_classes = len(predictions.classes)
    subsets = list(predictions.by_subset)
    full = subsets[-1]
    right = {name: values == labels_N for name, values in predictions.by_subset.items()}
    baseline_right = [] if baseline_N is None else [baseline_N == labels_N]
    columns = [np.ones(labels_N.size), *(right[name] for name in subsets), *baseline_right]
    draws = resampled_sums([*columns, *_class_columns(labels_N, predictions.by_subset[full], num_classes)], groups_N, bootstrap)
    accuracy_draws = draws[:, 1 : len(columns)] / draws[:, :1]

    def bounds(values: Floats) -> list[float] | None:
        return interval(values, groups_N, bootstrap)

    drawn = dict(zip(subsets, accuracy_draws.T, strict=False))
    by_modalities = {
        name: {
            "accuracy": float(right[name].mean()),
            "interval": bounds(drawn[name]),
            "difference": {"value": float(right[full].mean() - right[name].mean()), "interval": bounds(drawn[full] - drawn[name])},
        }
        for name in subsets
    }
    head = {
        "kind": "category",
        "classes": list(predictions.classes),
        "samples": int(labels_N.size),
        "groups": num_groups(groups_N),
        "accuracy": by_modalities[full]["accuracy"],
        "interval": by_modalities[full]["interval"],
        **_class_numbers(labels_N, predictions, full, draws[:, len(columns) :], bounds),
        "by_modalities": by_modalities,
        "best_single": best_single(by_modalities, "accuracy", largest=True),
    }
    if baseline_N is not None:
        head |= _against_baseline(right[full], baseline_right[0], drawn[full], accuracy_draws[:, -1], bounds)
    return head


def best_single(by_modalities: dict[str, Any], metric: str, *, largest: bool) -> dict[str, Any] | None:
    """The subset of one modality with the best value; None when the model has a single modality only."""
    singles = [name for name in by_modalities if len(subset_members(name)) == 1]
    if len(singles) < 2:
        return None
    best = (max if largest else min)(singles, key=lambda name: by_modalities[name][metric])
    return {"modalities": best, **by_modalities[best]}


def _class_columns(labels_N: Indices, predictions_N: Indices, num_classes: int) -> Iterator[NDArray[Any]]:
    """Hits, predictions and labels of each class: 3K columns of N."""
    for index in range(num_classes):
        yield (labels_N == index) & (predictions_N == index)
    for index in range(num_classes):
        yield predictions_N == index
    for index in range(num_classes):
        yield labels_N == index


def _class_numbers(labels_N: Indices, predictions: HeadPredictions, full: str, draws_RC: Floats, bounds: Any) -> dict[str, Any]:
    classes = predictions.classes
    confusion = confusion_matrix(labels_N, predictions.by_subset[full], len(classes))
    counts = ClassCounts.of_confusion(confusion)
    macro = macro_scores(counts)
    macro_draws = macro_scores(ClassCounts(*np.split(draws_RC, 3, axis=1)))
    return {
        "precision_macro": float(macro.precision),
        "precision_macro_interval": bounds(macro_draws.precision),
        "recall_macro": float(macro.recall),
        "recall_macro_interval": bounds(macro_draws.recall),
        "f1_macro": float(macro.f1),
        "f1_macro_interval": bounds(macro_draws.f1),
        "majority_accuracy": float(counts.support.max() / labels_N.size),
        "per_class": per_class(classes, counts),
        "confusion": confusion.tolist(),
    }


def _against_baseline(
    right_N: NDArray[np.bool_], baseline_right_N: NDArray[np.bool_], draws_R: Floats, baseline_draws_R: Floats, bounds: Any
) -> dict[str, Any]:
    candidate_only = int((right_N & ~baseline_right_N).sum())
    baseline_only = int((baseline_right_N & ~right_N).sum())
    return {
        "baseline_accuracy": float(baseline_right_N.mean()),
        "baseline_interval": bounds(baseline_draws_R),
        "difference": {"value": float(right_N.mean() - baseline_right_N.mean()), "interval": bounds(draws_R - baseline_draws_R)},
        "mcnemar": {
            "candidate_only": candidate_only,
            "baseline_only": baseline_only,
            "both": int((right_N & baseline_right_N).sum()),
            "neither": int((~right_N & ~baseline_right_N).sum()),
            "p": mcnemar_exact(candidate_only, baseline_only),
        },
    }
