"""Heads that say of each class whether it is there. A class is said when its probability is at least one half.

Beside its metrics a report has `per_class`: {class: {precision, recall, f1, average_precision, support, predicted}}. Macro means are over
the classes that occur, as a label or said; the areas' means over those that are in some samples and, for ROC, not in others.

Shapes: N samples, K classes, R resamples.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from tasks.evaluation.intervals import Bootstrap
from tasks.evaluation.metrics import ClassCounts, macro_scores, per_class
from tasks.evaluation.ranking import auroc, average_precision, mean_over_classes
from tasks.evaluation.scorer import Bools, Columns, Floats, Subject
from tasks.evaluation.scorers.sets import class_lists

THRESHOLD = 0.5
"""Least probability at which a class is said."""


def f1_micro(sums: Columns) -> Floats:
    """2 hits / (said + true); 0 where there is neither, as scikit-learn has it."""
    below = np.asarray(sums["predicted"] + sums["true"], dtype=np.float64)
    found: Floats = np.divide(2.0 * sums["hits"], below, out=np.zeros(below.shape), where=below > 0)
    return found


def f1_macro(columns: Columns, weight_RN: Floats) -> Floats:
    """R: unweighted over the classes that occur."""
    said_NK, true_NK = columns["probability"] >= THRESHOLD, columns["truth"]
    counts = (weight_RN @ part.astype(np.float64) for part in (said_NK & true_NK, said_NK, true_NK))
    return macro_scores(ClassCounts(*counts)).f1


class MultiLabel:
    """See `tasks.evaluation.scorer.Scorer`."""

    by_subsets: ClassVar[bool] = True
    formulas: ClassVar[Mapping[str, Callable[[Columns], Any]]] = {"f1_micro": f1_micro}
    weighted: ClassVar[Mapping[str, Callable[[Columns, Floats], Floats]]] = {
        "f1_macro": f1_macro,
        "average_precision": lambda columns, weight_RN: mean_over_classes(
            average_precision, columns["probability"], columns["truth"].astype(bool), weight_RN
        ),
        "auroc": lambda columns, weight_RN: mean_over_classes(auroc, columns["probability"], columns["truth"].astype(bool), weight_RN),
    }
    parts: ClassVar[Mapping[str, Callable[[Columns], Floats]]] = {}

    def __init__(self, subject: Subject) -> None:
        self.classes: tuple[str, ...] = tuple(subject.info["classes"])

    def said(self, predicted: NDArray[Any]) -> NDArray[Any]:
        """Float32 NK."""
        return np.asarray(predicted, dtype=np.float32)

    def true(self, target: Any) -> NDArray[Any]:
        """Float32 NK of 0 and 1; NaN in all classes of a sample without the label."""
        return np.asarray(target, dtype=np.float32)

    def known(self, true: NDArray[Any]) -> Bools:
        return np.asarray(np.isfinite(true).all(axis=1))

    def columns(self, said: NDArray[Any], true: NDArray[Any]) -> dict[str, Floats]:
        said_NK, true_NK = said >= THRESHOLD, true > 0
        return {
            "hits": (said_NK & true_NK).sum(axis=1).astype(np.float64),
            "predicted": said_NK.sum(axis=1).astype(np.float64),
            "true": true_NK.sum(axis=1).astype(np.float64),
            "exact": (said_NK == true_NK).all(axis=1).astype(np.float64),
            "samples": np.ones(len(said)),
        }

    def tables(self, said: NDArray[Any], true: NDArray[Any]) -> dict[str, Any]:
        return {"probability": said, "truth": true > 0}

    def details(self, said: NDArray[Any], true: NDArray[Any], groups_N: NDArray[Any], bootstrap: Bootstrap) -> dict[str, Any]:  # noqa: ARG002
        said_NK, true_NK = said >= THRESHOLD, true > 0
        counts = ClassCounts(*(part.sum(axis=0).astype(np.float64) for part in (said_NK & true_NK, said_NK, true_NK)))
        once = np.ones((1, len(said)))
        ranked = [float(average_precision(said[:, at], true_NK[:, at], once)[0]) for at in range(len(self.classes))]
        scores = per_class(self.classes, counts)
        return {
            "classes": list(self.classes),
            "per_class": {name: {**scores[name], "average_precision": value} for name, value in zip(self.classes, ranked, strict=True)},
        }

    def translated(self, said: NDArray[Any], other: MultiLabel) -> NDArray[Any]:
        """By the classes' names; a class that the other model does not know has probability 0."""
        places = {name: at for at, name in enumerate(other.classes)}
        found = np.zeros((len(said), len(self.classes)), dtype=np.float32)
        for at, name in enumerate(self.classes):
            if name in places:
                found[:, at] = said[:, places[name]]
        return found

    def words(self, said: Any) -> str:
        return ", ".join(name for name, chance in zip(self.classes, said, strict=True) if chance >= THRESHOLD) or "none"

    def true_words(self, true: Any) -> str:
        return self.words(true) if np.isfinite(true).all() else ""

    def stored(self, said: NDArray[Any]) -> Any:
        """Lists of classes."""
        return class_lists(said >= THRESHOLD, np.ones(len(said), dtype=bool), self.classes)

    def stored_true(self, true: NDArray[Any]) -> Any:
        return class_lists(true > 0, self.known(true), self.classes)
