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

import shutil
import tempfile
import time
from collections.abc import Callable, Sequence
from multiprocessing.pool import Pool
from pathlib import Path
from typing import Any

from benchmarks import measure, sides
from benchmarks.pictures import make_media, write_corpus
from tasks.contracts import Artifact
from tasks.shard import ShardConfig

SMALL, LARGE = 3_000, 9_000
GOAL_RATIO = 0.93
GOAL_FIXED_S = 5.0
RAY_DATA_ROUNDS = 3
CONFIG = ShardConfig.model_validate({"prepare": {"image": {"size": [224, 224]}, "text": {}}})


def run(rounds: int, small: int = SMALL, large: int = LARGE) -> dict[str, Any]:
    """Ratios of marginal throughputs, and seconds of fixed cost; throughputs in pictures a second beside them."""
    with tempfile.TemporaryDirectory(prefix="medley-sharding-") as name, sides.processes() as pool:
        folder = Path(name)
        rows = make_media(folder / "media", large, pool)
        corpora = {count: write_corpus(folder / f"corpus-{count}", folder / "media", rows[:count]) for count in (small, large)}
        return _compared(rounds, folder, corpora, pool)


def _compared(rounds: int, folder: Path, corpora: dict[int, Artifact], pool: Pool) -> dict[str, Any]:
    small, large = sorted(corpora)
    chunks = {count: sides.chunks(folder, corpus, CONFIG) for count, corpus in corpora.items()}
    ways: dict[str, Callable[[int], float]] = {
        "medley": lambda count: sides.timed(sides.medley(folder, corpora[count], CONFIG), count),
        "pool": lambda count: sides.timed(sides.bare(folder, pool, chunks[count], CONFIG), count),
        "ray_data": lambda count: _ray_data(folder, chunks[count]),
    }
    for way in ways.values():
        way(small)  # imports, byte code, page cache
    in_turns = {f"{way} {count}": lambda way=way, count=count: ways[way](count) for way in ("medley", "pool") for count in (small, large)}
    seconds = measure.interleave(rounds, in_turns)
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


# ---- Ray Data's own way ------------------------------------------------------------------------------------------------


def _ray_data(folder: Path, chunks: Sequence[sides.Chunk]) -> float:
    import ray.data

    target = folder / "ray-data"
    paths = [places["image"].uri for chunk in chunks for _, places in chunk]
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
    image, text = (
        sides.encoded(modality, data, CONFIG.prepare[modality])
        for modality, data in (("image", row["bytes"]), ("text", path.with_suffix(".txt").read_bytes()))
    )
    return {"__key__": path.stem, image[0]: image[1], text[0]: text[1]}
