"""The rows that a gate compares: what each sample says of candidate and rival, by metric.

In: a report's `predictions.parquet`. Out: per sample a gain and what the margin weighs there, for the whole, for slices and for subsets of
modalities. The gain's sum over the weight's is the benefit: of accuracy the difference, of errors the share of the rival's that is gone.

    accuracy    gain = right - rival right              weight = 1
    mae         gain = |rival's error| - |error|        weight = |rival's error|
    rmse        gain = rival's error² - error²          weight = rival's error²; a share s of rmse is 1 - (1 - s)² of it
    a ratio of sums with the same below the line in both, such as R@K or an error rate:
                gain = above - rival's above            weight = below; turned round where less is better
    any other   gain = part - rival's part              weight = 1; a part is a sample's influence on the metric, added to its value

So many parts have the metric as their mean, and their spread is its standard error (Davison & Hinkley 1997, §2.7).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from tasks.errors import CorruptArtifact, InputError
from tasks.evaluation.measures import Measure
from tasks.evaluation.scorer import Columns
from tasks.evaluation.scoring import parts_of, value_of_columns
from tasks.gating.config import GateConfig
from tasks.gating.metrics import measure_of, wrong_metric
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

    @property
    def tells(self) -> bool:
        """Whether these samples say anything of the metric: a slice without a strange sample says nothing of an area under ROC."""
        return bool(np.isfinite(self.gain_N).all()) and float(self.weight_N.sum()) > 0


@dataclass(frozen=True)
class Rows:
    """The samples of one head that have a label."""

    metric: str
    groups_N: NDArray[np.str_]
    scores: dict[str, Floats | Columns]
    """Column of predictions → 1 where right, or the error; of other kinds of heads the columns of their scorer."""
    slices: dict[str, NDArray[np.object_]]
    """Column → value a sample, None where it has none."""
    kind: str = ""
    """Of the head, in the report; empty = one of a class or a number."""

    @property
    def size(self) -> int:
        return self.groups_N.size

    def value(self, column: str) -> float:
        """The metric of a column of predictions."""
        scores_N = self.scores[column]
        if isinstance(scores_N, Mapping):
            return value_of_columns(self.kind, measure_of(self.kind, self.metric), scores_N)
        return float(np.sqrt(np.mean(scores_N**2)) if self.metric == "rmse" else np.mean(np.abs(scores_N)))

    def contest(self, candidate: str, rival: str, among_N: NDArray[np.bool_] | None = None) -> Contest:
        """Two columns held against each other, on all samples or some."""
        chosen_N = np.ones(self.size, dtype=bool) if among_N is None else among_N
        own, other = self.scores[candidate], self.scores[rival]
        if isinstance(own, Mapping) and isinstance(other, Mapping):
            here, there = ({name: column[chosen_N] for name, column in side.items()} for side in (own, other))
            return _contest(self.kind, measure_of(self.kind, self.metric), here, there, self.groups_N[chosen_N])
        assert isinstance(own, np.ndarray)
        assert isinstance(other, np.ndarray)
        own_N, other_N = own[chosen_N], other[chosen_N]
        part = Rows(self.metric, self.groups_N[chosen_N], {candidate: own_N, rival: other_N}, {})
        if self.metric == "accuracy":
            gain_N, weight_N = own_N - other_N, np.ones_like(own_N)
        elif self.metric == "mae":
            gain_N, weight_N = np.abs(other_N) - np.abs(own_N), np.abs(other_N)
        else:
            gain_N, weight_N = other_N**2 - own_N**2, other_N**2
        return Contest(gain_N, weight_N, part.groups_N, part.value(candidate), part.value(rival))


def _contest(kind: str, measure: Measure, own: Columns, other: Columns, groups_N: NDArray[np.str_]) -> Contest:
    if measure.above and np.array_equal(own[measure.below], other[measure.below]):
        gain_N, weight_N = own[measure.above] - other[measure.above], own[measure.below]
    else:
        gain_N = parts_of(kind, measure, own) - parts_of(kind, measure, other)
        weight_N = np.ones(groups_N.size)
    values = (value_of_columns(kind, measure, side) for side in (own, other))
    return Contest(gain_N if measure.higher else -gain_N, weight_N, groups_N, *values)


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
        there, kind = file.schema_arrow.names, _kind(file.schema_arrow.metadata or {}, gate.head)
        _check_head(gate, there, kind)
        if kind:
            return _of_kind(file, gate, kind)
        columns = [name for name in there if name.startswith(f"{gate.head}.") and _is_prediction(name.removeprefix(f"{gate.head}."))]
        slices = _slices(gate, there)
        table = file.read(["group", f"{gate.head}.label", *columns, *slices])
    labels_N, number = table[f"{gate.head}.label"], gate.metric != "accuracy"
    known_N = np.asarray(labels_N.is_valid()) & (~np.isnan(_numbers(labels_N)) if number else True)
    kept = table.filter(pa.array(known_N))
    truth = kept[f"{gate.head}.label"]
    scores: dict[str, Floats | Columns] = {
        name.removeprefix(f"{gate.head}."): _numbers(kept[name]) - _numbers(truth) if number else _equal(kept[name], truth)
        for name in columns
    }
    values = {name.removeprefix("slice."): _strings(kept[name]) for name in slices}
    return Rows(gate.metric, _strings(kept["group"]).astype(str), scores, values)


def _of_kind(file: pq.ParquetFile, gate: GateConfig, kind: str) -> Rows:
    """The rows of a head whose samples stand there as the columns of its scorer. Raises InputError where they cannot tell the metric."""
    there, prefix = file.schema_arrow.names, f"{gate.head}."
    columns = [name for name in there if name.startswith(prefix) and _is_sums(name.removeprefix(prefix))]
    slices = _slices(gate, there)
    table = file.read(["group", *columns, *slices])
    kept = table.filter(table[f"{prefix}sums"].is_valid())
    scores: dict[str, Floats | Columns] = {}
    for name in columns:
        parts = kept[name].combine_chunks()
        scores[name.removeprefix(prefix).replace("sums", "prediction", 1)] = {
            parts.type.field(at).name: np.asarray(parts.field(at).to_numpy(zero_copy_only=False), dtype=np.float64)
            for at in range(parts.type.num_fields)
        }
    values = {name.removeprefix("slice."): _strings(kept[name]) for name in slices}
    rows = Rows(gate.metric, _strings(kept["group"]).astype(str), scores, values, kind)
    for name in scores:
        if rows.size and "[" not in name and not np.isfinite(rows.value(name)):
            raise InputError(
                f"gate.metric {gate.metric}: the {rows.size} samples of {gate.head!r} cannot tell it: they have nothing that it is a share "
                "of; evaluate on samples that have"
            )
    return rows


def _kind(metadata: Mapping[bytes, bytes], head: str) -> str:
    return metadata.get(f"medley.kind.{head}".encode(), b"").decode()


def _is_sums(name: str) -> bool:
    return name.partition("[")[0] in ("sums", "baseline_sums", "best_sums")


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


def _check_head(gate: GateConfig, columns: list[str], kind: str) -> None:
    """`kind`: of a head that says neither a class nor a number."""
    heads = [name.removesuffix(".label") for name in columns if name.endswith(".label")]
    if gate.head not in heads:
        raise InputError(
            f"gate.head {gate.head!r} is not in the report; its heads are: {', '.join(heads) or 'none'}{closest(gate.head, heads)}"
        )
    category = f"{gate.head}.probability" in columns
    if wrong := wrong_metric(gate.head, gate.metric, kind or ("category" if category else "number")):
        raise InputError(wrong)


def _equal(column: pa.ChunkedArray, truth: pa.ChunkedArray) -> Floats:
    equal: Floats = (_strings(column) == _strings(truth)).astype(np.float64)
    return equal


def _numbers(column: pa.ChunkedArray) -> Floats:
    return np.asarray(column.cast(pa.float64()).to_numpy(zero_copy_only=False), dtype=np.float64)


def _strings(column: pa.ChunkedArray) -> NDArray[Any]:
    return np.array(column.cast(pa.string()).to_pylist(), dtype=object)
