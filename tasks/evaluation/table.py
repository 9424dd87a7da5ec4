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

Categories and slices are strings, numbers float64.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from tasks.evaluation.predict import HeadPredictions, Predictions
from tasks.evaluation.slices import Sliced


def predictions_table(
    candidate: Predictions,
    labels: Mapping[str, NDArray[Any]],
    groups_N: NDArray[Any],
    baseline: Predictions | None,
    slices: Sequence[Sliced] = (),
    best: Predictions | None = None,
) -> pa.Table:
    """`labels` as `true_labels` gives them."""
    columns: dict[str, pa.Array] = {"key": pa.array(candidate.keys, pa.string()), "group": pa.array(groups_N.tolist(), pa.string())}
    metadata: dict[str, str] = {}
    for head, predictions in candidate.heads.items():
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
