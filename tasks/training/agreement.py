"""Do the sets of a mixture go together: the labels of one must mean the same in another. Must not import ray, torch or mlflow."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from tasks.errors import InputError, LabelError
from tasks.models.targets import label_of, labels_of
from tasks.shards.joined import Joined
from tasks.shards.read import ShardSet
from tasks.training.config import TrainConfig

_SHOWN = 5
_Reading = Callable[[Mapping[str, Any]], Mapping[str, Any]]


def check_agreement(config: TrainConfig, joined: Joined, names: Sequence[str], note: Callable[[str], None]) -> None:
    """Raises InputError or LabelError with what differs and what to change. `note` is told what is allowed but worth knowing.

    `names`: what the sets are called in the recipe, in order.
    """
    for name, each in zip(names, joined.sets, strict=True):
        count = each.num_samples("train")
        if count < config.streams:
            raise InputError(
                f"the shards of {name!r} have {count} samples in the split 'train', and each of the {config.streams} streams reads a part "
                "of its own of every set; lower `streams`, or leave this set out"
            )
        for label in labels_of(config.model.heads, config.model.objectives):
            _check_label(label, _readings(label, config), each, name, joined, names, note)
        for modality in config.model.read_modalities:
            _look_at(modality, each, name, joined, names, note)


def _readings(label: str, config: TrainConfig) -> list[_Reading]:
    """What heads and objectives make of a label's entry of shards.json."""
    heads = [head for name, head in config.model.heads.items() if label_of(name, head) == label]
    return [getattr(head, "described", dict) for head in heads] or [dict]


def _check_label(
    label: str, readings: Sequence[_Reading], each: ShardSet, name: str, joined: Joined, names: Sequence[str], note: Callable[[str], None]
) -> None:
    own, holds = each.meta["labels"].get(label), joined.meta["labels"][label]
    if own is None:
        note(f"the shards of {name!r} have no label {label!r}: their samples count nothing for that head")
        return
    first = names[next(number for number, other in enumerate(joined.sets) if label in other.meta["labels"])]
    if own["kind"] != holds["kind"]:
        raise LabelError(
            f"label {label!r} is a {own['kind']} in the shards of {name!r} and a {holds['kind']} in those of {first!r}; "
            "map it alike where the corpora are ingested"
        )
    unknown = sorted({value for read in readings for value in {*read(own).get("classes", ())} - {*read(holds).get("classes", ())}})
    if unknown:
        more = f" and {len(unknown) - _SHOWN} more" if len(unknown) > _SHOWN else ""
        raise LabelError(
            f"label {label!r}: the shards of {name!r} have classes that those of {first!r} lack: {', '.join(unknown[:_SHOWN])}{more}. "
            f"The classes of the first set that has the label hold: put a set that has all of them first in `shards:`, or name them alike "
            "where the corpora are ingested"
        )


def _look_at(modality: str, each: ShardSet, name: str, joined: Joined, names: Sequence[str], note: Callable[[str], None]) -> None:
    holds = joined.fit_set(modality)
    if modality not in each.modalities:
        note(f"the shards of {name!r} have no {modality}: it is missing in their samples")
    elif each is not holds and _prepared(each.meta, modality) != _prepared(holds.meta, modality):
        first = names[joined.sets.index(holds)]
        note(
            f"the {modality} of {name!r} is prepared otherwise than that of {first!r}; it is read in the same way, "
            f"and the model keeps the preparation of {first!r}"
        )


def _prepared(meta: Mapping[str, Any], modality: str) -> Any:
    return meta["prepare"].get(modality)
