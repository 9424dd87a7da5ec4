"""From tars to samples on one core, every byte checksummed, beside reading the same files from end to end with the same checksum.

The shards hold JPEGs of about 500 px and captions. Floor: `read` of 1 MiB at a time and CRC-32 of it. Ours: `ShardSet.stream` in the order
of the index, CRC-32 of every member, each sample let go of before the next is taken, as the loader does it. Throughput is marginal, of
three shards over one, so that opening the index is counted apart, as `open_s`. Goal: 0.7 of the floor. Beside it lists of 256 samples that
are held together (`ShardSet.samples`), which need fresh memory, and the webdataset library over the same tars, which checks nothing.
"""

from __future__ import annotations

import os
import tarfile
import tempfile
import time
import zlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from benchmarks import measure, shard_sets
from benchmarks.peers.installed import installed
from benchmarks.peers.reading import spdl, spdl_whole
from tasks.shards.read import ShardSet

COUNT = 4_000
CHUNK_BYTES = 1 << 20
SAMPLES_AT_ONCE = 256
GOAL = 0.7
PEERS = {"spdl": ("spdl", spdl), "spdl_whole": ("spdl", spdl_whole)}
"""Shown where they are installed, see `peers/`."""


def run(rounds: int, count: int = COUNT) -> dict[str, Any]:
    """The ratio of marginal throughputs; MB/s of every way beside it."""
    with tempfile.TemporaryDirectory(prefix="medley-reading-") as name:
        path = shard_sets.of_pictures(Path(name), count, {"image": {"verify": "header"}, "text": {}}).path
        _compare_contents(ShardSet.open(path))
        cores = os.sched_getaffinity(0)
        os.sched_setaffinity(0, {min(cores)})
        try:
            peers = {name: lambda path, number, way=way: way(_tars(path, number)) for name, way in installed(PEERS).items()}
            ways = {"medley": _medley, "held": _held, "floor": _floor, "webdataset": _webdataset, **peers}
            sides = {f"{way} {number}": lambda way=way, number=number: ways[way](path, number) for way in ways for number in (1, 3)}
            for side in sides.values():
                side()
            seconds = measure.interleave(rounds, sides)
        finally:
            os.sched_setaffinity(0, cores)
        opening = [_opened(path) for _ in range(rounds)]
        sizes = [shard["bytes"] for shard in ShardSet.open(path).meta["shards"]]
    rates = {
        way: [sum(sizes[1:3]) / 1e6 / (three - one) for one, three in zip(seconds[f"{way} 1"], seconds[f"{way} 3"], strict=True)]
        for way in ways
    }
    ratios = {
        "of_floor": measure.median(_over(rates["medley"], rates["floor"]), goal=GOAL, sense="at least"),
        **{f"{way}_of_floor": measure.median(_over(rates[way], rates["floor"])) for way in ("held", "webdataset", *peers)},
        "open_s": measure.median(opening),
        **{f"{way}_mb_per_s": measure.median(values) for way, values in rates.items()},
    }
    return {"name": "reading", "ok": all(entry["ok"] for entry in ratios.values()), "ratios": ratios}


def _over(above: Sequence[float], below: Sequence[float]) -> list[float]:
    return [one / other for one, other in zip(above, below, strict=True)]


def _tars(path: Path, number: int) -> list[Path]:
    return [path / name for name in (path / "urls-train.txt").read_text().split()][:number]


def _floor(path: Path, number: int) -> float:
    begun = time.perf_counter()
    for tar in _tars(path, number):
        checksum = 0
        with tar.open("rb", buffering=0) as file:
            while chunk := file.read(CHUNK_BYTES):
                checksum = zlib.crc32(chunk, checksum)
    return time.perf_counter() - begun


_open: dict[Path, ShardSet] = {}


def _opened_once(path: Path) -> ShardSet:
    if path not in _open:
        _open[path] = ShardSet.open(path)
        _open[path].keys("train")
    return _open[path]


def _medley(path: Path, number: int) -> float:
    shards = _opened_once(path)
    begun = time.perf_counter()
    for _ in shards.stream("train", range(sum(shards.shard_sizes("train")[:number]))):
        pass
    return time.perf_counter() - begun


def _held(path: Path, number: int) -> float:
    shards = _opened_once(path)
    begun = time.perf_counter()
    end = sum(shards.shard_sizes("train")[:number])
    for start in range(0, end, SAMPLES_AT_ONCE):
        shards.samples("train", range(start, min(start + SAMPLES_AT_ONCE, end)))
    return time.perf_counter() - begun


def _webdataset(path: Path, number: int) -> float:
    import webdataset

    begun = time.perf_counter()
    for _ in webdataset.WebDataset([str(tar) for tar in _tars(path, number)], shardshuffle=False):
        pass
    return time.perf_counter() - begun


def _opened(path: Path) -> float:
    begun = time.perf_counter()
    ShardSet.open(path).samples("train", [0])
    return time.perf_counter() - begun


def _compare_contents(shards: ShardSet) -> None:
    """Every member as Python's `tarfile` finds it."""
    found: dict[str, bytes] = {}
    for name in (shard["name"] for shard in shards.meta["shards"]):
        with tarfile.open(shards.path / name) as tar:
            found |= {member.name: tar.extractfile(member).read() for member in tar}  # type: ignore[union-attr]
    ours = shards.samples("train", range(shards.num_samples("train")))
    if {data for sample in ours for data in sample.members.values()} != set(found.values()) or 2 * len(ours) != len(found):
        raise RuntimeError("the samples are not what the tars hold")
