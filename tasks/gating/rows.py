"""The rows that a gate compares: what each sample says of candidate and rival, by metric.

In: a report's `predictions.parquet`. Out: per sample a gain and what the margin weighs there, for the whole, for slices and for subsets of
modalities. The gain's sum over the weight's is the benefit: of accuracy the difference, of errors the share of the rival's that is gone.

    accuracy    gain = right - rival right              weight = 1
    mae         gain = |rival's error| - |error|        weight = |rival's error|
    rmse        gain = rival's error² - error²          weight = rival's error²; a share s of rmse is 1 - (1 - s)² of it
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from tasks.errors import CorruptArtifact, InputError
from tasks.gating.config import GateConfig
from tasks.registry import closest

Floats = NDArray[np.float64]

AGAIN = "`medley run RECIPE` evaluates again once the evaluate step"
"""How to get a report that says more."""


@dataclass(frozen=True)
class Contest:
    """Candidate and rival on the same samples."""

    gain_N: Floats
    weight_N: Floats
    groups_N: NDArray[np.str_]
    candidate: float
    """The metric itself."""
    rival: float


@dataclass(frozen=True)
class Rows:
    """The samples of one head that have a label."""

    metric: str
    groups_N: NDArray[np.str_]
    scores: dict[str, Floats]
    """Column of predictions → 1 where right, or the error."""
    slices: dict[str, NDArray[np.object_]]
    """Column → value a sample, None where it has none."""

    @property
    def size(self) -> int:
        return self.groups_N.size

    def value(self, column: str) -> float:
        """The metric of a column of predictions."""
        scores_N = self.scores[column]
        return float(np.sqrt(np.mean(scores_N**2)) if self.metric == "rmse" else np.mean(np.abs(scores_N)))

    def contest(self, candidate: str, rival: str, among_N: NDArray[np.bool_] | None = None) -> Contest:
        """Two columns held against each other, on all samples or some."""
        chosen_N = np.ones(self.size, dtype=bool) if among_N is None else among_N
        own_N, other_N = self.scores[candidate][chosen_N], self.scores[rival][chosen_N]
        part = Rows(self.metric, self.groups_N[chosen_N], {candidate: own_N, rival: other_N}, {})
        if self.metric == "accuracy":
            gain_N, weight_N = own_N - other_N, np.ones_like(own_N)
        elif self.metric == "mae":
            gain_N, weight_N = np.abs(other_N) - np.abs(own_N), np.abs(other_N)
        else:
            gain_N, weight_N = other_N**2 - own_N**2, other_N**2
        return Contest(gain_N, weight_N, part.groups_N, part.value(candidate), part.value(rival))


def share(metric: str, benefit: float) -> float:
    """What a benefit is as a share of the weight."""
    return 1.0 - (1.0 - benefit) ** 2 if metric == "rmse" else benefit


def benefit(metric: str, share_: float) -> float:
    """The other way round."""
    return 1.0 - float(np.sqrt(max(0.0, 1.0 - share_))) if metric == "rmse" else share_


def read(predictions: Path, gate: GateConfig) -> Rows:
    """The rows of the gated head.

    Raises InputError when the report has no such head, one of another kind, or lacks slices that the gate names; CorruptArtifact when the
    file cannot be read.
    """
    try:
        file = pq.ParquetFile(predictions)
    except (OSError, pa.ArrowInvalid) as error:
        raise CorruptArtifact(f"{predictions} cannot be read ({error}); evaluate the model again") from error
    with file:
        there = file.schema_arrow.names
        _check_head(gate, there)
        columns = [name for name in there if name.startswith(f"{gate.head}.") and _is_prediction(name.removeprefix(f"{gate.head}."))]
        slices = _slices(gate, there)
        table = file.read(["group", f"{gate.head}.label", *columns, *slices])
    labels_N, number = table[f"{gate.head}.label"], gate.metric != "accuracy"
    known_N = np.asarray(labels_N.is_valid()) & (~np.isnan(_numbers(labels_N)) if number else True)
    kept = table.filter(pa.array(known_N))
    truth = kept[f"{gate.head}.label"]
    scores = {
        name.removeprefix(f"{gate.head}."): _numbers(kept[name]) - _numbers(truth) if number else _equal(kept[name], truth)
        for name in columns
    }
    values = {name.removeprefix("slice."): _strings(kept[name]) for name in slices}
    return Rows(gate.metric, _strings(kept["group"]).astype(str), scores, values)


def _is_prediction(name: str) -> bool:
    return name.partition("[")[0] in ("prediction", "baseline_prediction", "best_prediction")


def _slices(gate: GateConfig, there: list[str]) -> list[str]:
    wanted = [f"slice.{column}" for column in gate.slices.columns] if gate.slices else []
    if missing := [name.removeprefix("slice.") for name in wanted if name not in there]:
        known = [name.removeprefix("slice.") for name in there if name.startswith("slice.")]
        raise InputError(
            f"gate.slices.columns {', '.join(missing)}: the report has no such slices; those it has: {', '.join(known) or 'none'}"
            f"{closest(missing[0], known)}. {AGAIN} has `slices: [{', '.join(gate.slices.columns if gate.slices else [])}]`"
        )
    return wanted


def _check_head(gate: GateConfig, columns: list[str]) -> None:
    heads = [name.removesuffix(".label") for name in columns if name.endswith(".label")]
    if gate.head not in heads:
        raise InputError(
            f"gate.head {gate.head!r} is not in the report; its heads are: {', '.join(heads) or 'none'}{closest(gate.head, heads)}"
        )
    category = f"{gate.head}.probability" in columns
    if gate.metric == "accuracy" and not category:
        raise InputError(
            f"gate.head {gate.head!r} predicts a number, and the metric accuracy needs a classification head; use metric: rmse or mae"
        )
    if gate.metric != "accuracy" and category:
        raise InputError(f"gate.head {gate.head!r} predicts a category, and the metric {gate.metric} needs a regression head; use accuracy")


def _equal(column: pa.ChunkedArray, truth: pa.ChunkedArray) -> Floats:
    equal: Floats = (_strings(column) == _strings(truth)).astype(np.float64)
    return equal


def _numbers(column: pa.ChunkedArray) -> Floats:
    return np.asarray(column.cast(pa.float64()).to_numpy(zero_copy_only=False), dtype=np.float64)


def _strings(column: pa.ChunkedArray) -> NDArray[Any]:
    return np.array(column.cast(pa.string()).to_pylist(), dtype=object)
