"""What other libraries need to write the same pictures and captions: LitData's `optimize` and MosaicML's `MDSWriter`.

In: the chunks of the bare pool, and how media are prepared. Out: seconds. Both call the pool's functions for a sample, with two processes,
and neither fsyncs. Defaults are those of the quick start of each; tuned is what its documentation says for speed: LitData in order of
arrival without sorting files by size, MosaicML one writer a process with `merge_index` at the end.
"""

from __future__ import annotations

import contextlib
import functools
import io
import multiprocessing
import shutil
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from benchmarks import sides
from tasks.shard import ShardConfig

CHUNK_BYTES = 64 << 20
"""As large as each library's default."""


def litdata(folder: Path, chunks: Sequence[sides.Chunk], config: ShardConfig, **options: Any) -> float:
    """Seconds of `litdata.optimize`, by its defaults and `options`."""
    from litdata import optimize

    work = [sample for chunk in chunks for sample in chunk]
    function = functools.partial(sample_of, prepare=config.prepare)
    with contextlib.redirect_stdout(io.StringIO()):
        return _timed(
            folder / "litdata",
            lambda target: optimize(
                function, work, str(target), chunk_bytes=CHUNK_BYTES, num_workers=sides.WORKERS, verbose=False, **options
            ),
        )


def litdata_tuned(folder: Path, chunks: Sequence[sides.Chunk], config: ShardConfig) -> float:
    return litdata(folder, chunks, config, reorder_files=False, keep_data_ordered=False)


def mosaicml(folder: Path, chunks: Sequence[sides.Chunk], config: ShardConfig) -> float:
    """Seconds of one `MDSWriter` in this process."""
    return _timed(folder / "mds", lambda target: _write_mds((target, list(chunks), config.prepare)))


def mosaicml_tuned(folder: Path, chunks: Sequence[sides.Chunk], config: ShardConfig) -> float:
    """Seconds of a writer in each of two processes, as its guide to parallel conversion does it."""
    from streaming.base.util import merge_index

    def write(target: Path) -> None:
        jobs = [(target / str(number), list(chunks[number :: sides.WORKERS]), config.prepare) for number in range(sides.WORKERS)]
        with multiprocessing.get_context("spawn").Pool(sides.WORKERS) as pool:
            pool.map(_write_mds, jobs)
        merge_index(str(target), keep_local=True)

    return _timed(folder / "mds", write)


def sample_of(sample: tuple[str, dict[str, sides.Place]], prepare: dict[str, Any]) -> dict[str, Any]:
    """Key and stored bytes of one sample, by the pool's functions."""
    key, places = sample
    return {"key": key} | {modality: sides.encoded(modality, sides.read(place), prepare[modality])[1] for modality, place in places.items()}


def _write_mds(job: tuple[Path, list[sides.Chunk], dict[str, Any]]) -> None:
    from streaming import MDSWriter

    target, chunks, prepare = job
    with MDSWriter(out=str(target), columns={"key": "str", "image": "bytes", "text": "bytes"}) as writer:
        for chunk in chunks:
            for sample in chunk:
                writer.write(sample_of(sample, prepare))


def _timed(target: Path, write: Callable[[Path], None]) -> float:
    begun = time.perf_counter()
    write(target)
    seconds = time.perf_counter() - begun
    shutil.rmtree(target)
    return seconds
