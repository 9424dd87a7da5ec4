"""What the evaluated data is: counts, sizes, class balance and the ledger of a shard set.

In: the folder of a `shards` artifact. Out: the `data` part of `report.json`. Reads the small tables only, never a medium.

    samples, shards, bytes
    splits               {split: {samples, shards, bytes, groups}}
    ledger               {in, written, filtered, duplicate, quarantined, forgotten}
    left_out             {status: {reason: records}}
    classes              {label: {split: {class: samples}}}
    numbers              {label: {split: {samples, min, mean, max}}}
    modalities           {modality: {samples, bytes, extensions: {extension: samples}, splits: {split: samples}}}
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from tasks.contracts import SPLITS

LEFT_OUT = ("filtered", "duplicate", "quarantined", "forgotten")


def data_facts(shards_path: Path) -> dict[str, Any]:
    meta = json.loads((shards_path / "shards.json").read_bytes())
    index = pq.read_table(shards_path / "index.parquet")
    labels = pq.read_table(shards_path / "labels.parquet")
    split_N = np.asarray(index["split"].to_pylist(), dtype=object)
    splits = [split for split in SPLITS if (split_N == split).any()]
    rows = {split: split_N == split for split in splits}
    return {
        "samples": len(index),
        "shards": len(meta["shards"]),
        "bytes": sum(shard["bytes"] for shard in meta["shards"]),
        "splits": {split: _split_facts(split, meta, labels, rows[split]) for split in splits},
        "ledger": meta["ledger"],
        "left_out": _left_out(shards_path / "ledger.parquet"),
        "classes": {
            name: {split: _counted(labels[name].filter(rows[split])) for split in splits}
            for name, info in meta["labels"].items()
            if info["kind"] == "category"
        },
        "numbers": {
            name: {split: _spread(labels[name].filter(rows[split])) for split in splits}
            for name, info in meta["labels"].items()
            if info["kind"] == "number"
        },
        "modalities": {name: _modality_facts(name, index, rows) for name in meta["modalities"]},
    }


def _split_facts(split: str, meta: dict[str, Any], labels: pa.Table, rows: Any) -> dict[str, int]:
    shards = [shard for shard in meta["shards"] if shard["split"] == split]
    return {
        "samples": int(rows.sum()),
        "shards": len(shards),
        "bytes": sum(shard["bytes"] for shard in shards),
        "groups": int(pc.count_distinct(labels["group"].filter(rows)).as_py()),
    }


def _left_out(ledger_path: Path) -> dict[str, dict[str, int]]:
    ledger = pq.read_table(ledger_path, columns=["status", "reason"])
    return {
        status: _counted(ledger["reason"].filter(pc.equal(ledger["status"], status)))
        for status in LEFT_OUT
        if pc.any(pc.equal(ledger["status"], status)).as_py()
    }


def _counted(values: pa.ChunkedArray) -> dict[str, int]:
    """Value → how often, the commonest first; missing values are not counted."""
    counted = pc.value_counts(values.drop_null()).to_pylist()
    return {str(item["values"]): item["counts"] for item in sorted(counted, key=lambda item: (-item["counts"], str(item["values"])))}


def _spread(values: pa.ChunkedArray) -> dict[str, float]:
    numbers = values.drop_null().to_numpy()
    finite = numbers[np.isfinite(numbers)]
    if not finite.size:
        return {"samples": 0}
    return {"samples": int(finite.size), "min": float(finite.min()), "mean": float(finite.mean()), "max": float(finite.max())}


def _modality_facts(name: str, index: pa.Table, rows: dict[str, Any]) -> dict[str, Any]:
    size = index[f"{name}.size"]
    present = size.is_valid()
    return {
        "samples": int(pc.sum(present).as_py() or 0),
        "bytes": int(pc.sum(size).as_py() or 0),
        "extensions": _counted(index[f"{name}.ext"]),
        "splits": {split: int(pc.sum(present.filter(chosen)).as_py() or 0) for split, chosen in rows.items()},
    }
