"""The two sides of a benchmark of sharding: the shard step over Ray Data, and a bare pool of processes that calls the same functions.

In: a corpus and a config of the step. Out: seconds. Both sides make the same tars with the same writer and an fsync. Starting Ray and the
pool stays outside the clock; the pool's processes get the low priority that Ray gives its workers, so that other work on the machine
slows both alike.
"""

from __future__ import annotations

import contextlib
import logging
import multiprocessing
import os
import shutil
import threading
import time
from collections.abc import Iterator, Sequence
from multiprocessing.pool import Pool
from pathlib import Path
from typing import Any, NamedTuple

from pipeline.store import LocalStore
from tasks.contracts import Artifact, Modality, Resources, TaskContext
from tasks.errors import BadMember
from tasks.modalities import MODALITIES
from tasks.shard import ShardConfig, shard
from tasks.shards.corpus import Corpus
from tasks.shards.prepare import prepare_plan
from tasks.shards.tar import TarWriter

WORKERS = 2


class Quiet:
    """A sink for progress that nobody looks at."""

    def progress(self, done: float, total: float | None, unit: str, detail: str = "") -> None: ...

    def metrics(self, values: Any, step: int) -> None: ...

    def note(self, message: str) -> None: ...


class Place(NamedTuple):
    """Where a member is: a file or a byte range of one, or the bytes themselves."""

    uri: str
    offset: int | None
    length: int | None
    inline: bytes | None


Chunk = list[tuple[str, dict[str, Place]]]
"""Key and places of the members of the samples of one tar."""


@contextlib.contextmanager
def processes() -> Iterator[Pool]:
    """Ray with two CPUs, and a pool of two processes as nice as its workers, for the length of a block."""
    with _ray() as niceness, multiprocessing.get_context("spawn").Pool(WORKERS, initializer=os.nice, initargs=(niceness,)) as pool:
        yield pool


# ---- the shard step ----------------------------------------------------------------------------------------------------


def timed(outcome: tuple[float, int], samples: int) -> float:
    """The seconds of a side, if it wrote as many samples as it should. Raises RuntimeError."""
    seconds, written = outcome
    if written != samples:
        raise RuntimeError(f"{written} samples were written, not {samples}")
    return seconds


def medley(folder: Path, corpus: Artifact, config: ShardConfig) -> tuple[float, int]:
    """Seconds of the step with an empty store, and samples. RuntimeError when something was not made anew."""
    store = LocalStore.open(folder / "store")
    output = store.scratch()
    output.mkdir()
    begun = time.perf_counter()
    summary = shard(config, {"corpus": corpus}, output, _context(store))
    seconds = time.perf_counter() - begun
    if summary["members"]["copied"] or summary["units"]["reused"]:
        raise RuntimeError(f"not everything was made anew: {summary}")
    shutil.rmtree(store.root)
    return seconds, summary["ledger"]["written"]


def _context(store: LocalStore) -> TaskContext:
    key = "0" * 64
    return TaskContext(store, key, "shards", 0, store.work_dir(key), Quiet(), threading.Event(), Resources(data_tasks=WORKERS))


# ---- the bare pool -----------------------------------------------------------------------------------------------------


def chunks(folder: Path, corpus: Artifact, config: ShardConfig) -> list[Chunk]:
    """The same tars as the plan's, in the order the step builds them, so that both sides have the same pieces of work."""
    store = LocalStore.open(folder / "plan")
    opened = Corpus.open(corpus.path)
    columns = {
        modality: list(zip(*(opened.column(f"{modality}.{name}") for name in Place._fields), strict=True)) for modality in config.prepare
    }
    units = sorted(prepare_plan(config, opened, _context(store)).units, key=lambda unit: -unit.num_bytes)
    return [[(opened.keys[row], _places(columns, row)) for row in unit.rows] for unit in units]


def _places(columns: dict[str, list[Any]], row: int) -> dict[str, Place]:
    places = {modality: Place(*values[row]) for modality, values in columns.items()}
    return {modality: place for modality, place in places.items() if place.uri or place.inline is not None}


def bare(folder: Path, pool: Pool, work: Sequence[Chunk], config: ShardConfig) -> tuple[float, int]:
    """Seconds of the pool for the same tars, and samples."""
    target = folder / "pool"
    target.mkdir()
    jobs = [(chunk, target / f"{number:06d}.tar", config.prepare) for number, chunk in enumerate(work)]
    begun = time.perf_counter()
    written = sum(pool.imap_unordered(_write_tar, jobs))
    seconds = time.perf_counter() - begun
    shutil.rmtree(target)
    return seconds, written


def _write_tar(job: tuple[Chunk, Path, dict[str, Any]]) -> int:
    chunk, path, prepare = job
    with path.open("wb", buffering=1 << 20) as file:
        tar = TarWriter(file)
        for key, places in chunk:
            with contextlib.suppress(BadMember):  # the step quarantines such a record; who writes how many is compared
                tar.add(key, dict(encoded(modality, read(place), prepare[modality]) for modality, place in places.items()))
        tar.finish()
        os.fsync(file.fileno())
    return tar.num_samples


def read(place: Place) -> bytes:
    """The bytes of a member."""
    if place.inline is not None:
        return place.inline
    if place.offset is None:
        return Path(place.uri).read_bytes()
    with Path(place.uri).open("rb") as file:
        file.seek(place.offset)
        return file.read(place.length)


_loaded: dict[str, Modality] = {}


def encoded(modality: str, data: bytes, prepare: Any) -> tuple[str, bytes]:
    """Extension and stored bytes of a member."""
    if modality not in _loaded:
        _loaded[modality] = MODALITIES[modality].load()
    made = _loaded[modality].encode(data, prepare)
    return made.extension, made.data


# ---- Ray ---------------------------------------------------------------------------------------------------------------


@contextlib.contextmanager
def _ray() -> Iterator[int]:
    """Ray with two CPUs for the length of a block; gives the niceness of its workers."""
    os.environ.setdefault("RAY_AUTH_MODE", "disabled")
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    import ray

    logging.getLogger("ray").setLevel(logging.ERROR)
    ray.init(
        num_cpus=WORKERS,
        include_dashboard=False,
        log_to_driver=False,
        logging_level=logging.ERROR,
        object_store_memory=1 << 30,
        job_config=ray.job_config.JobConfig(_py_driver_sys_path=[str(Path(__file__).resolve().parent.parent)]),
    )
    logging.getLogger("ray.data").setLevel(logging.ERROR)
    try:
        yield ray.get(ray.remote(lambda: os.nice(0)).remote())
    finally:
        ray.shutdown()
