"""What a shard step costs when there is nothing new: 1,000 shards, all of them in the pool.

The step as a whole (plan, looking up every unit, index, labels, ledger, fits, statistics, cards, hard links of 1,000 tars), without Ray,
in a process that has imported what it needs. Goal: 1.5 s.
"""

from __future__ import annotations

import hashlib
import json
import shutil
import tempfile
import threading
import time
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from benchmarks import measure, sides
from pipeline.store import LocalStore
from tasks.contracts import Artifact, Resources, TaskContext
from tasks.shard import ShardConfig, shard

SHARDS = 1_000
RECORDS_EACH = 20
GOAL_S = 1.5
CONFIG = ShardConfig.model_validate({"prepare": {"text": {}}, "sizes": {"min_records": RECORDS_EACH, "max_records": RECORDS_EACH}})


def run(rounds: int, num_shards: int = SHARDS) -> dict[str, Any]:
    """Seconds of the step."""
    with tempfile.TemporaryDirectory(prefix="medley-nothing-new-") as name, sides.processes():
        folder = Path(name)
        corpus = _corpus(folder / "corpus", num_shards * RECORDS_EACH)
        store = LocalStore.open(folder / "store")
        first = _step(corpus, store)
        if first["shards"] != num_shards:
            raise RuntimeError(f"{first['shards']} shards were made, not {num_shards}")
        seconds = measure.interleave(rounds, {"step_s": lambda: _timed(corpus, store)})
    ratios = {name: measure.median(values, goal=GOAL_S) for name, values in seconds.items()}
    return {"name": "nothing_new", "ok": ratios["step_s"]["ok"], "ratios": ratios}


def _timed(corpus: Artifact, store: LocalStore) -> float:
    begun = time.perf_counter()
    summary = _step(corpus, store)
    seconds = time.perf_counter() - begun
    if summary["units"]["built"]:
        raise RuntimeError("something was built")
    return seconds


def _step(corpus: Artifact, store: LocalStore) -> dict[str, Any]:
    output = store.scratch()
    output.mkdir()
    context = TaskContext(store, "0" * 64, "shards", 0, store.work_dir("0" * 64), sides.Quiet(), threading.Event(), Resources(data_tasks=2))
    try:
        return shard(CONFIG, {"corpus": corpus}, output, context)
    finally:
        shutil.rmtree(output)


def _corpus(folder: Path, count: int) -> Artifact:
    folder.mkdir()
    texts = [f"text number {number}".encode() for number in range(count)]
    keys = [f"t{number:07d}" for number in range(count)]
    columns = {"key": keys, "group": keys, "split": ["train"] * count, "partition": ["default"] * count}
    table = {name: pa.array(values) for name, values in columns.items()}
    table |= {"text.uri": pa.nulls(count, pa.string()), "text.inline": pa.array(texts)}
    table |= {f"text.{name}": pa.nulls(count, pa.int64()) for name in ("offset", "length", "mtime_ns")}
    table |= {
        "text.size": pa.array([len(text) for text in texts]),
        "text.sha256": pa.array([hashlib.sha256(text).hexdigest() for text in texts]),
    }
    pq.write_table(pa.table(table), folder / "records.parquet")
    meta = {"format": 1, "modalities": ["text"], "labels": {}, "splits": {"train": count}, "unreadable": []}
    (folder / "corpus.json").write_text(json.dumps(meta))
    return Artifact("corpus", "0" * 64, folder)
