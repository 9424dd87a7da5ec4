"""Sharding without transcoding: source bytes go into tars as they are, so that hardly anything is left but reading, hashing and writing.

JPEGs of about 500 px are kept on their header alone (`verify: header`), captions are kept as they are; both sides write the same tars with
the same writer, its sha256 and an fsync, in two processes. Medley also compares every source with the digest that ingest recorded, and
keeps its ledger, index and statistics; see `marginal` for what is timed. No tokenizer is learned from the captions, which is no part of
writing tars and nothing that the pool does: it takes 16 µs of processor time a caption. Goal: marginal throughput 0.90 of the pool's.
Beside it, over at most three rounds: Ray Data's `write_webdataset`, and the webdataset library's `ShardWriter` in one process, both at
their defaults (neither of them fsyncs).
"""

from __future__ import annotations

import shutil
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from benchmarks import marginal, sides
from benchmarks.sharding import ray_data
from tasks.shard import ShardConfig

SMALL, LARGE = 10_000, 30_000
CONFIG = ShardConfig.model_validate(
    {
        "prepare": {"image": {"verify": "header"}, "text": {"repair": False, "normalise": "none", "collapse_whitespace": False}},
        "fit": {"text": {"tokenizer": "byte"}},
        "sizes": {"min_records": 400, "max_records": 1000},
    }
)


def run(rounds: int, small: int = SMALL, large: int = LARGE) -> dict[str, Any]:
    """See `marginal.compare`."""
    claim = marginal.Claim("passthrough", CONFIG, 0.90, 3.0, {"ray_data": _ray_data, "shard_writer": _shard_writer})
    return marginal.compare(claim, rounds, small, large)


def _ray_data(folder: Path, chunks: Sequence[sides.Chunk]) -> float:
    return ray_data(folder, chunks, CONFIG)


def _shard_writer(folder: Path, chunks: Sequence[sides.Chunk]) -> float:
    """Seconds of the webdataset library's writer over the same samples, in this process."""
    import webdataset

    target = folder / "webdataset"
    target.mkdir()
    begun = time.perf_counter()
    with webdataset.ShardWriter(f"{target}/%06d.tar", maxcount=700, verbose=0) as writer:
        for chunk in chunks:
            for key, places in chunk:
                writer.write({"__key__": key, "jpg": Path(places["image"].uri).read_bytes(), "txt": Path(places["text"].uri).read_bytes()})
    seconds = time.perf_counter() - begun
    shutil.rmtree(target)
    return seconds
