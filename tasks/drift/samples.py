"""Where samples are chosen from: a split of shards, a corpus, or records of any source, prepared in memory as the reference was.

In: shards, a corpus or a source. Out: the samples that a sketch of a given size holds, and how many there are to choose from. Only the
chosen ones are read. Nothing is written. Must not import torch.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from tasks.contracts import Locator, SourceRecord
from tasks.drift.measure import Sample
from tasks.drift.sketch import choose
from tasks.errors import ChangedSource, InputError, RecordError
from tasks.modalities import MODALITIES
from tasks.shards.corpus import Corpus, read_source
from tasks.shards.read import ShardSet
from tasks.sources.normalise import normalise

READ_AT_ONCE = 32


@dataclass(frozen=True)
class Chosen:
    """Samples, not read yet."""

    records: int
    """Among so many."""
    label_kinds: Mapping[str, str]
    samples: Iterator[Sample]


def of_shards(shard_set: ShardSet, split: str, size: int) -> Chosen:
    """From one split of a shards artifact. InputError when it has none."""
    keys, groups = shard_set.keys(split), shard_set.groups(split)
    kinds = {name: str(info["kind"]) for name, info in shard_set.meta["labels"].items()}
    return Chosen(len(keys), kinds, _of_shards(shard_set, split, keys, groups, sorted(choose(groups, keys, size))))


def _of_shards(shard_set: ShardSet, split: str, keys: Sequence[str], groups: Sequence[str], positions: Sequence[int]) -> Iterator[Sample]:
    """In index order, which is the order on disk."""
    labels = shard_set.labels(split)
    for start in range(0, len(positions), READ_AT_ONCE):
        some = positions[start : start + READ_AT_ONCE]
        for at, raw in zip(some, shard_set.samples(split, some), strict=True):
            yield Sample(keys[at], groups[at], raw.members, {name: values[at] for name, values in labels.items() if _there(values[at])})


def _there(value: Any) -> bool:
    return value is not None and not (isinstance(value, float | np.floating) and np.isnan(value))


def of_corpus(path: Path, prepare: Mapping[str, Mapping[str, Any]], size: int) -> Chosen:
    """From a corpus artifact, all splits. CorruptArtifact when it is none."""
    corpus = Corpus.open(path)
    positions = choose(corpus.column("group"), corpus.keys, size)
    kinds = {name: str(info["kind"]) for name, info in corpus.meta["labels"].items()}
    table = corpus.table.take(positions).to_pylist()
    return Chosen(corpus.num_records, kinds, (_of_row(corpus, row, prepare) for row in table))


def _of_row(corpus: Corpus, row: Mapping[str, Any], prepare: Mapping[str, Mapping[str, Any]]) -> Sample:
    members: dict[str, bytes] = {}
    problems: dict[str, str] = {}
    for modality in sorted({*prepare} & {*corpus.modalities}):
        place = {name: row[f"{modality}.{name}"] for name in ("uri", "offset", "length", "inline", "sha256")}
        if place["inline"] is None and not place["uri"]:
            continue
        try:
            _prepare(members, problems, modality, read_source(corpus.path, row["key"], modality, place), prepare)
        except ChangedSource as error:
            problems[modality] = str(error)
    labels = {name: row[f"label.{name}"] for name in corpus.labels if _there(row[f"label.{name}"])}
    return Sample(row["key"], row["group"], members, labels, problems)


def of_records(records: Sequence[SourceRecord], folder: Path, prepare: Mapping[str, Mapping[str, Any]], size: int) -> Chosen:
    """From records that a source listed; relative uris are below `folder`. InputError when a label is a text here and a number there."""
    regular = [normalise(record).record for record in records]
    kinds: dict[str, str] = {}
    for record in regular:
        for name, value in record.labels.items():
            kind = "category" if isinstance(value, str) else "number"
            if kinds.setdefault(name, kind) != kind:
                raise InputError(
                    f"the label {name!r} of {record.key!r} is a {kind}, and of other records it is not; make it the same for all"
                )
    chosen = [regular[at] for at in choose([record.group for record in regular], [record.key for record in regular], size)]
    return Chosen(len(regular), kinds, (_of_record(record, folder, prepare) for record in chosen))


def _of_record(record: SourceRecord, folder: Path, prepare: Mapping[str, Mapping[str, Any]]) -> Sample:
    members: dict[str, bytes] = {}
    problems: dict[str, str] = {}
    for modality, locator in sorted(record.members.items()):
        if modality not in prepare:
            continue
        try:
            data = _bytes_of(locator, folder)
        except OSError as error:
            problems[modality] = f"{locator.uri} cannot be read: {error.strerror or error}"
        else:
            _prepare(members, problems, modality, data, prepare)
    return Sample(record.key, record.group or record.key, members, record.labels, problems)


def _bytes_of(locator: Locator, folder: Path) -> bytes:
    if locator.inline is not None:
        return locator.inline
    with (folder / locator.uri).open("rb") as file:
        if locator.offset is None or locator.length is None:
            return file.read()
        file.seek(locator.offset)
        return file.read(locator.length)


def _prepare(
    members: dict[str, bytes], problems: dict[str, str], modality: str, data: bytes, prepare: Mapping[str, Mapping[str, Any]]
) -> None:
    """Encode as sharding does, in memory."""
    entry = MODALITIES[modality]
    try:
        members[modality] = entry.load().encode(data, entry.prepare.model_validate(prepare[modality])).data
    except RecordError as error:
        problems[modality] = str(error)
