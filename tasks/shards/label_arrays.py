"""Labels as the shards hold them to arrays that heads learn from. In: a split's labels. Out: one array a head, first dimension N.

`KINDS` is the table: the kind of a described label → what makes its array. Must not import torch, ray or mlflow.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

Column = npt.NDArray[Any]
"""N values: text or None of a category, float64 or NaN of a number."""


def category(values: Column, info: Mapping[str, Any]) -> npt.NDArray[np.int64]:
    """N class numbers; -1 = none, or a category that `classes` lacks."""
    classes = {value: number for number, value in enumerate(info["classes"])}
    return np.array([classes.get(value, -1) for value in values], dtype=np.int64)


def number(values: Column, info: Mapping[str, Any]) -> npt.NDArray[np.float32]:  # noqa: ARG001 - the signature of every kind
    """N numbers; NaN = none."""
    return values.astype(np.float32)


KINDS: dict[str, Callable[[Column, Mapping[str, Any]], npt.NDArray[Any]]] = {"category": category, "number": number}


def label_arrays(stored: Mapping[str, Column], count: int, labels: Mapping[str, Mapping[str, Any]]) -> dict[str, npt.NDArray[Any]]:
    """Head → its array, of those that learn from a label. A label that `stored` lacks is missing in all `count` samples."""
    found = {}
    for name, info in labels.items():
        if info["kind"] in KINDS:
            missing = np.full(count, np.nan) if info["kind"] == "number" else np.full(count, None, dtype=object)
            found[name] = KINDS[info["kind"]](stored.get(info.get("column", name), missing), info)
    return found
