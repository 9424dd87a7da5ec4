"""The numbers of one regression head, in the label's own unit.

In: labels and predictions of the samples that have a label. Out: the head's part of `report.json`. All intervals of a head come from
the same resamples, so every difference is paired.

    kind                 number
    samples, groups      that have a label; `missing` = left out, because they have none
    rmse, interval       with all modalities
    mae, mae_interval, r2, r2_interval
    by_modalities        {subset: {rmse, interval, difference, covered}}: `difference` is the full set minus the subset
    best_single          {modalities, rmse, interval, difference}, or null when there is one modality only
    baseline_rmse, baseline_interval             with a baseline
    difference           candidate minus baseline

A difference is {value, interval}, of rmse: **below zero is better**, the other way round than with accuracy.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from tasks.evaluation.classification import best_single
from tasks.evaluation.intervals import Bootstrap, Floats, interval, num_groups, resampled_sums
from tasks.evaluation.metrics import ErrorSums, mae, r2, rmse
from tasks.evaluation.said import HeadPredictions

_COLUMNS = 5


def score_regression(
    labels_N: Floats, predictions: HeadPredictions, baseline_N: Floats | None, groups_N: NDArray[Any], bootstrap: Bootstrap
) -> dict[str, Any]:
    """All numbers of the head; labels and predictions are in the label's unit."""
    rated = {name: np.asarray(values, dtype=np.float64) for name, values in predictions.by_subset.items()}
    full = list(rated)[-1]
    contenders = list(rated.values()) + ([] if baseline_N is None else [baseline_N])
    columns = [column for values in contenders for column in ErrorSums.columns(labels_N, values)]
    draws = resampled_sums(columns, groups_N, bootstrap).reshape(bootstrap.resamples, len(contenders), _COLUMNS)
    points = ErrorSums.of_columns(np.stack([column.sum() for column in columns]).reshape(len(contenders), _COLUMNS))
    sums = ErrorSums.of_columns(draws)
    rmses, rmse_draws = rmse(points), rmse(sums)
    at = list(rated).index(full)

    def bounds(values: Floats) -> list[float] | None:
        return interval(values, groups_N, bootstrap)

    def difference(first: int, second: int) -> dict[str, Any]:
        return {"value": float(rmses[first] - rmses[second]), "interval": bounds(rmse_draws[:, first] - rmse_draws[:, second])}

    by_modalities = {
        name: {"rmse": float(rmses[index]), "interval": bounds(rmse_draws[:, index]), "difference": difference(at, index)}
        for index, name in enumerate(rated)
    }
    head = {
        "kind": "number",
        "samples": int(labels_N.size),
        "groups": num_groups(groups_N),
        "rmse": float(rmses[at]),
        "interval": bounds(rmse_draws[:, at]),
        "mae": float(mae(points)[at]),
        "mae_interval": bounds(mae(sums)[:, at]),
        "r2": float(r2(points)[at]),
        "r2_interval": bounds(r2(sums)[:, at]),
        "by_modalities": by_modalities,
        "best_single": best_single(by_modalities, "rmse", largest=False),
    }
    if baseline_N is not None:
        head |= {
            "baseline_rmse": float(rmses[-1]),
            "baseline_interval": bounds(rmse_draws[:, -1]),
            "difference": difference(at, len(contenders) - 1),
        }
    return head
