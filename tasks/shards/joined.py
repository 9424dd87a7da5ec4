"""Several shard sets as one: the samples of a split end to end, in the order of the sets.

In: open shard sets. Out: what a `Loader` asks of one set. A modality or a label that a set lacks is missing in its samples. What was
learned from the training split holds as it is in the first set that has it: a tokenizer, a normalisation, the classes of a label. Must
not import ray or torch.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from tasks.contracts import Fit
from tasks.errors import InputError
from tasks.shards.order import Positions
from tasks.shards.read import RawSample, ShardSet
from tasks.shards.shares import Share


class Joined:
    """The sets of a mixture, open for reading. `shares`: how large a part each has in training."""

    def __init__(self, sets: Sequence[ShardSet], shares: Sequence[Share], meta: Mapping[str, Any] | None = None) -> None:
        self.sets, self.shares = tuple(sets), tuple(shares)
        self.meta = _first_of_each(self.sets) if meta is None else meta
        """What shards.json says of one set: each entry as the first set has it that has one."""

    @property
    def path(self) -> Path:
        """Of the first set."""
        return self.sets[0].path

    @property
    def modalities(self) -> tuple[str, ...]:
        """Of all sets, sorted."""
        return tuple(self.meta["modalities"])

    def sizes(self, split: str) -> tuple[tuple[int, ...], ...]:
        """Samples of each shard of each set, in index order."""
        return tuple(each.shard_sizes(split) for each in self.sets)

    def num_samples(self, split: str) -> int:
        return sum(each.num_samples(split) for each in self.sets)

    def keys(self, split: str, positions: Positions) -> list[str]:
        """Of samples at positions of the sets' indices laid end to end, in the order asked for."""
        owners, within = self._owned(split, positions)
        keys = {number: iter(self.sets[number].keys(split, within[owners == number])) for number in np.unique(owners).tolist()}
        return [next(keys[number]) for number in owners.tolist()]

    def present(self, split: str) -> dict[str, npt.NDArray[np.bool_]]:
        """Modality → which samples have it."""
        stored = [each.present(split) if each.num_samples(split) else {} for each in self.sets]
        counts = [each.num_samples(split) for each in self.sets]
        return {
            name: np.concatenate([of.get(name, np.zeros(count, dtype=np.bool_)) for of, count in zip(stored, counts, strict=True)])
            for name in self.modalities
        }

    def labels(self, split: str) -> dict[str, npt.NDArray[Any]]:
        """Label → values: categories as objects (str or None), numbers as float64 (nan = no label)."""
        stored = [each.labels(split) if each.num_samples(split) else {} for each in self.sets]
        found = {}
        for name, info in self.meta["labels"].items():
            absent, kind = (None, object) if info["kind"] == "category" else (np.nan, np.float64)
            parts = [of.get(name, np.full(each.num_samples(split), absent)) for of, each in zip(stored, self.sets, strict=True)]
            found[name] = np.concatenate([part.astype(kind) for part in parts])
        return found

    def stream(self, split: str, positions: Iterable[int], *, modalities: Sequence[str]) -> Iterator[RawSample]:
        """Samples at such positions, one after the other, read as they are taken. Raises CorruptArtifact."""
        owners, within = self._owned(split, np.fromiter(positions, dtype=np.int64))
        streams = {}
        for number in np.unique(owners).tolist():
            chosen = [modality for modality in modalities if modality in self.sets[number].modalities]
            streams[number] = self.sets[number].stream(split, within[owners == number], modalities=chosen)
        for number in owners.tolist():
            yield next(streams[number])

    def _owned(self, split: str, positions: Positions) -> tuple[Positions, Positions]:
        """Which set each position lies in, and where in its index."""
        ends = np.cumsum([each.num_samples(split) for each in self.sets])
        owners = np.searchsorted(ends, positions, side="right")
        starts = ends - [each.num_samples(split) for each in self.sets]
        return owners, positions - starts[owners]

    def fit(self, modality: str) -> Fit:
        """What was learned about a modality; empty when training has none of it."""
        return self.fit_set(modality).fit(modality)

    def fit_set(self, modality: str) -> ShardSet:
        """The set whose fit of a modality holds: the first that has one."""
        return next((each for each in self.sets if modality in each.meta["fit_files"]), self.sets[0])

    def validated(self) -> Joined:
        """The first set alone, which is what validation reads, with the modalities of all."""
        return Joined(self.sets[:1], (), self.meta)


AnyShards = ShardSet | Joined


def fit_folder(shard_set: AnyShards, modality: str) -> Path:
    """Where the files of what was learned about a modality lie."""
    return (shard_set.fit_set(modality) if isinstance(shard_set, Joined) else shard_set).path / "fits"


def open_shards(paths: Sequence[Path], shares: Sequence[Share] = ()) -> AnyShards:
    """One shard set, or several with their shares. Raises InputError when these are not as many, CorruptArtifact as opening each does."""
    if len(paths) != max(1, len(shares)):
        raise InputError(f"{len(paths)} shard sets and {len(shares)} shares in `mixture`; give a share for each set, or one set and none")
    return Joined([ShardSet.open(path) for path in paths], shares) if shares else ShardSet.open(paths[0])


def _first_of_each(sets: Sequence[ShardSet]) -> dict[str, Any]:
    names = ("prepare", "labels", "fit_files")
    found = {name: {key: value for each in reversed(sets) for key, value in each.meta[name].items()} for name in names}
    return {**found, "modalities": sorted({modality for each in sets for modality in each.modalities})}
