"""How much of a bare process pool's speed is left when shards are made the way Medley makes them.

Both sides read JPEGs of about 500 px and captions, decode, scale to 224 × 224, encode again, and write the same tars with the same
writer and an fsync, in two processes: one as the `shard` step over Ray Data (plan, digests, ledger, statistics, pool, index, cards),
one as `multiprocessing.Pool` calling the same functions and nothing else; see `marginal` for what is timed. Pools and `ray.init` are
outside the clock; the pool's processes get the low priority that Ray gives its workers, so that other work on the machine slows both
alike. Goals: marginal throughput 0.97 of the pool's; fixed cost at most 3 s. Ray Data's own way (`read_binary_files`, `map`,
`write_webdataset`, which does not fsync) is reported beside it, over at most three rounds, and so are the peers that are installed.
"""

from __future__ import annotations

import functools
import shutil
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from benchmarks import marginal, sides
from benchmarks.peers import writing
from benchmarks.peers.installed import installed
from tasks.shard import ShardConfig

SMALL, LARGE = 3_000, 9_000
CONFIG = ShardConfig.model_validate({"prepare": {"image": {"size": [224, 224]}, "text": {}}})
PEERS = {
    "litdata": ("litdata", writing.litdata),
    "litdata_tuned": ("litdata", writing.litdata_tuned),
    "mosaicml": ("streaming", writing.mosaicml),
    "mosaicml_tuned": ("streaming", writing.mosaicml_tuned),
}
"""Shown where they are installed, see `peers/`."""


def run(rounds: int, small: int = SMALL, large: int = LARGE) -> dict[str, Any]:
    """See `marginal.compare`."""
    peers = {name: functools.partial(way, config=CONFIG) for name, way in installed(PEERS).items()}
    claim = marginal.Claim("sharding", CONFIG, 0.97, 3.0, {"ray_data": _ray_data, **peers})
    return marginal.compare(claim, rounds, small, large)


def _ray_data(folder: Path, chunks: Sequence[sides.Chunk]) -> float:
    return ray_data(folder, chunks, CONFIG)


def ray_data(folder: Path, chunks: Sequence[sides.Chunk], config: ShardConfig) -> float:
    """Seconds of Ray Data's own reading, mapping and writing."""
    import ray.data

    target = folder / "ray-data"
    paths = [places["image"].uri for chunk in chunks for _, places in chunk]
    begun = time.perf_counter()
    dataset = ray.data.read_binary_files(paths, include_paths=True).map(_row, fn_kwargs={"prepare": config.prepare})
    dataset.context.enable_progress_bars = False
    dataset.context.print_on_execution_start = False
    dataset.write_webdataset(str(target), encoder=dict)  # its default encoder wants arrays, not encoded bytes
    seconds = time.perf_counter() - begun
    shutil.rmtree(target)
    return seconds


def _row(row: dict[str, Any], prepare: dict[str, Any]) -> dict[str, Any]:
    path = Path(row["path"])
    image, text = (
        sides.encoded(modality, data, prepare[modality])
        for modality, data in (("image", row["bytes"]), ("text", path.with_suffix(".txt").read_bytes()))
    )
    return {"__key__": path.stem, image[0]: image[1], text[0]: text[1]}
