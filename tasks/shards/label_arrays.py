"""Labels as the shards hold them to arrays that heads learn from. In: a split's labels. Out: one array a head, first dimension N.

`KINDS` is the table: the kind of a described label → what makes its array. Must not import torch, ray or mlflow.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from tasks.errors import LabelError
from tasks.shards.label_texts import PARTS

_NUM_SHOWN = 5
UNKNOWN_TAG = -2
"""A tag that `classes` lacks; padding is -1."""

Column = npt.NDArray[Any]
"""N values: text or None of a category, float64 or NaN of a number."""


def category(values: Column, info: Mapping[str, Any]) -> npt.NDArray[np.int64]:
    """N class numbers; -1 = none, or a category that `classes` lacks."""
    classes = {value: number for number, value in enumerate(info["classes"])}
    return np.array([classes.get(value, -1) for value in values], dtype=np.int64)


def number(values: Column, info: Mapping[str, Any]) -> npt.NDArray[np.float64]:  # noqa: ARG001 - the signature of every kind
    """N numbers; NaN = none. Of a time in seconds since 1970, float32 would leave minutes."""
    return values.astype(np.float64)


def set_(values: Column, info: Mapping[str, Any]) -> npt.NDArray[np.float32]:
    """N K: 1 for each of `classes` that a sample has, 0 for the others; a row of NaN = no label. What `classes` lacks has no column."""
    classes = {name: number for number, name in enumerate(info["classes"])}
    found = np.full((len(values), len(classes)), np.nan, dtype=np.float32)
    for row, parts in _labelled(values, info):
        found[row] = 0
        found[row, [classes[name] for name in parts if name in classes]] = 1
    return found


def tags(values: Column, info: Mapping[str, Any]) -> npt.NDArray[np.int64]:
    """N T class numbers, padded with -1; all padding = no tags. A tag that `classes` lacks is -2, and keeps its place."""
    classes = {name: number for number, name in enumerate(info["classes"])}
    rows = _labelled(values, info)
    found = np.full((len(values), max([1, *(len(parts) for _, parts in rows)])), -1, dtype=np.int64)
    for row, parts in rows:
        found[row, : len(parts)] = [classes.get(tag, UNKNOWN_TAG) for tag in parts]
    return found


def spans(values: Column, info: Mapping[str, Any]) -> npt.NDArray[np.float32]:
    """N S 3: class, start, end, padded with NaN; all NaN = no label. Class -1 is one that `classes` lacks.

    A sample that is labelled and has no spans has one of class -1 from 0 to 0, so that it is told from a sample without label.
    """
    classes = {name: number for number, name in enumerate(info["classes"])}
    rows = _labelled(values, info)
    found = np.full((len(values), max([1, *(len(parts) for _, parts in rows)]), 3), np.nan, dtype=np.float32)
    for row, parts in rows:
        found[row, 0] = (-1, 0, 0)
        for place, span in enumerate(parts):
            found[row, place] = (classes.get(span.name, -1), span.start, span.end)
    return found


KINDS: dict[str, Callable[[Column, Mapping[str, Any]], npt.NDArray[Any]]] = {
    "category": category,
    "number": number,
    "set": set_,
    "tags": tags,
    "spans": spans,
}


def label_arrays(stored: Mapping[str, Column], count: int, labels: Mapping[str, Mapping[str, Any]]) -> dict[str, npt.NDArray[Any]]:
    """Head → its array, of those that learn from a label. A label that `stored` lacks is missing in all `count` samples."""
    found = {}
    for name, info in labels.items():
        if info["kind"] in KINDS:
            missing = np.full(count, np.nan) if info["kind"] == "number" else np.full(count, None, dtype=object)
            found[name] = KINDS[info["kind"]](stored.get(info.get("column", name), missing), info)
    return found


def check_texts(head: str, values: Column, info: Mapping[str, Any], key_of: Callable[[int], str]) -> None:
    """Raises LabelError naming the samples whose text cannot be taken apart, where the kind has parts. `key_of`: row → key."""
    problems = []
    for row, value in enumerate(values) if info["kind"] in PARTS else ():
        try:
            _parts(value, info)
        except ValueError as error:
            problems.append(f"sample {key_of(row)!r}: {error}")
    if problems:
        more = f"; and {len(problems) - _NUM_SHOWN} more samples" if len(problems) > _NUM_SHOWN else ""
        raise LabelError(
            f"head {head!r}: the label {info.get('column', head)!r} of some samples cannot be used: "
            f"{'; '.join(problems[:_NUM_SHOWN])}{more}. Mend them in the corpus and ingest it again"
        )


def _parts(value: Any, info: Mapping[str, Any]) -> list[Any] | None:
    return None if value is None else PARTS[info["kind"]](str(value), info)


def _labelled(values: Column, info: Mapping[str, Any]) -> Sequence[tuple[int, list[Any]]]:
    """Row and parts of the samples that have a label. Raises LabelError; `check_texts` would have told which sample it is."""
    try:
        return [(row, parts) for row, value in enumerate(values) if (parts := _parts(value, info)) is not None]
    except ValueError as error:
        raise LabelError(f"a label cannot be used: {error}") from error
