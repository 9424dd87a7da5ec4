"""The true labels of a split against the labels a model knows.

In: labels as the shard set holds them. Out: numbers that can be compared with predictions, or a LabelError that says what to do.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tasks.errors import LabelError

_SHOWN = 10


def is_missing(value: Any) -> bool:
    """None and NaN stand for a label that a sample does not have."""
    return value is None or value != value  # only NaN differs from itself


def class_indices(values: Sequence[Any] | NDArray[Any], classes: Sequence[str]) -> NDArray[np.int64]:
    """Index of each value among the classes; -1 for a missing or unknown one."""
    positions = {name: index for index, name in enumerate(classes)}
    return np.fromiter((positions.get(value, -1) for value in values), dtype=np.int64, count=len(values))


def true_labels(head: str, info: Mapping[str, Any], labels: Mapping[str, NDArray[Any]], split: str) -> NDArray[Any]:
    """The head's labels, N: class indices int64 with -1 where missing, or float64 with NaN where missing.

    Raises LabelError when the split has no such label, none of its samples has one, its kind differs, or it holds a class the model
    was not trained on.
    """
    if head not in labels:
        raise LabelError(
            f"the model predicts {head!r}, but the shards have no such label; they have: {_listed(sorted(labels))}. "
            f"Evaluate on shards whose corpus maps a label to {head!r}, or train without that head"
        )
    values = labels[head]
    if all(is_missing(value) for value in values):
        raise LabelError(
            f"no sample of split {split!r} has a label {head!r}, so there is nothing to compare with; label some, or evaluate another split"
        )
    if info["kind"] == "number":
        return _numbers(head, values, split)
    classes = list(info["classes"])
    unknown = Counter(str(value) for value in values if not is_missing(value) and value not in set(classes))
    if unknown:
        raise LabelError(_unknown_message(head, unknown, classes, split))
    return class_indices(values, classes)


def _numbers(head: str, values: NDArray[Any], split: str) -> NDArray[np.float64]:
    try:
        return np.asarray([np.nan if is_missing(value) else float(value) for value in values], dtype=np.float64)
    except ValueError as error:
        raise LabelError(
            f"the model predicts {head!r} as a number, but split {split!r} holds text there ({error}); map a numeric label to {head!r}"
        ) from error


def _unknown_message(head: str, unknown: Counter[str], classes: list[str], split: str) -> str:
    samples = f"{sum(unknown.values())} {'sample' if sum(unknown.values()) == 1 else 'samples'}"
    values = "one value" if len(unknown) == 1 else f"{len(unknown)} values"
    shown = [f"{value!r} ({number} {'sample' if number == 1 else 'samples'})" for value, number in unknown.most_common(_SHOWN)]
    rest = f" and {len(unknown) - _SHOWN} more" if len(unknown) > _SHOWN else ""
    known = _listed([repr(name) for name in classes])
    return (
        f"label {head!r} of split {split!r} holds {values} the model was not trained on, in {samples}: {', '.join(shown)}{rest}. "
        f"It knows: {known}. Put samples of these into the training split and train again, or correct or leave out the labels in the corpus"
    )


def _listed(names: Sequence[str]) -> str:
    if not names:
        return "none"
    rest = f" and {len(names) - _SHOWN} more" if len(names) > _SHOWN else ""
    return ", ".join(names[:_SHOWN]) + rest
