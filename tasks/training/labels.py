"""What heads are told of labels beside shards.json: how often each value occurs; and whether all texts with parts can be taken apart.

In: a shard set. Out: entries of labels, or a LabelError before anything starts. Must not import torch, ray or mlflow.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from tasks.errors import LabelError
from tasks.models.targets import label_of
from tasks.shards.joined import AnyShards, Joined
from tasks.shards.label_arrays import check_texts
from tasks.shards.label_texts import PARTS
from tasks.training.config import TrainConfig


def label_entries(config: TrainConfig, shard_set: AnyShards) -> dict[str, Any]:
    """The entries of shards.json; of the categories whose classes a head counts, with `counts`: value → samples of the split 'train'."""
    entries = dict(shard_set.meta["labels"])
    counted = {label_of(name, head) for name, head in config.model.heads.items() if getattr(head, "counts_classes", False)}
    for label in [name for name, info in entries.items() if name in counted and info["kind"] == "category"]:
        values = shard_set.labels("train")[label]
        entries[label] = {**entries[label], "counts": dict(sorted(Counter(value for value in values if value is not None).items()))}
    return entries


def check_labels(config: TrainConfig, labels: Mapping[str, Mapping[str, Any]], shard_set: AnyShards, note: Callable[[str], None]) -> None:
    """Raises LabelError naming a head whose label training never has, or samples of training and validation whose label cannot be used.

    `labels`: head or objective → what it learns from. `note` is told of a head that has nothing to tell apart, or nothing in validation.
    """
    _check_numbers({name: info.get("column", name) for name, info in labels.items() if info["kind"] == "number"}, shard_set)
    for name, info in labels.items():
        if info["kind"] == "category" and len(info.get("classes", ())) == 1:
            note(f"head {name!r}: all labels of the split 'train' are {info['classes'][0]!r}, so that there is nothing to tell apart")
    taken_apart = {name: info for name, info in labels.items() if info["kind"] in PARTS}
    validated = shard_set.validated() if isinstance(shard_set, Joined) else shard_set
    _check_validation(config, labels, validated, note)
    for given, split in ((shard_set, "train"), (validated, "val")):
        if taken_apart and given.num_samples(split):
            stored, keys = given.labels(split), _Keys(given, split)
            for name, info in taken_apart.items():
                check_texts(name, stored[info.get("column", name)], info, keys)


def _check_numbers(columns: Mapping[str, str], shard_set: AnyShards) -> None:
    stored = shard_set.labels("train") if columns else {}
    for name, column in columns.items():
        if not np.isfinite(np.asarray(stored[column], dtype=np.float64)).any():
            raise LabelError(
                f"head {name!r}: no sample of the split 'train' carries this label; leave the head out, or split the corpus otherwise"
            )


def _check_validation(
    config: TrainConfig, labels: Mapping[str, Mapping[str, Any]], shard_set: AnyShards, note: Callable[[str], None]
) -> None:
    """Whether something can be measured in the split 'val', which has samples, and whether that is enough to choose an epoch by."""
    if not shard_set.num_samples("val"):
        return
    stored = shard_set.labels("val")
    columns = {name: labels[name].get("column", name) for name, head in config.model.heads.items() if label_of(name, head) is not None}
    # None and NaN are what is not there; only NaN differs from itself
    empty = [name for name, column in columns.items() if all(value is None or value != value for value in stored.get(column, ()))]
    judged = {*config.model.heads, *(name for name, each in config.model.objectives.items() if not getattr(each, "fools", False))}
    named = ", ".join(repr(name) for name in empty)
    if config.select == "best" and judged == set(empty):
        raise LabelError(
            f"no sample of the split 'val' carries the label of {named}, and `select: best` chooses by nothing else; label some samples of "
            "val, split the corpus otherwise, or set `select: last`"
        )
    if empty:
        note(f"no sample of the split 'val' carries the label of {named}: its validation says 0 and chooses no epoch")


@dataclass(frozen=True)
class _Keys:
    """Row of a split → the sample's key."""

    shard_set: AnyShards
    split: str

    def __call__(self, row: int) -> str:
        return self.shard_set.keys(self.split, np.array([row]))[0]
