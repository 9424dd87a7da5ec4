"""Indexed reading of a shards artifact: any sample by its position, without a scan.

In: the folder of a shards artifact. Out: the raw members of samples, their labels and groups, and the fits. One `pread` covers samples
that lie one behind the other; files stay open, within a limit; everything here may be called from many threads. Whoever takes samples one
by one and lets go of each has the next one read into the same memory, which is twice as fast as a list of them: the pages of fresh memory
cost as much as copying and CRC-32 together. Must not import ray; torch is not needed.
"""

from __future__ import annotations

import functools
import json
import zlib
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
from tasks.shards.open_tars import OpenTars
from tasks.shards.order import Positions

MAX_READ_BYTES = 256 << 10
"""Read at once, unless a single sample is larger. What fits the processor's cache is read a fifth faster than 4 MiB at a time."""
MAX_GAP_BYTES = 16 << 10
"""Skipped within one read: headers, padding, members that nobody asked for."""
LOOKED_UP_AT_ONCE = 1024
"""Samples whose places are taken out of the index together: single numbers out of numpy cost more than reading a small sample."""
_NOWHERE = np.iinfo(np.int64).max


class RawSample(NamedTuple):
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


class _Places(NamedTuple):
    """Where samples lie in their tars, column by column, in the order asked for."""

    keys: list[str]
    shards: list[int]
    starts: list[int]
    ends: list[int]
    """Bytes from the first to behind the last of a sample's members; both are _NOWHERE where it has none of those asked for."""
    members: list[tuple[str, list[int], list[int], list[int]]]
    """modality, and of each sample offset (-1 = none), size, crc32."""


class ShardSet:
    """A shards artifact, open for reading. Pickles as its path."""

    def __init__(self, path: Path, meta: Mapping[str, Any]) -> None:
        self.path = path
        self.meta = meta
        """Contents of shards.json."""
        self._splits: dict[str, _Split] = {}
        self._files = OpenTars(path, [shard["name"] for shard in meta["shards"]])

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

    def keys(self, split: str, positions: Positions | None = None) -> list[str]:
        """In index order, as all that follows; or of some samples, in the order asked for."""
        stored = self._split(split).keys
        keys: list[str] = (stored if positions is None else stored.take(pa.array(positions))).to_pylist()
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

    def contents(self, split: str) -> dict[str, npt.NDArray[np.int64]]:
        """Modality → a number for what each sample has of it, the same for the same bytes; -1 = nothing.

        Made of size and CRC-32, which the index has: of two different members of one size, one pair in 4 billion gets the same number.
        """
        index = self._split(split)
        return {
            modality: np.where(index.offset[modality] < 0, -1, index.size[modality] << 32 | index.crc32[modality])
            for modality in index.size
        }

    def samples(
        self, split: str, positions: Iterable[int], *, modalities: Sequence[str] | None = None, check: bool = True
    ) -> list[RawSample]:
        """Samples at positions of the split's index, in the order asked for; of some modalities or all.

        Raises CorruptArtifact when bytes are missing or differ from what was written (`check`).
        """
        return list(self.stream(split, positions, modalities=modalities, check=check))

    def stream(
        self, split: str, positions: Iterable[int], *, modalities: Sequence[str] | None = None, check: bool = True
    ) -> Iterator[RawSample]:
        """The same, one after the other, read as they are taken. Raises CorruptArtifact when it comes to what is damaged."""
        index = self._split(split)
        chosen = self.modalities if modalities is None else tuple(modalities)
        wanted = np.fromiter(positions, dtype=np.int64)
        for start in range(0, len(wanted), LOOKED_UP_AT_ONCE):
            places = _places(index, wanted[start : start + LOOKED_UP_AT_ONCE], chosen)
            for first, after in _adjacent(places):
                yield from self._run(places, first, after, check)

    def fit(self, modality: str) -> Fit:
        """What was learned about a modality; empty when training has none of it."""
        folder = self.path / "fits"
        names = self.meta["fit_files"].get(modality)
        if names is None:
            return Fit()
        values = json.loads((folder / f"{modality}.json").read_bytes())
        return Fit(values, {name: (folder / name).read_bytes() for name in names})

    # ---- inside ----

    def _run(self, places: _Places, first: int, after: int, check: bool) -> Iterator[RawSample]:
        """Samples that one read covers, each member a copy of its own, so that a sample that is kept keeps nothing else."""
        start, end = places.starts[first], places.ends[after - 1]
        span = self._files.read(places.shards[first], start, end - start) if end > start else b""
        for row in range(first, after):
            members = {}
            for modality, offsets, sizes, crc32s in places.members:
                if offsets[row] >= 0:
                    offset = offsets[row] - start
                    data = span[offset : offset + sizes[row]]
                    if check and zlib.crc32(data) != crc32s[row]:
                        raise self._damaged(places, row, modality)
                    members[modality] = data
            yield RawSample(places.keys[row], members)

    def _damaged(self, places: _Places, row: int, modality: str) -> CorruptArtifact:
        return CorruptArtifact(
            f"{self._files.name(places.shards[row])}: the {modality} of {places.keys[row]!r} is damaged; "
            f"`medley shards verify {self.path}` lists all damage, and running the shard step anew mends it"
        )

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


def _places(index: _Split, positions: Positions, modalities: Sequence[str]) -> _Places:
    """Of samples in the order asked for."""
    starts, ends = np.full(len(positions), _NOWHERE), np.full(len(positions), -1)
    members = []
    for name in modalities:
        offsets, sizes, crc32s = (values[name][positions] for values in (index.offset, index.size, index.crc32))
        np.minimum(starts, np.where(offsets >= 0, offsets, _NOWHERE), out=starts)
        np.maximum(ends, np.where(offsets >= 0, offsets + sizes, -1), out=ends)
        members.append((name, offsets.tolist(), sizes.tolist(), crc32s.tolist()))
    ends[ends < 0] = _NOWHERE
    keys: list[str] = index.keys.take(pa.array(positions)).to_pylist()
    return _Places(keys, index.shard[positions].tolist(), starts.tolist(), ends.tolist(), members)


def _adjacent(places: _Places) -> Iterator[tuple[int, int]]:
    """Runs, as first and behind the last, of samples that lie in one tar with little between, up to MAX_READ_BYTES."""
    _, shards, starts, ends, _ = places
    first = 0
    for row in range(1, len(shards)):
        follows = shards[row] == shards[first] and 0 <= starts[row] - ends[row - 1] <= MAX_GAP_BYTES
        if not (follows and ends[row] - starts[first] <= MAX_READ_BYTES):
            yield first, row
            first = row
    if shards:
        yield first, len(shards)
