"""What heads are told of labels beside shards.json: how often each value occurs; and whether all texts with parts can be taken apart.

In: a shard set. Out: entries of labels, or a LabelError before anything starts. Must not import torch, ray or mlflow.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

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


def check_labels(labels: Mapping[str, Mapping[str, Any]], shard_set: AnyShards) -> None:
    """Raises LabelError naming samples of training and validation whose label cannot be used. `labels`: head → what it learns from."""
    taken_apart = {name: info for name, info in labels.items() if info["kind"] in PARTS}
    validated = shard_set.validated() if isinstance(shard_set, Joined) else shard_set
    for given, split in ((shard_set, "train"), (validated, "val")):
        if taken_apart and given.num_samples(split):
            stored, keys = given.labels(split), _Keys(given, split)
            for name, info in taken_apart.items():
                check_texts(name, stored[info.get("column", name)], info, keys)


@dataclass(frozen=True)
class _Keys:
    """Row of a split → the sample's key."""

    shard_set: AnyShards
    split: str

    def __call__(self, row: int) -> str:
        return self.shard_set.keys(self.split, np.array([row]))[0]
