"""How long the first batch takes when a training resumes in the middle of an epoch.

Floor: one batch by `pread` at the offsets of the index, checked, decoded and stacked in the calling thread. Ours: `Loader.epoch` opened at
1 % and at 90 % of the epoch, and its first batch; order, shuffling and the loader's threads included. The index is loaded and files are in
the page cache. Goals: at most 3 times the floor at either place, and 90 % as quick as 1 % (a ratio of at most 1.25, the noise of this
measurement). A loader that skips what was seen would take the time of 90 % of an epoch, which is reported as `skipping_s`, from the
loader's own rate.
"""

from __future__ import annotations

import os
import tempfile
import time
import zlib
from pathlib import Path
from typing import Any

from benchmarks import measure, shard_sets
from benchmarks.loader import BATCH_SIZE, CONFIG, THREADS, Pixels
from benchmarks.peers import resuming
from benchmarks.peers.installed import installed
from tasks.contracts import Fit
from tasks.shards.loader import Loader
from tasks.shards.read import ShardSet

COUNT = 6_000
GOAL = 3.0
GOAL_EVEN = 1.25
PEER_ROUNDS = 3
PEERS = {"torchdata": ("torchdata", resuming.torchdata)}
"""Shown where they are installed, see `peers/`."""
REPEATS = 10
"""Starts that make one round, so that a round is longer than the clock's and the scheduler's noise."""


def run(rounds: int, count: int = COUNT) -> dict[str, Any]:
    """Ratios of times to the first batch, and the times in seconds."""
    import torch

    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory(prefix="medley-resume-") as name:
        shards = shard_sets.of_pictures(Path(name), count, {"image": {"size": [224, 224]}, "text": {}})
        reader = Pixels.build(CONFIG, Fit())
        loader = Loader(shards, "train", {"image": reader}, {}, batch_size=BATCH_SIZE, streams=4, threads=THREADS)
        early, late = loader.steps_per_epoch // 100, loader.steps_per_epoch * 9 // 10
        places = _places(shards, [sample.key for sample in shards.samples("train", range(BATCH_SIZE))])
        sides = {
            "early": lambda: _repeated(lambda epoch: _first(loader, epoch, early)),
            "late": lambda: _repeated(lambda epoch: _first(loader, epoch, late)),
            "floor": lambda: _repeated(lambda _: _by_pread(places, reader)),
        }
        for side in sides.values():
            side()
        seconds = measure.interleave(rounds, sides)
        skipping = _skipping(loader, late)
        peers = {
            way: [resume(shards.path, BATCH_SIZE, late) for _ in range(min(rounds, PEER_ROUNDS))]
            for way, resume in installed(PEERS).items()
        }
    over = {name: [one / floor for one, floor in zip(seconds[name], seconds["floor"], strict=True)] for name in ("early", "late")}
    ratios = {
        "early_of_floor": measure.median(over["early"], goal=GOAL),
        "late_of_floor": measure.median(over["late"], goal=GOAL),
        "late_of_early": measure.median([late / early for late, early in zip(over["late"], over["early"], strict=True)], goal=GOAL_EVEN),
        **{f"{name}_s": measure.median(values) for name, values in seconds.items()},
        "skipping_s": measure.metric(skipping, skipping, skipping),
        **{f"{way}_late_s": measure.median(values) for way, values in peers.items()},
    }
    return {"name": "resume", "ok": all(entry["ok"] for entry in ratios.values()), "ratios": ratios}


def _repeated(start: Any) -> float:
    begun = time.perf_counter()
    for epoch in range(REPEATS):
        start(epoch)
    return (time.perf_counter() - begun) / REPEATS


def _first(loader: Loader, epoch: int, step: int) -> None:
    batches = loader.epoch(epoch, step)
    next(batches)
    batches.close()  # type: ignore[attr-defined]


def _skipping(loader: Loader, step: int) -> float:
    begun = time.perf_counter()
    batches = loader.epoch(0)
    for _ in range(step // 4):
        next(batches)
    batches.close()  # type: ignore[attr-defined]
    return 4 * (time.perf_counter() - begun)


def _places(shards: ShardSet, keys: list[str]) -> list[tuple[int, int, int, int]]:
    """Descriptor, offset, size and CRC-32 of the pictures of samples."""
    import pyarrow.parquet as pq

    rows = {row["key"]: row for row in pq.read_table(shards.path / "index.parquet").to_pylist()}
    opened = {number: os.open(shards.path / shard["name"], os.O_RDONLY) for number, shard in enumerate(shards.meta["shards"])}
    return [(opened[row["shard"]], row["image.offset"], row["image.size"], row["image.crc32"]) for row in map(rows.__getitem__, keys)]


def _by_pread(places: list[tuple[int, int, int, int]], reader: Pixels) -> None:
    members = [os.pread(descriptor, size, offset) for descriptor, offset, size, _ in places]
    if any(zlib.crc32(data) != crc32 for data, (_, _, _, crc32) in zip(members, places, strict=True)):
        raise RuntimeError("a member is damaged")
    reader.collate([reader.read(data) for data in members])
