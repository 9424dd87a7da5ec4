"""The label that says which domain a sample is of. Must not import ray, mlflow or torch."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from tasks.errors import LabelError

NO_DOMAIN = -1


def domains_of(kind: str, label: Mapping[str, Any]) -> list[str]:
    """The domains there are in training. Raises LabelError when there are not two."""
    said = f"objective {label['name']!r} ({kind}): the label {label['column']!r}"
    if label["kind"] != "category":
        raise LabelError(f"{said} is a number, and domains are categories; make it a category when ingesting, or name another label")
    classes = list(label["classes"])
    if len(classes) < 2:
        there = f"only {classes[0]!r}" if classes else "none"
        raise LabelError(
            f"{said} must tell two domains or more apart, and the split 'train' has {there}; put samples of the other domain into "
            "'train' (they need no label but this one), or leave the objective out"
        )
    return classes
