"""What each head learns from. In: configs of heads, the shards' labels, the readers' shapes. Out: head → its target, in words and numbers.

A head learns from a label (`label:`, by default the one of its own name), from a modality (`target:`), or from nothing but what the model
sees. Its config says which by `learns_from`; one of the user's own that says nothing learns from a label. Imports no torch.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from tasks.errors import LabelError
from tasks.registry import closest


def learns_from(head: Any) -> str:
    """`label`, `modality` or `nothing`."""
    return str(getattr(head, "learns_from", "label"))


def label_of(name: str, head: Any) -> str | None:
    """The label that a head learns from; None when it learns from something else."""
    return (getattr(head, "label", None) or name) if learns_from(head) == "label" else None


def labels_of(heads: Mapping[str, Any]) -> list[str]:
    """The labels that some heads learn from, each once."""
    return sorted({label for name, head in heads.items() if (label := label_of(name, head)) is not None})


def modalities_of(heads: Mapping[str, Any]) -> list[str]:
    """The modalities that some heads learn to say, each once."""
    return sorted({head.target for head in heads.values() if learns_from(head) == "modality"})


def described(
    heads: Mapping[str, Any], labels: Mapping[str, Mapping[str, Any]], shapes: Mapping[str, Mapping[str, int]]
) -> dict[str, dict[str, Any]]:
    """Head → what it is built with and its labels are read by. Raises LabelError for a head without its label.

    The label's entry of shards.json, with `column` where its name is another; `kind: sequence` with `modality` and the reader's shape; or
    `kind: none`.
    """
    found = {}
    for name, head in heads.items():
        label = label_of(name, head)
        if label is not None:
            if label not in labels:
                raise no_label(name, label, labels)
            info = {**labels[label], **({"column": label} if label != name else {})}
            found[name] = head.described(info) if hasattr(head, "described") else info
        elif learns_from(head) == "modality":
            found[name] = {"kind": "sequence", "modality": head.target, **shapes[head.target]}
        else:
            found[name] = {"kind": "none"}
    return found


def no_label(name: str, label: str, labels: Mapping[str, Any]) -> LabelError:
    """The error of a head without its label, with the labels there are."""
    there = ", ".join(sorted(labels)) or "none"
    called = "of its name" if label == name else repr(label)
    return LabelError(f"head {name!r} has no label {called} in the shards{closest(label, list(labels))}; labels there are: {there}")
