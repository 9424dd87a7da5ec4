"""From shards to uint8 batches with two loader threads, beside two processes that decode the same bytes and do nothing else.

The shards hold pictures of 224 × 224 as JPEG. Floor: each process has its half of the pictures in memory and calls the same decoder on one
after the other; nothing is read, shuffled, joined or handed over. Ours: `Loader.epoch` with two threads, shuffled over all shards, checked
by CRC-32, stacked to uint8 BHWC. Threads and processes are warm, the index is loaded. Throughput is marginal, of three parts of an epoch
over one. Goal: 0.90 of the floor. Beside it the rate of float32 batches, normalised, as training takes them.
"""

from __future__ import annotations

import multiprocessing
import tempfile
import time
from collections.abc import Iterable
from multiprocessing.pool import Pool
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks import measure, shard_sets
from benchmarks.peers import loading
from benchmarks.peers.installed import installed
from tasks.contracts import Fit, ModalityBatch
from tasks.modalities.config import ImageRead
from tasks.modalities.image_reader import ImageReader
from tasks.shards.loader import Loader
from tasks.shards.read import ShardSet

COUNT = 6_000
BATCH_SIZE = 64
THREADS = 2
GOAL = 0.90
CONFIG = ImageRead(size=(224, 224), normalise=False)
PEERS = {
    "litdata": ("litdata", "litdata"),
    "mosaicml": ("streaming", "mosaicml"),
    "webdataset": ("litdata", "webdataset"),
}
"""Shown in the environment of the peers alone: webdataset is in Medley's own too, but its rounds take a while."""
PEER_ROUNDS = 3


class Pixels(ImageReader):
    """Batches stay uint8 BHWC, as they leave the decoder."""

    def collate(self, values: Iterable[Any]) -> ModalityBatch:
        import torch

        return ModalityBatch(torch.from_numpy(self.stacked(values)[0]))


def run(rounds: int, count: int = COUNT) -> dict[str, Any]:
    """The ratio of marginal throughputs, and samples a second."""
    import torch

    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory(prefix="medley-loader-") as name:
        shards = shard_sets.of_pictures(Path(name), count, {"image": {"size": [224, 224]}, "text": {}})
        steps = count // BATCH_SIZE
        one, three = steps // 4, 3 * (steps // 4)
        _compare_contents(shards)
        with multiprocessing.get_context("spawn").Pool(2, initializer=_hold, initargs=(str(shards.path),)) as pool:
            readers = {"medley": Pixels.build(CONFIG, Fit()), "float32": ImageReader.build(CONFIG, Fit())}
            sides: dict[str, Any] = {f"floor {number}": lambda number=number: _floor(pool, number * BATCH_SIZE) for number in (one, three)}
            for way, reader in readers.items():
                sides |= {
                    f"{way} {number}": lambda reader=reader, number=number: _medley(shards, reader, number) for number in (one, three)
                }
            for side in sides.values():
                side()
            seconds = measure.interleave(rounds, sides)
            peers = installed(PEERS)
            for way in peers:
                times = [
                    loading.seconds_of(way, Path(name), shards.path, BATCH_SIZE, (one, three)) for _ in range(min(rounds, PEER_ROUNDS))
                ]
                seconds |= {f"{way} {number}": list(values) for number, values in zip((one, three), zip(*times, strict=True), strict=True)}
    rates = {
        way: [
            (three - one) * BATCH_SIZE / (long - short)
            for short, long in zip(seconds[f"{way} {one}"], seconds[f"{way} {three}"], strict=True)
        ]
        for way in ("medley", "float32", "floor", *peers)
    }
    ratios = {
        "of_floor": measure.median([a / b for a, b in zip(rates["medley"], rates["floor"], strict=True)], goal=GOAL, sense="at least"),
        **{
            f"{way}_of_floor": measure.median([a / b for a, b in zip(rates[way], rates["floor"], strict=False)])
            for way in ("float32", *peers)
        },
        **{f"{way}_samples_per_s": measure.median(values) for way, values in rates.items()},
    }
    return {"name": "loader", "ok": all(entry["ok"] for entry in ratios.values()), "ratios": ratios}


def _medley(shards: ShardSet, reader: ImageReader, steps: int) -> float:
    loader = Loader(shards, "train", {"image": reader}, {}, batch_size=BATCH_SIZE, streams=4, threads=THREADS)
    batches = loader.epoch(0)
    seconds = loading.timed(batches, steps)
    batches.close()  # type: ignore[attr-defined]
    return seconds


# ---- the floor ---------------------------------------------------------------------------------------------------------

_held: list[bytes] = []


def _hold(path: str) -> None:
    """Every process holds all pictures, so that any part of them can be asked for."""
    shards = ShardSet.open(Path(path))
    _held.extend(sample.members["image"] for sample in shards.samples("train", range(shards.num_samples("train")), modalities=("image",)))


def _decode(part: tuple[int, int]) -> int:
    reader = ImageReader.build(CONFIG, Fit())
    return sum(reader.read(data).shape[0] > 0 for data in _held[slice(*part)])


def _floor(pool: Pool, count: int) -> float:
    begun = time.perf_counter()
    decoded = sum(pool.map(_decode, [(0, count // 2), (count // 2, count)], chunksize=1))
    seconds = time.perf_counter() - begun
    if decoded != count:
        raise RuntimeError(f"{decoded} pictures were decoded, not {count}")
    return seconds


def _compare_contents(shards: ShardSet) -> None:
    """A batch of ours is what the decoder gives for its samples."""
    reader = Pixels.build(CONFIG, Fit())
    batch = next(Loader(shards, "train", {"image": reader}, {}, batch_size=BATCH_SIZE, streams=4).epoch(0))
    places = {key: position for position, key in enumerate(shards.keys("train"))}
    samples = shards.samples("train", [places[key] for key in batch.keys])
    if not np.array_equal(batch.inputs["image"].values.numpy(), np.stack([reader.read(sample.members["image"]) for sample in samples])):
        raise RuntimeError("the batch is not what its samples decode to")
