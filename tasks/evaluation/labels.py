"""The true labels of a split against the labels a model knows.

In: labels as the shard set holds them. Out: numbers that can be compared with predictions, or a LabelError that says what to do.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tasks.errors import LabelError
from tasks.registry import closest
from tasks.shards.label_arrays import check_texts, label_arrays
from tasks.shards.label_texts import classes_of

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
    label = info.get("column", head)
    values = _stored(head, label, labels, split)
    if info["kind"] == "number":
        return _numbers(label, values, split)
    classes = list(info["classes"])
    unknown = Counter(str(value) for value in values if not is_missing(value) and value not in set(classes))
    if unknown:
        raise LabelError(_unknown_message(label, unknown, classes, split))
    return class_indices(values, classes)


def true_parts(
    head: str, info: Mapping[str, Any], labels: Mapping[str, NDArray[Any]], split: str, key_of: Callable[[int], str]
) -> NDArray[Any]:
    """The labels of a head whose label is a text with parts, as `tasks.shards.label_arrays` has its kind. Raises LabelError as
    `true_labels` does, and for a text that cannot be taken apart; `key_of`: row → the sample's key.
    """
    label = info.get("column", head)
    values = _stored(head, label, labels, split)
    check_texts(head, values, info, key_of)
    known = set(info["classes"])
    unknown: Counter[str] = Counter()
    for value in values:
        unknown.update({name for name in classes_of([] if is_missing(value) else [str(value)], info) if name not in known})
    if unknown:
        raise LabelError(_unknown_message(label, unknown, list(info["classes"]), split))
    return label_arrays(labels, len(values), {head: info})[head]


def strange_labels(
    head: str, label: str, normal: Sequence[str], labels: Mapping[str, NDArray[Any]], split: str, trained: Sequence[str] = ()
) -> NDArray[np.float64]:
    """N: 1 for a strange sample, 0 for a normal one, NaN where nobody says. Of a category, `normal` lists what is not strange; of a number,
    0 is not. `trained`: values that training had. Raises LabelError.
    """
    values = _stored(head, label, labels, split)
    if values.dtype != object:
        return np.where(np.isfinite(values), (values != 0).astype(np.float64), np.nan)
    if not normal:
        there = _listed(sorted({str(value) for value in values if not is_missing(value)}))
        raise LabelError(
            f"label {label!r} is a category, and nothing says which of its values are normal; there are: {there}. Write "
            f"`anomalies: {{{head}: {{label: {label}, normal: […]}}}}` in the evaluate step"
        )
    known = sorted({*trained, *(str(value) for value in values if not is_missing(value))})
    for value in normal:
        if value not in known:
            there = f"{closest(value, known)}; there are: {_listed(known)}"
            raise LabelError(f"anomalies.{head}.normal names {value!r}, and no sample has that {label}{there}")
    return np.array([np.nan if is_missing(value) else float(value not in normal) for value in values])


def _stored(head: str, label: str, labels: Mapping[str, NDArray[Any]], split: str) -> NDArray[Any]:
    if label not in labels:
        raise LabelError(
            f"the model predicts {head!r}, but the shards have no such label; they have: {_listed(sorted(labels))}. "
            f"Evaluate on shards whose corpus maps a label to {label!r}, or train without that head"
        )
    values = labels[label]
    if all(is_missing(value) for value in values):
        raise LabelError(
            f"no sample of split {split!r} has a label {label!r}, so there is nothing to compare with; label some, or evaluate another "
            "split"
        )
    return values


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
