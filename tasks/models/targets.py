"""What each head learns from. In: configs of heads, the shards' labels, the readers' shapes. Out: head → its target, in words and numbers.

A head learns from a label (`label:`, by default the one of its own name), from a modality (`target:`), or from nothing but what the model
sees. Its config says which by `learns_from`; one of the user's own that says nothing learns from a label. An objective may learn from a
label as well, or from the inputs themselves. Imports no torch.
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


def labels_of(heads: Mapping[str, Any], objectives: Mapping[str, Any] | None = None) -> list[str]:
    """The labels that some heads or objectives learn from, each once."""
    own = {objective.label for objective in (objectives or {}).values() if needs(objective) == "label"}
    return sorted(own | {label for name, head in heads.items() if (label := label_of(name, head)) is not None})


def needs(objective: Any) -> str:
    """What an objective learns from beside what the model sees: `label`, `inputs` or `nothing`."""
    return str(getattr(objective, "learns_from", "nothing"))


def of_classes(heads: Mapping[str, Any]) -> list[str]:
    """The heads that choose one class of a label: they learn from its number and predict a probability for each."""
    return sorted(name for name, head in heads.items() if getattr(head, "of_classes", False))


def beside(policy: Any, labels: Mapping[str, Mapping[str, Any]]) -> dict[str, dict[str, Any]]:
    """Name in the batch → how it is read, of the labels that a policy looks at (`looks_at`), whether a head learns from them or not."""
    return {column(label): {**labels[label], "column": label} for label in getattr(policy, "looks_at", ())}


def column(label: str) -> str:
    """The name by which a batch has a label that the policy looks at."""
    return f"label:{label}"


def modalities_of(heads: Mapping[str, Any]) -> list[str]:
    """The modalities that some heads learn to say, each once."""
    return sorted({head.target for head in heads.values() if learns_from(head) == "modality"})


def described(
    heads: Mapping[str, Any],
    labels: Mapping[str, Mapping[str, Any]],
    shapes: Mapping[str, Mapping[str, int]],
    objectives: Mapping[str, Any] | None = None,
) -> dict[str, dict[str, Any]]:
    """Head → what it is built with and its labels are read by. Raises LabelError for a head without its label.

    The label's entry of shards.json, with `column` where its name is another; `kind: sequence` with `modality` and the reader's shape; or
    `kind: none`. Objectives that need something follow: the label's entry with `name`, under which a batch has it, or `kind: inputs` with
    all `shapes`.
    """
    found: dict[str, dict[str, Any]] = {}
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
    for name, objective in (objectives or {}).items():
        if needs(objective) == "label":
            if objective.label not in labels:
                raise no_label(name, objective.label, labels, "objective")
            found[name] = {**labels[objective.label], "column": objective.label, "name": name}
        elif needs(objective) == "inputs":
            found[name] = {"kind": "inputs", "shapes": {modality: dict(shape) for modality, shape in shapes.items()}}
    return found


def no_label(name: str, label: str, labels: Mapping[str, Any], part: str = "head") -> LabelError:
    """The error of a head or objective without its label, with the labels there are and what to do."""
    there = ", ".join(sorted(labels)) or "none"
    called = "of its name" if label == name else repr(label)
    given = f"name one{' by `label:`' if part == 'head' else ''}, or " if labels else ""
    return LabelError(
        f"{part} {name!r} has no label {called} in the shards{closest(label, list(labels))}; labels there are: {there}; {given}let the "
        "ingest step read it"
    )
