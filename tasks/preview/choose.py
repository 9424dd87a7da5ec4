"""Which samples of a split are shown: as many classes and groups as there is room for, the same on every call."""

from __future__ import annotations

import hashlib
from collections import Counter

from tasks.shards.read import ShardSet


def choose(shard_set: ShardSet, split: str, number: int) -> list[int]:
    """Up to `number` positions of the split, in index order; by the hash of their keys, the rarest classes and groups so far first.

    Every set of modalities that occurs has a sample if there is room.
    """
    keys = shard_set.keys(split)
    order = sorted(range(len(keys)), key=lambda at: hashlib.sha256(f"preview\0{keys[at]}".encode()).digest())
    kinds = _kinds(shard_set, split)
    groups = shard_set.groups(split)
    seen: Counter[str] = Counter()
    chosen: list[int] = []
    for most in range(1, number + 1):
        for at in order:
            if len(chosen) == number:
                return sorted(chosen)
            if seen[kinds[at]] < most and seen[f"group {groups[at]}"] < most and at not in chosen:
                chosen.append(at)
                seen[kinds[at]] += 1
                seen[f"group {groups[at]}"] += 1
    return sorted(chosen)


def _kinds(shard_set: ShardSet, split: str) -> list[str]:
    """Of each sample: its modalities and the class of its first label that has classes."""
    present = shard_set.present(split)
    first = next((name for name, info in sorted(shard_set.meta["labels"].items()) if info["kind"] == "category"), None)
    classes = shard_set.labels(split)[first] if first else [""] * shard_set.num_samples(split)
    return [f"kind {value} {[bool(here[at]) for here in present.values()]}" for at, value in enumerate(classes)]
