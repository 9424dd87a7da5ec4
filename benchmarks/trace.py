"""How long `medley trace` takes where a million samples are behind a version, in both directions.

Goal: 2 s of wall time each, start of Python included. The store is made here, with the artifacts' own formats and writers: a corpus, index,
labels and ledger of a million rows in two modalities, 1,000 shards, a model, a report on 100,000 of them, two versions, a promotion log. It
has no tars and no weights, which trace never opens. Each round starts each command once as a process of its own, on another sample.
Reported beside: a key that never was (the closest is looked for), and the whole ledger with digests as JSON lines.
"""

from __future__ import annotations

import hashlib
import json
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from benchmarks import measure
from benchmarks.medley import medley
from pipeline.store import LocalStore
from pipeline.verify import key_of
from tasks.promotions import Decision, append
from tasks.sources.corpus import ROW_GROUP

SAMPLES = 1_000_000
SHARDS = 1_000
GOAL_S = 2.0
MODALITIES = ("image", "text")
RECIPE = "bench"


def run(rounds: int) -> dict[str, Any]:
    """Medians of wall seconds; a goal is met when the median is at most the goal."""
    with tempfile.TemporaryDirectory(prefix="medley-trace-") as folder:
        store = LocalStore.open(Path(folder) / "store")
        keys = build(store, np.random.default_rng(0))
        sides = {
            "version_s": lambda: _wall(store, f"{RECIPE}@champion"),
            "sample_s": lambda: _wall(store, str(keys[int(time.time_ns() // 1000) % SAMPLES])),
            "unknown_key_s": lambda: _wall(store, f"{keys[SAMPLES // 2]}x", exits=(2,)),
        }
        measure.interleave(1, sides)
        seconds = measure.interleave(rounds, sides)
        seconds["whole_ledger_s"] = [_ledger_s(store)]
    goals = {"version_s": GOAL_S, "sample_s": GOAL_S}
    ratios = {name: measure.median(values, goal=goals.get(name)) for name, values in seconds.items()}
    return {"name": "trace", "ok": all(entry["ok"] for entry in ratios.values()), "ratios": ratios}


def _wall(store: LocalStore, what: str, exits: tuple[int, ...] = (0,)) -> float:
    return measure.wall_s([medley(), "trace", what, "--store", store.root], cwd=store.root, exits=exits)


def _ledger_s(store: LocalStore) -> float:
    begun = time.perf_counter()
    outcome = measure.run([medley(), "trace", f"{RECIPE}/1", "--samples", "--json", "--store", store.root], cwd=store.root)
    measure.check(outcome)
    took = time.perf_counter() - begun
    if (lines := outcome.stdout.count("\n")) != SAMPLES:
        raise RuntimeError(f"the ledger has {lines} lines, not {SAMPLES}")
    return took


# ---- the store ---------------------------------------------------------------------------------------------------------


def build(store: LocalStore, draw: np.random.Generator) -> NDArray[Any]:
    """Artifacts, versions and a promotion log; gives the keys."""
    keys = np.char.add("site/sample-", np.char.zfill(np.sort(draw.choice(10**9, SAMPLES, replace=False)).astype(str), 9))
    splits = draw.choice(["train", "val", "test"], SAMPLES, p=[0.8, 0.1, 0.1])
    order = draw.permutation(SAMPLES)
    shard = np.empty(SAMPLES, np.int32)
    shard[order] = np.arange(SAMPLES) * SHARDS // SAMPLES
    corpus = _publish(store, "corpus", "ingest", {}, _corpus_files(keys, splits, draw), {"records": SAMPLES, "splits": {}})
    files = _shards_files(keys, splits, shard, order, corpus)
    summary = {"ledger": dict.fromkeys(("filtered", "duplicate", "quarantined", "forgotten"), 0), "samples": SAMPLES, "shards": SHARDS}
    shards = _publish(store, "shards", "shard", {"corpus": corpus}, files, summary)
    model = _publish(store, "model", "train", {"shards": shards}, {"model.json": b"{}"}, {})
    rows = pa.table({"key": keys[order[: SAMPLES // 10]], "group": keys[order[: SAMPLES // 10]]})
    report = _publish(store, "report", "evaluate", {"model": model, "shards": shards}, {"predictions.parquet": rows}, {})
    for number in ("1", "2"):
        document = {"model_key": model, "report_key": report, "tags": {"medley.shards_key": shards, "medley.corpus_key": corpus}}
        store.create(f"versions/{RECIPE}/{number}.json", json.dumps(document).encode())
        append(store, RECIPE, Decision(action="promoted", alias="champion", version=number, model_key=model))
    return keys


def _corpus_files(keys: NDArray[Any], splits: NDArray[Any], draw: np.random.Generator) -> dict[str, Any]:
    columns: dict[str, Any] = {"key": keys, "split": splits, "partition": pa.repeat("default", SAMPLES), "group": keys}
    columns["label.digit"] = draw.integers(0, 10, SAMPLES).astype(str)
    for modality in MODALITIES:
        columns[f"{modality}.uri"] = np.char.add(np.char.add("/data/", keys), f".{modality}")
        for name in ("offset", "length"):
            columns[f"{modality}.{name}"] = pa.nulls(SAMPLES, pa.int64())
        columns[f"{modality}.inline"] = pa.nulls(SAMPLES, pa.binary())
        columns[f"{modality}.size"] = draw.integers(1_000, 100_000, SAMPLES)
        columns[f"{modality}.mtime_ns"] = draw.integers(10**18, 2 * 10**18, SAMPLES)
        columns[f"{modality}.sha256"] = _digests(draw)
    return {"records.parquet": pa.table(columns), "corpus.json": b"{}"}


def _digests(draw: np.random.Generator) -> list[str]:
    text = draw.bytes(32 * SAMPLES).hex()
    return [text[start : start + 64] for start in range(0, len(text), 64)]


def _shards_files(keys: NDArray[Any], splits: NDArray[Any], shard: NDArray[Any], order: NDArray[Any], corpus: str) -> dict[str, Any]:
    index: dict[str, Any] = {"key": keys[order], "split": splits[order], "shard": shard[order]}
    for modality in MODALITIES:
        index[f"{modality}.offset"] = np.arange(SAMPLES) * 4096
        index[f"{modality}.size"] = np.full(SAMPLES, 3000, np.int32)
        index[f"{modality}.ext"] = pa.repeat("bin", SAMPLES)
        index[f"{modality}.crc32"] = np.arange(SAMPLES)
    nothing = pa.nulls(SAMPLES, pa.string())
    ledger = {"key": keys, "split": splits, "status": pa.repeat("written", SAMPLES), "reason": nothing, "detail": nothing}
    ledger |= {"duplicate_of": nothing, "shard": shard, "members": pa.nulls(SAMPLES, pa.list_(pa.string()))}
    labels = pa.table({"key": keys[order], "group": keys[order], "partition": pa.repeat("default", SAMPLES)})
    tars = [
        {
            "name": f"shards/train-{number:06d}.tar",
            "split": "train",
            "partition": "default",
            "unit": hashlib.sha256(b"%d" % number).hexdigest(),
        }
        | {"sha256": hashlib.sha256(b"tar %d" % number).hexdigest(), "bytes": 4_096_000, "samples": SAMPLES // SHARDS}
        for number in range(SHARDS)
    ]
    meta = {"format": 1, "corpus": corpus, "shards": tars, "ledger": {"in": SAMPLES, "written": SAMPLES}, "codecs": {}}
    tables = {"index.parquet": pa.table(index), "labels.parquet": labels, "ledger.parquet": pa.table(ledger)}
    return {**tables, "shards.json": json.dumps(meta).encode()}


def _publish(store: LocalStore, step: str, task: str, inputs: dict[str, str], files: dict[str, Any], summary: dict[str, Any]) -> str:
    """An artifact as the runner publishes it, its tables written as its task writes them. Its key."""
    folder = store.scratch()
    folder.mkdir(parents=True)
    for name, content in files.items():
        if isinstance(content, pa.Table):
            groups = {"row_group_size": ROW_GROUP} if name == "records.parquet" else {}
            pq.write_table(content, folder / name, compression="zstd", **groups)
        else:
            (folder / name).write_bytes(content)
    parts = {"task": task, "version": 1, "config": {}, "inputs": inputs, "identity": {}}
    key = key_of(parts)
    facts = {"kind": step, "key": key, "task": task, "step": step, "recipe": RECIPE, "run": "bench", "made": time.time(), "parts": parts}
    store.publish_artifact(folder, {**facts, "inputs": inputs, "code_revision": "", "libraries": {}, "summary": summary})
    return key
