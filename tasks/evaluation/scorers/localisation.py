"""Heads that say where in a recording something is: spans with a class, a start, an end and a score.

A said span finds a true one of its sample and class when their overlap is at least half of what both cover together (IoU 0.5); spans are
taken from the highest score to the lowest, each true span is found once, by the best that is left for it. F1, precision and recall count
the spans that the head gives, whose score reaches its `score_threshold`. Average precision is over the scores of all that it finds, down to
0.05 and `max_spans` of a sample, all samples together, without interpolation; its mean is over the classes that occur.

Shapes: N samples, S said spans, U true spans, K classes, R resamples.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, ClassVar

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from tasks.evaluation.intervals import Bootstrap
from tasks.evaluation.labels import class_indices
from tasks.evaluation.ranking import average_precision
from tasks.evaluation.scorer import Bools, Columns, Floats, Subject

LEAST_OVERLAP = 0.5
_SPAN = pa.struct([("class", pa.string()), ("start", pa.float64()), ("end", pa.float64())])
_SCORED_SPAN = pa.struct([*_SPAN, ("score", pa.float64())])


def f1(sums: Columns) -> Any:
    """2 found / (said + true); 0 where there is neither."""
    below = np.asarray(sums["predicted"] + sums["true"], dtype=np.float64)
    return np.divide(2.0 * sums["found"], below, out=np.zeros(below.shape), where=below > 0)


def mean_average_precision(columns: Columns, weight_RN: Floats) -> Floats:
    """R: over the classes that occur in a resample; NaN where none does."""
    class_NS, score_NS, found_NS, true_NK = (columns[name] for name in ("span_class", "span_score", "span_found", "class_true"))
    total_R, number_R = np.zeros(len(weight_RN)), np.zeros(len(weight_RN))
    for at in range(true_NK.shape[1]):
        rows, places = np.nonzero(class_NS == at)
        value_R = average_precision(score_NS[rows, places], found_NS[rows, places] > 0, weight_RN[:, rows], weight_RN @ true_NK[:, at])
        total_R += np.nan_to_num(value_R)
        number_R += np.isfinite(value_R)
    found: Floats = np.divide(total_R, number_R, out=np.full(len(weight_RN), np.nan), where=number_R > 0)
    return found


class Localisation:
    """See `tasks.evaluation.scorer.Scorer`.

    Said is float64 N S 5 (class, start, end, score, whether it is given), rows of -1 = none; true float64 N U 3, NaN = none, class -1 =
    labelled, and none there.
    """

    by_subsets: ClassVar[bool] = True
    formulas: ClassVar[Mapping[str, Callable[[Columns], Any]]] = {"f1_at_50": f1}
    weighted: ClassVar[Mapping[str, Callable[[Columns, Floats], Floats]]] = {"map_at_50": mean_average_precision}
    parts: ClassVar[Mapping[str, Callable[[Columns], Floats]]] = {}

    def __init__(self, subject: Subject) -> None:
        self.classes: tuple[str, ...] = tuple(subject.info["classes"])
        self.least = subject.config.score_threshold

    def said(self, predicted: NDArray[Any]) -> NDArray[Any]:
        given_NS = np.where(predicted[:, :, 0] >= 0, predicted[:, :, 3] >= self.least, -1)
        return np.concatenate([predicted, given_NS[:, :, None]], axis=2).astype(np.float64)

    def true(self, target: Any) -> NDArray[Any]:
        return np.asarray(target, dtype=np.float64)

    def known(self, true: NDArray[Any]) -> Bools:
        return np.asarray(np.isfinite(true[:, :, 0]).any(axis=1))

    def columns(self, said: NDArray[Any], true: NDArray[Any]) -> dict[str, Floats]:
        return {
            "found": (_found(said, true) * (said[:, :, 4] > 0)).sum(axis=1),
            "predicted": (said[:, :, 4] > 0).sum(axis=1).astype(np.float64),
            "true": _there(true).sum(axis=1).astype(np.float64),
        }

    def tables(self, said: NDArray[Any], true: NDArray[Any]) -> dict[str, Any]:
        there_NU = _there(true)
        per_class = [((true[:, :, 0] == at) & there_NU).sum(axis=1) for at in range(len(self.classes))]
        return {
            "span_class": said[:, :, 0],
            "span_score": said[:, :, 3],
            "span_found": _found(said, true),
            "class_true": np.stack(per_class, axis=1).astype(np.float64),
        }

    def details(self, said: NDArray[Any], true: NDArray[Any], groups_N: NDArray[Any], bootstrap: Bootstrap) -> dict[str, Any]:  # noqa: ARG002
        return {"classes": list(self.classes)}

    def translated(self, said: NDArray[Any], other: Localisation) -> NDArray[Any]:
        """By the classes' names; a span of a class that this model does not know is one that finds nothing."""
        known = np.append(class_indices(other.classes, self.classes), -1)
        found = said.copy()
        at_NS = said[:, :, 0].astype(np.int64)
        foreign = (at_NS >= 0) & (known[at_NS] < 0)
        found[:, :, 0] = np.where(foreign, len(self.classes), known[at_NS])
        return found

    def words(self, said: Any) -> str:
        return self._written(row for row in said if row[4] > 0)

    def true_words(self, true: Any) -> str:
        return self._written(row for row in true if row[0] >= 0) if np.isfinite(true[:, 0]).any() else ""

    def stored(self, said: NDArray[Any]) -> Any:
        """Lists of the spans that are given."""
        rows = [[{**self._span(row), "score": float(row[3])} for row in spans if row[4] > 0] for spans in said]
        return pa.array(rows, pa.list_(_SCORED_SPAN))

    def stored_true(self, true: NDArray[Any]) -> Any:
        known = self.known(true).tolist()
        rows = [[self._span(row) for row in spans if row[0] >= 0] if here else None for spans, here in zip(true, known, strict=True)]
        return pa.array(rows, pa.list_(_SPAN))

    def _span(self, row: Any) -> dict[str, Any]:
        at = int(row[0])
        return {"class": self.classes[at] if at < len(self.classes) else None, "start": float(row[1]), "end": float(row[2])}

    def _written(self, rows: Any) -> str:
        spans = sorted((self._span(row) for row in rows), key=lambda span: (span["start"], span["end"]))
        return "; ".join(f"{span['start']:.3g}-{span['end']:.3g} {span['class']}" for span in spans) or "none"


def overlap(start: Any, end: Any, other_start: Any, other_end: Any) -> Floats:
    """Intersection over union of spans; arrays broadcast."""
    both = np.maximum(np.minimum(end, other_end) - np.maximum(start, other_start), 0.0)
    together = np.asarray((end - start) + (other_end - other_start) - both, dtype=np.float64)
    shared: Floats = np.divide(both, together, out=np.zeros(together.shape), where=together > 0)
    return shared


def _there(true: NDArray[Any]) -> Bools:
    return np.asarray(true[:, :, 0] >= 0)


def _found(said: NDArray[Any], true: NDArray[Any]) -> Floats:
    """NS: 1 for each said span that finds a true one."""
    found = np.zeros(said.shape[:2])
    for row in np.flatnonzero((said[:, :, 0] >= 0).any(axis=1) & _there(true).any(axis=1)):
        spans = true[row][true[row, :, 0] >= 0]
        left = np.ones(len(spans), dtype=bool)
        for at in np.argsort(-said[row, :, 3], kind="stable"):
            name, start, end = said[row, at, :3]
            if name < 0:
                continue
            shared = np.where(left & (spans[:, 0] == name), overlap(start, end, spans[:, 1], spans[:, 2]), 0.0)
            best = int(shared.argmax())
            if shared[best] >= LEAST_OVERLAP:
                found[row, at], left[best] = 1.0, False
    return found
