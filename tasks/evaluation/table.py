"""Per-sample predictions as one Parquet table, in the shard set's order.

    key, group
    <head>.label                         null where a sample has none
    <head>.prediction                    with all modalities
    <head>.probability                   classification: one float32 a class, in the order of the file's metadata `medley.classes.<head>`
    <head>.prediction[audio+image]       for every subset of modalities
    <head>.baseline_prediction           when there is a baseline with this head
    <head>.baseline_prediction[audio]    for every subset of its modalities
    <head>.best_prediction               when the best champion ever has this head and is not the baseline
    slice.<column>                       the slice a sample is in, named as in `report.json`; null = it has no value there

    <head>.sums                          other kinds: what each sample is in the head's metrics, so that the gate computes them again;
                                         also `[audio+image]`, `baseline_sums`, `baseline_sums[audio]`, `best_sums`; null = it does not
                                         count

Categories, slices and texts are strings, numbers and scores float64; sets and tags are lists of strings, spans lists of {class, start, end,
score}, embeddings lists of float32, modality after modality. Heads of these kinds have their answers with all modalities only, and those of
the candidate alone. Each `sums` is a struct of float64, and the file's metadata has `medley.kind.<head>`.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from tasks.evaluation.predict import Predictions
from tasks.evaluation.said import HeadPredictions
from tasks.evaluation.scoring import Compared, Contender
from tasks.evaluation.slices import Sliced


def predictions_table(
    candidate: Predictions,
    labels: Mapping[str, NDArray[Any]],
    groups_N: NDArray[Any],
    baseline: Predictions | None,
    slices: Sequence[Sliced] = (),
    best: Predictions | None = None,
    scored: Mapping[str, Compared] | None = None,
) -> pa.Table:
    """`labels` as `true_labels` gives them. `scored`: the heads that have a scorer, and something to be compared with."""
    columns: dict[str, pa.Array] = {"key": pa.array(candidate.keys, pa.string()), "group": pa.array(groups_N.tolist(), pa.string())}
    metadata: dict[str, str] = {}
    for head, predictions in candidate.heads.items():
        if predictions.kind not in ("category", "number"):
            columns |= _of_kind(head, predictions, labels.get(head), (scored or {}).get(head))
            metadata[f"medley.kind.{head}"] = predictions.kind
            continue
        classes = predictions.classes
        full = list(predictions.by_subset)[-1]
        columns[f"{head}.label"] = _column(labels[head], classes)
        columns[f"{head}.prediction"] = _column(predictions.by_subset[full], classes)
        if predictions.probability is not None:
            columns[f"{head}.probability"] = _lists(predictions.probability)
            metadata[f"medley.classes.{head}"] = json.dumps(list(classes))
        for subset, values in predictions.by_subset.items():
            columns[f"{head}.prediction[{subset}]"] = _column(values, classes)
        other = baseline.heads.get(head) if baseline is not None else None
        if other is not None:
            columns[f"{head}.baseline_prediction"] = _column(_full(other), other.classes)
            for subset, values in other.by_subset.items():
                columns[f"{head}.baseline_prediction[{subset}]"] = _column(values, other.classes)
        if best is not None and head in best.heads:
            columns[f"{head}.best_prediction"] = _column(_full(best.heads[head]), best.heads[head].classes)
    columns |= {f"slice.{sliced.column}": pa.array(sliced.value_N.tolist(), pa.string()) for sliced in slices}
    return pa.table(columns).replace_schema_metadata(metadata or None)


def _of_kind(head: str, own: HeadPredictions, true: NDArray[Any] | None, given: Compared | None) -> dict[str, pa.Array]:
    """The columns of a head with a scorer; of one without any, nothing can be said in a table."""
    if own.scorer is None:
        return {}
    columns = {f"{head}.prediction": own.scorer.stored(own.full)}
    if true is None or given is None:
        return columns
    columns = {f"{head}.label": own.scorer.stored_true(true), **columns, f"{head}.sums": _sums(given.full, given.known_N)}
    for which, sides in (("sums", given.by_subset), ("baseline_sums", given.baseline)):
        columns |= {f"{head}.{which}[{subset}]": _sums(side, given.known_N) for subset, side in sides.items()}
    for which, side in (("baseline_sums", given.rival), ("best_sums", given.best)):
        if side is not None:
            columns[f"{head}.{which}"] = _sums(side, given.known_N)
    return columns


def _sums(side: Contender, known_N: NDArray[np.bool_]) -> pa.StructArray:
    """A struct a sample; null where it does not count."""
    filled = []
    for column in side.columns.values():
        values_N = np.zeros(known_N.size)
        values_N[known_N] = column
        filled.append(pa.array(values_N, pa.float64()))
    return pa.StructArray.from_arrays(filled, names=list(side.columns), mask=pa.array(~known_N))


def _full(predictions: HeadPredictions) -> NDArray[Any]:
    return list(predictions.by_subset.values())[-1]


def _column(values_N: NDArray[Any], classes: Sequence[str]) -> pa.Array:
    if not classes:
        return pa.array(values_N.astype(np.float64), pa.float64(), from_pandas=True)
    indices = pa.array(values_N.astype(np.int32), pa.int32(), mask=values_N < 0)
    return pa.DictionaryArray.from_arrays(indices, pa.array(list(classes), pa.string())).cast(pa.string())


def _lists(probability_NK: NDArray[np.float32]) -> pa.Array:
    num_samples, num_classes = probability_NK.shape
    offsets = np.arange(num_samples + 1, dtype=np.int64) * num_classes
    flat = pa.array(np.ascontiguousarray(probability_NK, dtype=np.float32).ravel())
    return pa.LargeListArray.from_arrays(pa.array(offsets), flat)
