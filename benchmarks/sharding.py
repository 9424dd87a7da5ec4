"""How much of a bare process pool's speed is left when shards are made the way Medley makes them.

Both sides read JPEGs of about 500 px and captions, decode, scale to 224 × 224, encode again, and write the same tars with the same
writer and an fsync, in two processes: one as the `shard` step over Ray Data (plan, digests, ledger, statistics, pool, index, cards),
one as `multiprocessing.Pool` calling the same functions and nothing else. A side's marginal throughput is (9,000 - 3,000) pictures
over the difference of its two times, so that what a run costs once is counted apart, as `fixed_s`. Pools and `ray.init` are outside
the clock; the pool's processes get the low priority that Ray gives its workers, so that other work on the machine slows both alike.
Goals: throughput 0.93 of the pool's; fixed cost at most 5 s. Ray Data's own way (`read_binary_files`, `map`, `write_webdataset`) is
reported beside it, over at most three rounds.
"""

from __future__ import annotations

import contextlib
import logging
import multiprocessing
import os
import shutil
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from multiprocessing.pool import Pool
from pathlib import Path
from typing import Any

from benchmarks import measure
from benchmarks.pictures import make_media, write_corpus
from pipeline.store import LocalStore
from tasks.contracts import Artifact, Modality, Resources, TaskContext
from tasks.modalities import MODALITIES
from tasks.shard import ShardConfig, shard
from tasks.shards.corpus import Corpus
from tasks.shards.prepare import prepare_plan
from tasks.shards.tar import TarWriter

SMALL, LARGE = 3_000, 9_000
WORKERS = 2
GOAL_RATIO = 0.93
GOAL_FIXED_S = 5.0
RAY_DATA_ROUNDS = 3
CONFIG = ShardConfig.model_validate({"prepare": {"image": {"size": [224, 224]}, "text": {}}})


class Quiet:
    """A sink for progress that nobody looks at."""

    def progress(self, done: float, total: float | None, unit: str, detail: str = "") -> None: ...

    def metrics(self, values: Any, step: int) -> None: ...

    def note(self, message: str) -> None: ...


def run(rounds: int, small: int = SMALL, large: int = LARGE) -> dict[str, Any]:
    """Ratios of marginal throughputs, and seconds of fixed cost; throughputs in pictures a second beside them."""
    spawn = multiprocessing.get_context("spawn")
    with tempfile.TemporaryDirectory(prefix="medley-sharding-") as name, _ray() as niceness:
        folder = Path(name)
        with spawn.Pool(WORKERS, initializer=os.nice, initargs=(niceness,)) as pool:
            rows = make_media(folder / "media", large, pool)
            corpora = {count: write_corpus(folder / f"corpus-{count}", folder / "media", rows[:count]) for count in (small, large)}
            return _compared(rounds, folder, corpora, pool)


def _compared(rounds: int, folder: Path, corpora: dict[int, Artifact], pool: Pool) -> dict[str, Any]:
    small, large = sorted(corpora)
    chunks = {count: _chunks(folder, corpus) for count, corpus in corpora.items()}
    ways: dict[str, Callable[[int], float]] = {
        "medley": lambda count: _medley(folder, corpora[count]),
        "pool": lambda count: _pool(folder, pool, chunks[count]),
        "ray_data": lambda count: _ray_data(folder, chunks[count]),
    }
    for way in ways.values():
        way(small)  # imports, byte code, page cache
    sides = {f"{way} {count}": lambda way=way, count=count: ways[way](count) for way in ("medley", "pool") for count in (small, large)}
    seconds = measure.interleave(rounds, sides)
    others = {f"ray_data {count}": lambda count=count: ways["ray_data"](count) for count in (small, large)}
    seconds |= measure.interleave(min(rounds, RAY_DATA_ROUNDS), others)
    rates = {way: _rates(seconds[f"{way} {small}"], seconds[f"{way} {large}"], large - small) for way in ways}
    fixed = [first - small / rate for first, rate in zip(seconds[f"medley {small}"], rates["medley"], strict=True)]
    ratios = {
        "of_pool": measure.median(_over(rates["medley"], rates["pool"]), goal=GOAL_RATIO, sense="at least"),
        "fixed_s": measure.median(fixed, goal=GOAL_FIXED_S),
        "ray_data_of_pool": measure.median(_over(rates["ray_data"], rates["pool"])),
    }
    return {
        "name": "sharding",
        "ok": all(entry["ok"] for entry in ratios.values()),
        "ratios": ratios,
        "pictures_per_s": {way: [round(rate, 1) for rate in values] for way, values in rates.items()},
        "seconds": {side: [round(value, 3) for value in values] for side, values in seconds.items()},
        "shards": {str(count): len(chunks[count]) for count in corpora},
    }


def _rates(small_s: Sequence[float], large_s: Sequence[float], pictures: int) -> list[float]:
    return [pictures / (long - short) for short, long in zip(small_s, large_s, strict=True)]


def _over(above: Sequence[float], below: Sequence[float]) -> list[float]:
    return [one / other for one, other in zip(above, below, strict=False)]


# ---- the shard step ----------------------------------------------------------------------------------------------------


def _medley(folder: Path, corpus: Artifact) -> float:
    store = LocalStore.open(folder / "store")
    output = store.scratch()
    output.mkdir()
    begun = time.perf_counter()
    summary = shard(CONFIG, {"corpus": corpus}, output, _context(store))
    seconds = time.perf_counter() - begun
    if summary["ledger"]["written"] != summary["ledger"]["in"] or summary["members"]["copied"]:
        raise RuntimeError(f"not everything was made anew: {summary}")
    shutil.rmtree(store.root)
    return seconds


def _context(store: LocalStore) -> TaskContext:
    key = "0" * 64
    return TaskContext(store, key, "shards", 0, store.work_dir(key), Quiet(), threading.Event(), Resources(data_tasks=WORKERS))


# ---- the bare pool -----------------------------------------------------------------------------------------------------

Chunk = list[tuple[str, dict[str, str]]]
"""Key and paths of the members of the samples of one tar."""


def _chunks(folder: Path, corpus: Artifact) -> list[Chunk]:
    """The same tars as the plan's, in the order the step builds them, so that both sides have the same pieces of work."""
    store = LocalStore.open(folder / "plan")
    opened = Corpus.open(corpus.path)
    uris = {modality: opened.column(f"{modality}.uri") for modality in opened.modalities}
    units = sorted(prepare_plan(CONFIG, opened, _context(store)).units, key=lambda unit: -unit.num_bytes)
    return [[(opened.keys[row], {modality: uris[modality][row] for modality in uris}) for row in unit.rows] for unit in units]


def _pool(folder: Path, pool: Pool, chunks: Sequence[Chunk]) -> float:
    target = folder / "pool"
    target.mkdir()
    jobs = [(chunk, target / f"{number:06d}.tar") for number, chunk in enumerate(chunks)]
    begun = time.perf_counter()
    written = sum(pool.imap_unordered(_write_tar, jobs))
    seconds = time.perf_counter() - begun
    if written != sum(len(chunk) for chunk in chunks):
        raise RuntimeError("the pool wrote too few samples")
    shutil.rmtree(target)
    return seconds


_loaded: dict[str, Modality] = {}


def _write_tar(job: tuple[Chunk, Path]) -> int:
    chunk, path = job
    with path.open("wb", buffering=1 << 20) as file:
        tar = TarWriter(file)
        for key, paths in chunk:
            tar.add(key, dict(_encoded(modality, Path(uri).read_bytes()) for modality, uri in paths.items()))
        tar.finish()
        os.fsync(file.fileno())
    return tar.num_samples


def _encoded(modality: str, data: bytes) -> tuple[str, bytes]:
    if modality not in _loaded:
        _loaded[modality] = MODALITIES[modality].load()
    encoded = _loaded[modality].encode(data, CONFIG.prepare[modality])
    return encoded.extension, encoded.data


# ---- Ray Data's own way ------------------------------------------------------------------------------------------------


def _ray_data(folder: Path, chunks: Sequence[Chunk]) -> float:
    import ray.data

    target = folder / "ray-data"
    paths = [paths["image"] for chunk in chunks for _, paths in chunk]
    begun = time.perf_counter()
    dataset = ray.data.read_binary_files(paths, include_paths=True).map(_ray_row)
    dataset.context.enable_progress_bars = False
    dataset.context.print_on_execution_start = False
    dataset.write_webdataset(str(target), encoder=dict)  # its default encoder wants arrays, not encoded bytes
    seconds = time.perf_counter() - begun
    shutil.rmtree(target)
    return seconds


def _ray_row(row: dict[str, Any]) -> dict[str, Any]:
    path = Path(row["path"])
    image, text = _encoded("image", row["bytes"]), _encoded("text", path.with_suffix(".txt").read_bytes())
    return {"__key__": path.stem, image[0]: image[1], text[0]: text[1]}


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
