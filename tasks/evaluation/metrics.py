"""Accuracy, precision, recall, F1, confusion; RMSE, MAE, R².

In: counts or sums in numpy arrays. Out: the same shapes without their last axis, so that one call scores a single evaluation or all
resamples of a bootstrap. Nothing here knows models, files or modalities.

Shapes: N samples, K classes, R resamples; `...` = any leading axes.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]


def confusion_matrix(labels_N: NDArray[Any], predictions_N: NDArray[Any], num_classes: int) -> Ints:
    """Counts KK: row = the label, column = the prediction. Both are class indices in 0..K-1."""
    cells = labels_N.astype(np.int64) * num_classes + predictions_N.astype(np.int64)
    return np.bincount(cells, minlength=num_classes * num_classes).reshape(num_classes, num_classes)


@dataclass(frozen=True)
class ClassCounts:
    """Per class: how often it was right, how often predicted, how often the label. Each `...K`."""

    hits: Floats
    predicted: Floats
    support: Floats

    @classmethod
    def of_confusion(cls, confusion_KK: Ints) -> ClassCounts:
        matrix = confusion_KK.astype(np.float64)
        return cls(hits=np.diagonal(matrix).copy(), predicted=matrix.sum(axis=0), support=matrix.sum(axis=1))


@dataclass(frozen=True)
class ClassScores:
    """Per class, in 0..1; 0 where a ratio has nothing below its line, as scikit-learn has it."""

    precision: Floats
    recall: Floats
    f1: Floats


def class_scores(counts: ClassCounts) -> ClassScores:
    return ClassScores(
        precision=_ratio(counts.hits, counts.predicted),
        recall=_ratio(counts.hits, counts.support),
        f1=_ratio(2 * counts.hits, counts.predicted + counts.support),
    )


def per_class(classes: Sequence[str], counts: ClassCounts) -> dict[str, dict[str, float | int]]:
    """Class → its scores and counts, for a report. `counts` of one evaluation, each K."""
    scores = class_scores(counts)
    return {
        name: {
            "precision": float(scores.precision[at]),
            "recall": float(scores.recall[at]),
            "f1": float(scores.f1[at]),
            "support": int(counts.support[at]),
            "predicted": int(counts.predicted[at]),
        }
        for at, name in enumerate(classes)
    }


@dataclass(frozen=True)
class MacroScores:
    """Unweighted means over the classes that occur as a label or as a prediction; each `...`."""

    precision: Floats
    recall: Floats
    f1: Floats


def macro_scores(counts: ClassCounts) -> MacroScores:
    scores = class_scores(counts)
    occurs = (counts.predicted + counts.support) > 0
    num_occurring = np.maximum(occurs.sum(axis=-1), 1)

    def mean(values: Floats) -> Floats:
        return np.asarray(np.where(occurs, values, 0.0).sum(axis=-1) / num_occurring, dtype=np.float64)

    return MacroScores(mean(scores.precision), mean(scores.recall), mean(scores.f1))


@dataclass(frozen=True)
class ErrorSums:
    """What the regression metrics need, summed over samples; each `...`. Labels are centred by their mean over all samples."""

    count: Floats
    absolute: Floats
    squared: Floats
    label: Floats
    label_squared: Floats

    @staticmethod
    def columns(labels_N: Floats, predictions_N: Floats) -> list[Floats]:
        """The five numbers of each sample, in the order of the fields, each N."""
        error = predictions_N - labels_N
        centred = labels_N - labels_N.mean()
        return [np.ones_like(error), np.abs(error), error**2, centred, centred**2]

    @classmethod
    def of_columns(cls, sums: Floats) -> ErrorSums:
        """From sums `...5` of `columns`."""
        return cls(*(np.asarray(sums[..., index], dtype=np.float64) for index in range(5)))


def rmse(sums: ErrorSums) -> Floats:
    return np.sqrt(sums.squared / sums.count)


def mae(sums: ErrorSums) -> Floats:
    return sums.absolute / sums.count


def r2(sums: ErrorSums) -> Floats:
    """1 - SSE/SST; where all labels are equal 1 for a perfect prediction and 0 for any other, as scikit-learn has it."""
    total = sums.label_squared - sums.label**2 / sums.count
    constant = total <= 1e-12 * sums.label_squared  # of centred labels, so that their unit does not matter
    ratio = sums.squared / np.where(constant, 1.0, total)
    return np.where(constant, np.where(sums.squared > 0, 0.0, 1.0), 1.0 - ratio)


def _ratio(above: Floats, below: Floats) -> Floats:
    return np.divide(above, below, out=np.zeros_like(above, dtype=np.float64), where=below > 0)
