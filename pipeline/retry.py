"""Taking up records again that something outside their bytes kept out.

In: a store. Out: verdicts on decoders that crashed or hung are cleared; corpora with members that could not be read, and now can, are
superseded, so that the next run reads their sources again. What is bad by its bytes is judged as before, from the pool, without decoding.
Must not import ray or torch.
"""

from __future__ import annotations

import threading
from collections.abc import Collection, Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import pyarrow.compute as pc
import pyarrow.parquet as pq

from pipeline.store import LocalStore
from pipeline.traces import CORPUS, artifacts
from tasks import forgotten
from tasks.contracts import Locator
from tasks.shards import attempts
from tasks.sources.digest import digest


@dataclass(frozen=True)
class Taken:
    """What the next run takes up, and what not yet."""

    cleared: tuple[str, ...]
    """Keys of records whose decoder crashed or hung."""
    readable: tuple[str, ...]
    """Keys of records that could not be read when they were ingested, and can now."""
    unreadable: tuple[str, ...]
    """Those that still cannot. Nothing was changed for them: a run would find the same."""
    corpora: tuple[str, ...]
    """Keys of the corpora that the next run reads again."""


def retry(store: LocalStore, keys: Collection[str] | None = None) -> Taken:
    """Take up all such records, or those of these keys."""
    readable: set[str] = set()
    unreadable: set[str] = set()
    corpora = []
    for artifact in artifacts(store):
        if not (artifact / CORPUS).exists() or forgotten.is_superseded(store, artifact.name):
            continue  # of a superseded one the next run makes another anyway
        bad = [(key, locator) for key, locator in unread(artifact / CORPUS) if keys is None or key in keys]
        mended = {key for key, locator in bad if _is_mended(locator, artifact)}
        readable |= mended
        unreadable |= {key for key, _ in bad} - mended
        if mended:
            forgotten.reread(store, artifact.name)
            corpora.append(artifact.name)
    return Taken(tuple(attempts.retry(store, keys)), tuple(sorted(readable)), tuple(sorted(unreadable - readable)), tuple(corpora))


def _is_mended(locator: Locator, artifact: Path) -> bool:
    """Whether it can be read now. Of what its source refused for what is in the file: whether the file is another one since."""
    if locator.refused in ("", "source/unreadable"):
        return digest(replace(locator, refused=""), artifact, threading.Event()).sha256 is not None
    try:
        status = (artifact / locator.uri).stat()
    except OSError:
        return False
    return (status.st_size, status.st_mtime_ns) != (locator.size, locator.mtime_ns)


def unread(records: Path) -> Iterator[tuple[str, Locator]]:
    """Members of a corpus that were listed and not read, by the key of their record."""
    known = pq.read_schema(records).names
    for modality in [name.removesuffix(".sha256") for name in known if name.endswith(".sha256")]:
        columns = {name: f"{modality}.{name}" for name in ("uri", "offset", "length", "size", "mtime_ns", "refused", "sha256")}
        table = pq.read_table(records, columns=["key", *(column for column in columns.values() if column in known)], partitioning=None)
        table = table.filter(pc.and_(pc.is_valid(table[columns["uri"]]), pc.is_null(table[columns["sha256"]])))
        for row in table.to_pylist():
            facts = {name: row.get(column) for name, column in columns.items() if name != "sha256"}
            yield row["key"], Locator(**facts | {"refused": facts["refused"] or ""})
