"""What labels turn into for a model: classes seen in training, mean and deviation of numbers.

In: a corpus and what was written of it. Out: the `labels` of shards.json, and counts for stats.json. Must not import ray or torch.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Container, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import pyarrow as pa

from tasks.shards.corpus import Corpus
from tasks.shards.tables import written_rows

if TYPE_CHECKING:
    from tasks.shards.assemble import Part


def label_targets(corpus: Corpus, left: Container[int], parts: Sequence[Part]) -> dict[str, Any]:
    """Label → its entry of corpus.json with `classes` (sorted categories of the training records that the plan has) or with `mean`
    and `std` (population, of the training samples; std is 1 where all are equal). Without training records, all records count.
    """
    planned = [row for row in range(corpus.num_records) if row not in left]
    train = [row for row in planned if corpus.splits[row] == "train"] or planned
    written = set(written_rows(parts))
    targets = {}
    for name, info in sorted(corpus.meta["labels"].items()):
        values = corpus.column(f"label.{name}")
        if info["kind"] == "category":
            targets[name] = {**info, "classes": sorted({values[row] for row in train if values[row] is not None})}
        else:
            targets[name] = {**info, **_moments([values[row] for row in train if row in written and values[row] is not None])}
    return targets


def _moments(values: Sequence[float]) -> dict[str, float]:
    if not values:
        return {"mean": 0.0, "std": 1.0}
    mean = math.fsum(values) / len(values)
    std = math.sqrt(math.fsum((value - mean) ** 2 for value in values) / len(values))
    return {"mean": mean, "std": std if std > 0 else 1.0}


def label_facts(info: Mapping[str, Any], labels: pa.Table, splits: Sequence[str]) -> dict[str, Any]:
    """Split → label → counts of each category, or count, min, max and mean of numbers; `null` counts samples without the label."""
    facts: dict[str, Any] = {split: {} for split in sorted(set(splits))}
    for name in sorted(info):
        values = labels[name].to_pylist()
        for split in facts:
            here = [value for value, of_split in zip(values, splits, strict=True) if of_split == split]
            known = [value for value in here if value is not None]
            entry: dict[str, Any] = {"null": len(here) - len(known)}
            if info[name]["kind"] == "category":
                entry["values"] = dict(sorted(Counter(known).items()))
            elif known:
                entry |= {"count": len(known), "min": min(known), "max": max(known), "mean": math.fsum(known) / len(known)}
            facts[split][name] = entry
    return facts
