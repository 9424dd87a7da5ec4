"""Shards to read in benchmarks, made by the step itself in processes of its own, without Ray.

In: how many samples, of what, and how they are prepared. Out: an open ShardSet of four shards of one split.
"""

from __future__ import annotations

import hashlib
import io
import json
import multiprocessing
import threading
import wave
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from benchmarks import pictures, sides
from pipeline.store import LocalStore
from tasks.contracts import Artifact, Resources, TaskContext
from tasks.shard import ShardConfig, shard
from tasks.shards.read import ShardSet

NUM_SHARDS = 4
RATE_HZ = 16_000
SOUND_S = 2.0


def of_pictures(folder: Path, count: int, prepare: dict[str, Any]) -> ShardSet:
    """Pictures of about 500 px with captions, `count` of them."""
    with multiprocessing.get_context("spawn").Pool(sides.WORKERS) as pool:
        rows = pictures.make_media(folder / "media", count, pool)
    return _made(folder, pictures.write_corpus(folder / "corpus", folder / "media", rows), count, prepare)


def of_sounds(folder: Path, count: int) -> ShardSet:
    """Two seconds each of noise that swells and fades, 16 kHz, one channel, PCM."""
    sounds = [sound(number) for number in range(count)]
    fields: dict[str, Any] = {f"audio.{name}": None for name in ("uri", "offset", "length", "mtime_ns")}
    rows = [
        {
            **fields,
            "key": f"s{number:06d}",
            "group": f"s{number:06d}",
            "split": "train",
            "partition": "default",
            "audio.inline": data,
            "audio.size": len(data),
            "audio.sha256": hashlib.sha256(data).hexdigest(),
        }
        for number, data in enumerate(sounds)
    ]
    names = ("key", "group", "split", "partition", "audio.uri", "audio.sha256")
    schema = [pa.field(name, pa.string()) for name in names] + [pa.field("audio.inline", pa.binary())]
    schema += [pa.field(f"audio.{name}", pa.int64()) for name in ("offset", "length", "size", "mtime_ns")]
    corpus = folder / "corpus"
    corpus.mkdir()
    pq.write_table(pa.Table.from_pylist(rows, pa.schema(schema)), corpus / "records.parquet")
    meta = {"format": 1, "modalities": ["audio"], "labels": {}, "splits": {"train": count}, "unreadable": []}
    (corpus / "corpus.json").write_text(json.dumps(meta))
    return _made(folder, Artifact("corpus", "0" * 64, corpus), count, {"audio": {}})


def sound(number: int) -> bytes:
    """A WAV file, the same on every machine."""
    draw = np.random.default_rng(number)
    length = int(RATE_HZ * SOUND_S)
    envelope = np.sin(np.linspace(0, np.pi, length)) * draw.uniform(0.2, 0.9)
    samples = (draw.standard_normal(length) * envelope * 8_000).clip(-32_768, 32_767).astype("<i2")
    buffer = io.BytesIO()
    with wave.open(buffer, "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(RATE_HZ)
        file.writeframes(samples.tobytes())
    return buffer.getvalue()


def _made(folder: Path, corpus: Artifact, count: int, prepare: dict[str, Any]) -> ShardSet:
    size = -(-count // NUM_SHARDS)
    config = ShardConfig.model_validate({"prepare": prepare, "sizes": {"min_records": size, "max_records": size}})
    store, output = LocalStore.open(folder / "store"), folder / "shards"
    output.mkdir()
    context = TaskContext(store, "0" * 64, "shards", 0, store.work_dir("0" * 64), sides.Quiet(), threading.Event(), Resources(data_tasks=2))
    shard(config, {"corpus": corpus}, output, context)
    return ShardSet.open(output)
