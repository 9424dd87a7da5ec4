"""Slices: the numbers of a model for each value of a column of the corpus.

In: a shard set, the names of columns, and the rows of predictions and labels. Out: what each sample's value is, for
`predictions.parquet`, and the `slices` and `slicing` parts of `report.json`. Columns are joined by position (docs/decisions/001): any
label, whether a head predicts it or not, `group`, `partition`, and of each modality the size in bytes and the extension of its member in
the tar, `image.size`, `image.ext`.

    slices               {column: {value: {n, groups, heads: {head: {metric, samples, M, interval,
                         baseline_…, baseline_interval, difference, mcnemar}}}}}; a head without a label there is left out
    slicing              {column: {kind, edges, pooled, missing}}: `edges` of a number's quantiles; `pooled` = how many values stand
                         together; `missing` = samples without a value, which are in no slice

A column of numbers with more distinct values than `quantiles` is cut at the quantiles of the samples at hand, and a value is called by
the numbers that are in it. Of other columns, values that fewer than `min_samples` samples have, and those beyond the `max_values`
commonest, stand together under a name that says so.

Shapes: N samples.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from numpy.typing import NDArray

from tasks.errors import InputError
from tasks.evaluation.intervals import Bootstrap, interval, mcnemar_exact, num_groups, resampled_sums
from tasks.evaluation.labels import is_missing
from tasks.evaluation.metrics import ErrorSums
from tasks.evaluation.said import HeadPredictions
from tasks.evaluation.scoring import Compared, score_slice
from tasks.registry import closest

if TYPE_CHECKING:
    from tasks.evaluate import SlicingConfig

Values = NDArray[Any]
"""Objects N: the name of each sample's slice, or None."""


@dataclass(frozen=True)
class Sliced:
    """One column, cut."""

    column: str
    value_N: Values
    names: tuple[str, ...]
    """In the order they are shown."""
    facts: dict[str, Any]
    """`slicing` of report.json."""


def cut_columns(path: Path, split: str, columns: Sequence[str], config: SlicingConfig) -> list[Sliced]:
    """The named columns of a shards artifact. Raises InputError for one that does not exist."""
    if not columns:
        return []
    index, labels = pq.ParquetFile(path / "index.parquet"), pq.ParquetFile(path / "labels.parquet")
    with index, labels:
        of_labels = [name for name in labels.schema_arrow.names if name != "key"]
        of_index = [name for name in index.schema_arrow.names if name.endswith((".size", ".ext"))]
        for column in columns:
            if column not in (*of_labels, *of_index):
                there = [*of_labels, *of_index]
                raise InputError(
                    f"slices: the shards have no column {column!r}; they have: {', '.join(there)}{closest(column, there)}. Another column "
                    "of the data becomes one as a label of the source, which no head need predict"
                )
        rows = pc.equal(index.read(["split"])["split"], split)
        tables = {column: (labels if column in of_labels else index).read([column])[column].filter(rows) for column in columns}
    return [cut(column, values, config) for column, values in tables.items()]


def cut(column: str, values: pa.ChunkedArray, config: SlicingConfig) -> Sliced:
    """A column's values to the names of slices."""
    if pa.types.is_integer(values.type) or pa.types.is_floating(values.type):
        number_N = np.array([np.nan if is_missing(value) else value for value in values.to_pylist()], dtype=np.float64)
        if np.unique(number_N[np.isfinite(number_N)]).size > config.quantiles:
            return _quantiles(column, number_N, config.quantiles)
        plain = [None if not np.isfinite(value) else f"{value:g}" for value in number_N]
    else:
        plain = [None if is_missing(value) or value == "" else str(value) for value in values.to_pylist()]
    return _categories(column, plain, config)


def _categories(column: str, plain: Sequence[str | None], config: SlicingConfig) -> Sliced:
    counted = Counter(value for value in plain if value is not None)
    commonest = sorted(counted, key=lambda value: (-counted[value], value))
    kept = [value for value in commonest if counted[value] >= config.min_samples][: config.max_values]
    pooled = set(commonest) - set(kept)
    if len(pooled) == 1:
        kept, pooled = commonest, set()
    together = _pooled_name(len(pooled), config, any(counted[value] >= config.min_samples for value in pooled))
    while together in counted:
        together = f"({together})"
    value_N = np.array([together if value in pooled else value for value in plain], dtype=object)
    facts = {"kind": "category", "edges": None, "pooled": len(pooled), "missing": sum(value is None for value in plain)}
    return Sliced(column, value_N, tuple(kept) + ((together,) if pooled else ()), facts)


def _pooled_name(number: int, config: SlicingConfig, has_large: bool) -> str:
    why = f"beyond the {config.max_values} commonest or with" if has_large else "with"
    return f"{number} values {why} fewer than {config.min_samples} samples each"


def _quantiles(column: str, number_N: NDArray[np.float64], quantiles: int) -> Sliced:
    """Equal shares of the samples, as far as ties allow; a value on an edge belongs below it."""
    finite = number_N[np.isfinite(number_N)]
    edges = np.unique(np.quantile(finite, np.linspace(0, 1, quantiles + 1)[1:-1]))
    edges = edges[edges < finite.max()]
    at_N = np.searchsorted(edges, number_N, side="left")
    names = []
    value_N = np.full(number_N.size, None, dtype=object)
    for at in range(edges.size + 1):
        here = np.isfinite(number_N) & (at_N == at)
        if here.any():
            name = f"{number_N[here].min():.6g} to {number_N[here].max():.6g}"
            value_N[here] = name
            names.append(name)
    facts = {
        "kind": "number",
        "edges": [float(edge) for edge in edges],
        "pooled": 0,
        "missing": int((~np.isfinite(number_N)).sum()),
    }
    return Sliced(column, value_N, tuple(dict.fromkeys(names)), facts)


def score_slices(
    sliced: Sequence[Sliced],
    heads: Mapping[str, HeadPredictions],
    labels: Mapping[str, NDArray[Any]],
    baseline: Mapping[str, NDArray[Any] | None],
    groups_N: NDArray[Any],
    bootstrap: Bootstrap,
    scored: Mapping[str, Compared] | None = None,
) -> dict[str, Any]:
    """`slices` of report.json. `baseline`: head → its word in the candidate's classes, or None. `scored`: heads that have a scorer."""
    found: dict[str, Any] = {}
    for column in sliced:
        found[column.column] = {}
        for name in column.names:
            here = column.value_N == name
            scores = {
                head: score
                for head, own in heads.items()
                if own.kind in ("category", "number")
                and (score := _score(own, labels[head], baseline.get(head), here, groups_N, bootstrap)) is not None
            }
            scores |= {
                head: score
                for head, given in (scored or {}).items()
                if (score := score_slice(given, here, groups_N, bootstrap)) is not None
            }
            found[column.column][name] = {"n": int(here.sum()), "groups": num_groups(groups_N[here]), "heads": scores}
    return found


def _score(
    own: HeadPredictions,
    labels_N: NDArray[Any],
    baseline_N: NDArray[Any] | None,
    here_N: NDArray[np.bool_],
    groups_N: NDArray[Any],
    bootstrap: Bootstrap,
) -> dict[str, Any] | None:
    """One head on one slice; None when no sample there has a label."""
    here = here_N & (labels_N >= 0 if own.classes else np.isfinite(labels_N))
    if not here.any():
        return None
    labels, groups = labels_N[here], groups_N[here]
    said = [values[here] for values in (list(own.by_subset.values())[-1], baseline_N) if values is not None]
    if own.classes:
        metric, columns = "accuracy", [np.ones(labels.size), *(values == labels for values in said)]
    else:
        metric, columns = "rmse", [np.ones(labels.size), *(ErrorSums.columns(labels, values)[2] for values in said)]
    draws = resampled_sums(columns, groups, bootstrap)
    points = np.array([float(np.sum(column)) for column in columns])
    value_C, draws_RC = points[1:] / points[0], draws[:, 1:] / draws[:, :1]
    if metric == "rmse":
        value_C, draws_RC = np.sqrt(value_C), np.sqrt(draws_RC)
    scores: dict[str, Any] = {
        "metric": metric,
        "samples": int(labels.size),
        metric: float(value_C[0]),
        "interval": interval(draws_RC[:, 0], groups, bootstrap),
    }
    if len(said) == 2:
        scores |= {
            f"baseline_{metric}": float(value_C[1]),
            "baseline_interval": interval(draws_RC[:, 1], groups, bootstrap),
            "difference": {
                "value": float(value_C[0] - value_C[1]),
                "interval": interval(draws_RC[:, 0] - draws_RC[:, 1], groups, bootstrap),
            },
        }
        if own.classes:
            right, other = (values == labels for values in said)
            won, lost = int((right & ~other).sum()), int((other & ~right).sum())
            scores["mcnemar"] = {"candidate_only": won, "baseline_only": lost, "p": mcnemar_exact(won, lost)}
    return scores
