"""Indexed reading of a shards artifact: any sample by its position, without a scan.

In: the folder of a shards artifact. Out: the raw members of samples, their labels and groups, and the fits. One `pread` covers samples
that lie one behind the other; files stay open, within a limit; everything here may be called from many threads. Must not import ray;
torch is not needed.
"""

from __future__ import annotations

import functools
import json
import os
import threading
import zlib
from collections import OrderedDict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from tasks.contracts import FORMAT_VERSION, Fit
from tasks.errors import CorruptArtifact, InputError

MAX_OPEN_FILES = 256
MAX_READ_BYTES = 256 << 10
"""Read at once, unless a single sample is larger. What fits the processor's cache is read a fifth faster than 4 MiB at a time."""
MAX_GAP_BYTES = 16 << 10
"""Skipped within one read: headers, padding, members that nobody asked for."""


@dataclass(frozen=True)
class RawSample:
    """One sample as it is stored."""

    key: str
    members: Mapping[str, bytes]
    """modality → encoded bytes; an absent modality is an absent entry."""


@dataclass(frozen=True)
class _Split:
    """The index of one split as arrays over its N samples; -1 where a sample lacks a modality."""

    keys: pa.Array
    shard: npt.NDArray[np.int32]
    offset: Mapping[str, npt.NDArray[np.int64]]
    size: Mapping[str, npt.NDArray[np.int64]]
    crc32: Mapping[str, npt.NDArray[np.int64]]
    shard_sizes: tuple[int, ...]
    """Samples of each of its shards, in index order."""
    rows: npt.NDArray[np.int64]
    """Rows of the whole index."""


class _Place(NamedTuple):
    """Where a sample lies in its tar."""

    key: str
    shard: int
    start: int
    end: int
    """Bytes from the first to behind the last of its members; 0 where it has none of those asked for."""
    members: list[tuple[str, int, int, int]]
    """modality, offset, size, crc32."""


class ShardSet:
    """A shards artifact, open for reading. Pickles as its path."""

    def __init__(self, path: Path, meta: Mapping[str, Any]) -> None:
        self.path = path
        self.meta = meta
        """Contents of shards.json."""
        self._splits: dict[str, _Split] = {}
        self._files = _Files(path, [shard["name"] for shard in meta["shards"]])

    @classmethod
    def open(cls, path: Path) -> ShardSet:
        """Raises CorruptArtifact when `path` holds no shards artifact, InputError for one of a newer format."""
        try:
            meta = json.loads((path / "shards.json").read_bytes())
        except (OSError, ValueError) as error:
            raise CorruptArtifact(f"{path} is not a whole shards artifact ({error}); give the folder of a finished `shard` step") from error
        if meta["format"] > FORMAT_VERSION:
            raise InputError(
                f"{path} has shards format {meta['format']}, this Medley reads up to {FORMAT_VERSION}; upgrade medley-pipeline"
            )
        return cls(path, meta)

    def __reduce__(self) -> tuple[Any, ...]:
        return ShardSet.open, (self.path,)

    @property
    def modalities(self) -> tuple[str, ...]:
        """Sorted."""
        return tuple(self.meta["modalities"])

    @property
    def splits(self) -> tuple[str, ...]:
        """Those that have samples."""
        return tuple(dict.fromkeys(shard["split"] for shard in self.meta["shards"]))

    def num_samples(self, split: str) -> int:
        return sum(self.shard_sizes(split))

    def shard_sizes(self, split: str) -> tuple[int, ...]:
        """Samples of each shard of a split, in index order."""
        return tuple(shard["samples"] for shard in self.meta["shards"] if shard["split"] == split)

    def keys(self, split: str) -> list[str]:
        """In index order, as all that follows."""
        keys: list[str] = self._split(split).keys.to_pylist()
        return keys

    def groups(self, split: str) -> list[str]:
        groups: list[str] = self._labels["group"].take(pa.array(self._split(split).rows)).to_pylist()
        return groups

    def labels(self, split: str) -> dict[str, npt.NDArray[Any]]:
        """Label → values: categories as objects (str or None), numbers as float64 (nan = no label)."""
        rows = pa.array(self._split(split).rows)
        found = {}
        for name, info in self.meta["labels"].items():
            values = self._labels[name].take(rows)
            if info["kind"] == "category":
                found[name] = np.array(values.to_pylist(), dtype=object)
            else:
                found[name] = np.array([np.nan if value is None else value for value in values.to_pylist()], dtype=np.float64)
        return found

    def present(self, split: str) -> dict[str, npt.NDArray[np.bool_]]:
        """Modality → which samples have it."""
        return {modality: offsets >= 0 for modality, offsets in self._split(split).offset.items()}

    def samples(
        self, split: str, positions: Iterable[int], *, modalities: Sequence[str] | None = None, check: bool = True
    ) -> list[RawSample]:
        """Samples at positions of the split's index, in the order asked for; of some modalities or all.

        Raises CorruptArtifact when bytes are missing or differ from what was written (`check`).
        """
        index = self._split(split)
        chosen = self.modalities if modalities is None else tuple(modalities)
        places = list(_places(index, np.fromiter(positions, dtype=np.int64), chosen))
        samples: list[RawSample] = []
        for run in _adjacent(places):
            span = self._files.read(run[0].shard, run[0].start, run[-1].end - run[0].start) if run[-1].end else b""
            samples.extend(self._cut(place, memoryview(span), run[0].start, check) for place in run)
        return samples

    def fit(self, modality: str) -> Fit:
        """What was learned about a modality; empty when training has none of it."""
        folder = self.path / "fits"
        names = self.meta["fit_files"].get(modality)
        if names is None:
            return Fit()
        values = json.loads((folder / f"{modality}.json").read_bytes())
        return Fit(values, {name: (folder / name).read_bytes() for name in names})

    # ---- inside ----

    def _cut(self, place: _Place, span: memoryview, start: int, check: bool) -> RawSample:
        """A sample out of bytes of its tar that begin at `start`."""
        members = {}
        for modality, offset, size, crc32 in place.members:
            data = span[offset - start : offset - start + size]
            if check and zlib.crc32(data) != crc32:
                raise CorruptArtifact(
                    f"{self._files.name(place.shard)}: the {modality} of {place.key!r} is damaged; "
                    f"`medley shards verify {self.path}` lists all damage, and running the shard step anew mends it"
                )
            members[modality] = bytes(data)
        return RawSample(place.key, members)

    @functools.cached_property
    def _index(self) -> pa.Table:
        return self._table("index")

    @functools.cached_property
    def _labels(self) -> pa.Table:
        return self._table("labels")

    def _table(self, name: str) -> pa.Table:
        path = self.path / f"{name}.parquet"
        try:
            return pq.read_table(path, partitioning=None)
        except (OSError, ValueError) as error:
            raise CorruptArtifact(f"{path} cannot be read: {error}") from error

    def _split(self, split: str) -> _Split:
        if split not in self.splits:
            raise InputError(f"{self.path} has no samples of split {split!r}; it has {', '.join(self.splits)}")
        if split not in self._splits:
            self._splits[split] = self._of_split(split)
        return self._splits[split]

    def _of_split(self, split: str) -> _Split:
        mask = pc.equal(self._index["split"], split)
        table = self._index.filter(mask).combine_chunks()
        arrays: dict[str, dict[str, Any]] = {
            name: {modality: table[f"{modality}.{name}"].cast(pa.int64()).fill_null(-1).to_numpy() for modality in self.modalities}
            for name in ("offset", "size", "crc32")
        }
        rows = np.flatnonzero(mask.to_numpy()).astype(np.int64)
        return _Split(table["key"].combine_chunks(), table["shard"].to_numpy(), **arrays, shard_sizes=self.shard_sizes(split), rows=rows)


def _places(index: _Split, positions: npt.NDArray[np.int64], modalities: Sequence[str]) -> Iterator[_Place]:
    """Of samples in the order asked for. Whole columns at once: single numbers out of numpy cost more than reading a small sample."""
    columns = [(name, *(values[name][positions].tolist() for values in (index.offset, index.size, index.crc32))) for name in modalities]
    keys, shards = index.keys.take(pa.array(positions)).to_pylist(), index.shard[positions].tolist()
    for row, (key, shard) in enumerate(zip(keys, shards, strict=True)):
        members = [(name, offset[row], size[row], crc32[row]) for name, offset, size, crc32 in columns if offset[row] >= 0]
        start = min((offset for _, offset, _, _ in members), default=0)
        yield _Place(key, shard, start, max((offset + size for _, offset, size, _ in members), default=0), members)


def _adjacent(places: Sequence[_Place]) -> Iterator[list[_Place]]:
    """Runs of samples that lie in one tar one behind the other, with nothing but headers between, up to MAX_READ_BYTES."""
    run: list[_Place] = []
    for place in places:
        follows = run and place.members and place.shard == run[-1].shard and 0 <= place.start - run[-1].end <= MAX_GAP_BYTES
        if run and not (follows and place.end - run[0].start <= MAX_READ_BYTES):
            yield run
            run = []
        run.append(place)
    if run:
        yield run


class _Descriptor:
    """An open file that closes when nobody reads from it any more, so that evicting one never hurts a reader."""

    def __init__(self, path: Path) -> None:
        self.number = os.open(path, os.O_RDONLY)

    def __del__(self) -> None:
        if hasattr(self, "number"):
            os.close(self.number)


class _Files:
    """The tars of a shard set, the last used ones open."""

    def __init__(self, folder: Path, names: Sequence[str]) -> None:
        self._names = names
        self._paths = [folder / name for name in names]
        self._open: OrderedDict[int, _Descriptor] = OrderedDict()
        self._lock = threading.Lock()

    def name(self, shard: int) -> str:
        return self._names[shard]

    def read(self, shard: int, offset: int, size: int) -> bytes:
        """Raises CorruptArtifact when the tar is missing or too short."""
        path = self._paths[shard]
        try:
            descriptor = self._descriptor(shard, path)
            data = os.pread(descriptor.number, size, offset)
            while len(data) < size:
                more = os.pread(descriptor.number, size - len(data), offset + len(data))
                if not more:
                    raise CorruptArtifact(f"{path} ends before byte {offset + size}; run the shard step anew")
                data += more
        except OSError as error:
            raise CorruptArtifact(f"{path} cannot be read: {error.strerror}") from error
        return data

    def _descriptor(self, shard: int, path: Path) -> _Descriptor:
        with self._lock:
            descriptor = self._open.get(shard)
            if descriptor is None:
                descriptor = self._open[shard] = _Descriptor(path)
                if len(self._open) > MAX_OPEN_FILES:
                    self._open.popitem(last=False)
            else:
                self._open.move_to_end(shard)
            return descriptor
