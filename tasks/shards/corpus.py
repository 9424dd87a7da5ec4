"""A corpus as sharding sees it: columns of rows, in key order.

In: the folder of a corpus artifact. Out: what the plan and the workers need to know of each record, without opening a medium.
Must not import ray or torch.
"""

from __future__ import annotations

import functools
import hashlib
import json
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple, TypeGuard

import pyarrow as pa
import pyarrow.parquet as pq

from tasks.contracts import FORMAT_VERSION, SPLITS
from tasks.errors import ChangedSource, CorruptArtifact, InputError

UNREADABLE = ""
"""Stands for the digest of a member that was listed but could not be read. For one that its source refused, the reason stands there."""


def was_read(source: str | None) -> TypeGuard[str]:
    """Whether what stands for a member is a digest of its bytes."""
    return bool(source) and "/" not in (source or "/")


class Source(NamedTuple):
    """Where the bytes of one member are, and what they were when they were ingested."""

    uri: str | None
    offset: int | None
    length: int | None
    inline: bytes | None
    sha256: str | None
    """64 hex digits; what stands in its place otherwise, see `was_read`; None where the record lacks the modality."""


@dataclass(frozen=True)
class Corpus:
    """All records of a corpus artifact."""

    path: Path
    meta: Mapping[str, Any]
    """`corpus.json`."""
    table: pa.Table

    @classmethod
    def open(cls, path: Path) -> Corpus:
        """Raises CorruptArtifact when a file is missing, InputError for a newer format or a split that is none."""
        try:
            meta = json.loads((path / "corpus.json").read_bytes())
            table = pq.read_table(path / "records.parquet", partitioning=None).combine_chunks()
        except (OSError, ValueError) as error:
            raise CorruptArtifact(f"{path} is not a whole corpus ({error}); run the ingest step again") from error
        if meta["format"] > FORMAT_VERSION:
            raise InputError(
                f"{path} has corpus format {meta['format']}, this Medley reads up to {FORMAT_VERSION}; upgrade medley-pipeline"
            )
        strange = sorted(set(table["split"].unique().to_pylist()) - set(SPLITS))
        if strange:
            raise InputError(f"{path}: splits are {', '.join(SPLITS)}, but some records have {strange}")
        return cls(path, meta, table)

    @property
    def num_records(self) -> int:
        return int(self.table.num_rows)

    @property
    def modalities(self) -> tuple[str, ...]:
        return tuple(self.meta["modalities"])

    @property
    def labels(self) -> tuple[str, ...]:
        return tuple(sorted(self.meta["labels"]))

    @property
    def forgotten(self) -> tuple[str, ...]:
        """Samples that the source still has and ingest left out, by the SHA-256 of their keys."""
        return tuple(self.meta.get("forgotten", ()))

    @functools.cached_property
    def keys(self) -> list[str]:
        return self.column("key")

    @functools.cached_property
    def splits(self) -> list[str]:
        return self.column("split")

    def column(self, name: str) -> list[Any]:
        """A column as Python values, in row order."""
        values: list[Any] = self.table[name].to_pylist()
        return values

    def digests(self, modality: str) -> list[str | None]:
        """SHA-256 of each record's member, 64 hex digits; `UNREADABLE`, or the reason why it was refused; None where there is no member."""
        uris, inline, digests = (
            self.column(f"{modality}.uri"),
            self.table[f"{modality}.inline"].is_valid().to_pylist(),
            self.column(f"{modality}.sha256"),
        )
        known = f"{modality}.refused" in self.table.column_names
        refused = self.column(f"{modality}.refused") if known else [None] * self.num_records
        found = zip(uris, inline, digests, refused, strict=True)
        return [digest or reason or (UNREADABLE if uri or embedded else None) for uri, embedded, digest, reason in found]

    def sizes(self, modality: str) -> list[int]:
        """Bytes of each record's member in its source; 0 where it has none."""
        lengths, sizes = self.column(f"{modality}.length"), self.column(f"{modality}.size")
        return [(length if length is not None else size) or 0 for length, size in zip(lengths, sizes, strict=True)]


def read_source(corpus_dir: Path, key: str, modality: str, row: Mapping[str, Any]) -> bytes:
    """As `read_member`; `row` holds uri, offset, length, inline and sha256."""
    return read_member(str(corpus_dir), key, modality, Source(*(row[name] for name in Source._fields)))


def read_member(corpus_dir: str, key: str, modality: str, source: Source) -> bytes:
    """The bytes of one member as ingest recorded them.

    Raises ChangedSource when the file is gone, unreadable or holds other bytes than were recorded.
    """
    if source.inline is not None:
        data = source.inline
    else:
        try:
            data = _read(_path(corpus_dir, source), source.offset, source.length)
        except OSError as error:
            raise ChangedSource(
                f"{_place(corpus_dir, key, modality, source)} was readable when it was ingested and is not now: {error.strerror}; "
                "bring it back, or run again to ingest anew"
            ) from error
    if hashlib.sha256(data).hexdigest() != source.sha256:
        raise ChangedSource(
            f"{_place(corpus_dir, key, modality, source)} changed after it was ingested (its digest is another); "
            "run again to ingest the new content, or restore the old"
        )
    return data


def _path(corpus_dir: str, source: Source) -> str:
    assert source.uri is not None, "a member that is not inline has a uri"
    if source.uri.startswith("/"):
        return source.uri
    return os.path.join(corpus_dir, source.uri)  # noqa: PTH118  pathlib costs 10 µs a member


def _place(corpus_dir: str, key: str, modality: str, source: Source) -> str:
    if source.inline is not None:
        return f"the {modality} of record {key!r} inside the corpus"
    return f"{_path(corpus_dir, source)} ({modality} of record {key!r})"


def _read(path: str, offset: int | None, length: int | None) -> bytes:
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        if offset is None or length is None:
            offset, length = 0, os.fstat(descriptor).st_size
        data = os.pread(descriptor, length, offset)
        while len(data) < length and (more := os.pread(descriptor, length - len(data), offset + len(data))):
            data += more
        return data
    finally:
        os.close(descriptor)
