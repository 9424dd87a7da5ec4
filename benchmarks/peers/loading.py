"""What other loaders need for batches of the same pictures: LitData, MosaicML and webdataset.

In: an open shard set of JPEGs of 224 × 224. Out: each loader's batches as an iterator without end, uint8 BHWC, shuffled, decoded by the
floor's reader in two worker processes, as each library's documentation sets it up. LitData and MosaicML read their own format, which is
made first, of the same bytes; webdataset reads our tars. Run as a program, one loader is timed in a process without threads, since these
libraries fork their workers:

    python -m benchmarks.peers.loading WAY FOLDER SHARDS BATCH_SIZE ONE THREE   # prints the seconds of so many batches, as a JSON list
"""

from __future__ import annotations

import contextlib
import functools
import io
import itertools
import json
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from tasks.shards.read import ShardSet

Decode = Callable[[bytes], Any]
"""The floor's: JPEG to uint8 HWC."""

SHUFFLED = 1_000
"""Samples in webdataset's buffer, its documentation's usual number."""


def seconds_of(way: str, folder: Path, shards: Path, batch_size: int, steps: Sequence[int]) -> list[float]:
    """Seconds of so many batches each, in a process of its own. RuntimeError with the end of its output when it fails."""
    command = [sys.executable, "-m", __name__, way, folder, shards, batch_size, *steps]
    outcome = subprocess.run([str(part) for part in command], capture_output=True, text=True, check=False)
    if outcome.returncode:
        raise RuntimeError(f"{way} failed:\n{outcome.stderr[-2000:]}")
    seconds: list[float] = json.loads(outcome.stdout.splitlines()[-1])
    return seconds


def timed(batches: Iterator[Any], steps: int) -> float:
    """Seconds of so many batches behind the first one, which is not counted: it waits for threads or processes to start."""
    next(batches)
    begun = time.perf_counter()
    for _ in range(steps):
        next(batches)
    return time.perf_counter() - begun


def litdata(folder: Path, shards: ShardSet, decode: Decode, batch_size: int) -> Iterator[Any]:
    from litdata import StreamingDataLoader, StreamingDataset

    target = folder / "litdata"
    if not target.exists():
        _as_litdata(target, shards)
    dataset = StreamingDataset(str(target), shuffle=True, transform=functools.partial(_pixels, decode=decode))
    return _endless(StreamingDataLoader(dataset, batch_size=batch_size, num_workers=2, drop_last=True))


def mosaicml(folder: Path, shards: ShardSet, decode: Decode, batch_size: int) -> Iterator[Any]:
    from streaming import StreamingDataset
    from streaming.base.util import clean_stale_shared_memory
    from torch.utils.data import DataLoader

    target = folder / "mds"
    if not target.exists():
        _as_mds(target, shards)
    clean_stale_shared_memory()
    dataset = StreamingDataset(local=str(target), shuffle=True, batch_size=batch_size)
    collate = functools.partial(_stacked, decode=decode)
    return _endless(DataLoader(dataset, batch_size=batch_size, num_workers=2, drop_last=True, collate_fn=collate))


def webdataset(_: Path, shards: ShardSet, decode: Decode, batch_size: int) -> Iterator[Any]:
    import webdataset as wds

    return _endless(wds.WebLoader(pipeline(shards, decode, batch_size), batch_size=None, num_workers=2))


def pipeline(shards: ShardSet, decode: Decode, batch_size: int) -> Any:
    """A webdataset pipeline of batches, one pass."""
    import webdataset as wds

    urls = [str(shards.path / name) for name in (shards.path / "urls-train.txt").read_text().split()]
    return (
        wds.WebDataset(urls, shardshuffle=len(urls), seed=0)
        .shuffle(SHUFFLED)
        .map(functools.partial(_image, decode=decode))
        .batched(batch_size, collation_fn=np.stack, partial=False)
    )


def _endless(loader: Any) -> Iterator[Any]:
    return itertools.chain.from_iterable(itertools.repeat(loader))


def _pixels(sample: dict[str, Any], decode: Decode) -> Any:
    return np.array(decode(sample["image"]))


def _stacked(samples: list[dict[str, Any]], decode: Decode) -> Any:
    import torch

    return torch.from_numpy(np.stack([decode(sample["image"]) for sample in samples]))


def _image(sample: dict[str, Any], decode: Decode) -> Any:
    return decode(sample["jpg"])


def _as_litdata(target: Path, shards: ShardSet) -> None:
    from litdata import optimize

    with contextlib.redirect_stdout(io.StringIO()):
        optimize(
            functools.partial(_sample, path=shards.path),
            list(range(shards.num_samples("train"))),
            str(target),
            chunk_bytes=64 << 20,
            num_workers=1,
            verbose=False,
        )


_open: dict[Path, ShardSet] = {}


def _sample(position: int, path: Path) -> dict[str, Any]:
    if path not in _open:
        _open[path] = ShardSet.open(path)
    return {"image": _open[path].samples("train", [position], modalities=("image",))[0].members["image"]}


def _as_mds(target: Path, shards: ShardSet) -> None:
    from streaming import MDSWriter

    with MDSWriter(out=str(target), columns={"image": "bytes"}) as writer:
        for sample in shards.samples("train", range(shards.num_samples("train")), modalities=("image",)):
            writer.write({"image": sample.members["image"]})


WAYS = {"litdata": litdata, "mosaicml": mosaicml, "webdataset": webdataset}


def main() -> None:
    from benchmarks.loader import CONFIG
    from tasks.contracts import Fit
    from tasks.modalities.image_reader import ImageReader

    way, folder, path, *numbers = sys.argv[1:]
    batch_size, *steps = (int(number) for number in numbers)
    shards, decode = ShardSet.open(Path(path)), ImageReader.build(CONFIG, Fit()).read
    print(json.dumps([timed(WAYS[way](Path(folder), shards, decode, batch_size), number) for number in steps]))


if __name__ == "__main__":
    main()
