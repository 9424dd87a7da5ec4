"""Factors of classes in a loss, as a head's config has them. Must not import ray or mlflow.

Shape suffixes: K classes.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from tasks.errors import LabelError
from tasks.models.heads.config import ClassWeights
from tasks.registry import closest


def classes_in(name: str, label: Mapping[str, Any], kind: str, expected: str = "category") -> list[str]:
    """The classes of a head's label. Raises LabelError when it has none, or is of another kind than the head learns from."""
    if label.get("kind") != expected:
        raise LabelError(
            f"head {name!r} is {kind}, but its label is a number; use `kind: regression`, or make the label a category when ingesting"
        )
    if not label.get("classes"):
        what = "carries this label" if expected == "category" else "has a class in this label"
        raise LabelError(f"head {name!r}: no sample of the split 'train' {what}; leave the head out, or split the corpus otherwise")
    return list(label["classes"])


def known(name: str, field: str, given: Mapping[str, float], classes: Sequence[str]) -> Tensor:
    """K factors, 1 for what is not named. Raises LabelError for a class that the label lacks."""
    for unknown in sorted(set(given) - set(classes)):
        hint = closest(unknown, list(classes))
        raise LabelError(f"head {name!r}: `{field}` names {unknown!r}, no class of the label{hint}; classes: {', '.join(classes[:20])}")
    return torch.tensor([given.get(each, 1.0) for each in classes])


def given_weight_K(name: str, given: Mapping[str, float], classes: Sequence[str]) -> Tensor:
    """Factors that a person chose. Raises LabelError as `known` does, and where they leave nothing to learn."""
    if all(given.get(each) == 0 for each in classes):
        raise LabelError(f"head {name!r}: all `class_weights` are 0, so that nothing is learned; leave one out, or give it more")
    return known(name, "class_weights", given, classes)


def class_weight_K(name: str, given: ClassWeights, label: Mapping[str, Any], classes: Sequence[str]) -> Tensor:
    """Of one class a sample. `balanced`: N / (K · N of the class), as scikit-learn has it."""
    if given != "balanced":
        return given_weight_K(name, given, classes)
    counts = _counts(label, classes)
    return torch.tensor([sum(counts) / (len(classes) * count) if count else 1.0 for count in counts])


def positive_weight_K(name: str, given: ClassWeights, label: Mapping[str, Any], classes: Sequence[str]) -> Tensor:
    """Of any number of classes a sample. `balanced`: samples without the class over those with it."""
    if given != "balanced":
        return known(name, "positive_weights", given, classes)
    return torch.tensor([(label["samples"] - count) / count if 0 < count < label["samples"] else 1.0 for count in _counts(label, classes)])


def _counts(label: Mapping[str, Any], classes: Sequence[str]) -> list[int]:
    return [int(label["counts"].get(each, 0)) for each in classes]
