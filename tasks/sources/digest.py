"""Digests of media.

In: records of a source. Out: the same records with the sha256 of every member, in the order given. Files are read by several threads and
block by block, so that neither many small files nor one large file stands still.
"""

from __future__ import annotations

import hashlib
import itertools
import os
import stat
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from tasks.contracts import Locator, StopSignal
from tasks.errors import Stopped
from tasks.sources.normalise import Listed

CHUNK_RECORDS = 512
BATCH = 16
"""Members that a thread takes at a time: handing over a small file costs as much as reading it."""

BLOCK_BYTES = 1 << 20
MAX_THREADS = 8


@dataclass(frozen=True, slots=True)
class Digested:
    """A member whose bytes were read."""

    locator: Locator
    """With the size and the modification time that were seen while reading; time 0 for media that the source made."""
    sha256: str | None
    """Hex; None = could not be read."""
    num_bytes: int
    why: str = ""
    """Why it could not be read."""


Row = tuple[Listed, dict[str, Digested]]
"""A record and its members."""


def digest_records(records: Iterable[Listed], output_dir: Path, stop: StopSignal) -> Iterator[list[Row]]:
    """Chunks of records with their members' digests. Relative uris are below `output_dir`. Raises Stopped."""
    with ThreadPoolExecutor(min(MAX_THREADS, 2 * (os.cpu_count() or 1)), "digest") as pool:
        stream = iter(records)
        while chunk := list(itertools.islice(stream, CHUNK_RECORDS)):
            locators = [locator for listed in chunk for locator in listed.record.members.values()]
            batches = [locators[start : start + BATCH] for start in range(0, len(locators), BATCH)]
            done = pool.map(lambda batch: [digest(locator, output_dir, stop) for locator in batch], batches)
            digested = itertools.chain.from_iterable(done)
            yield [(listed, {modality: next(digested) for modality in listed.record.members}) for listed in chunk]


def digest(locator: Locator, output_dir: Path, stop: StopSignal) -> Digested:
    """sha256 of a member's bytes. One that cannot be read is an outcome, not an error: sharding counts it."""
    if stop.is_set():
        raise Stopped("ingest was stopped; nothing of it is kept, run again to start it anew")
    if locator.refused:
        return Digested(locator, None, 0, locator.why or locator.refused)
    if locator.inline is not None:
        return Digested(locator, hashlib.sha256(locator.inline).hexdigest(), len(locator.inline))
    try:
        return _digest_file(locator, os.path.join(output_dir, locator.uri), stop)  # noqa: PTH118 (pathlib takes longer than a small file)
    except OSError as error:
        return Digested(locator, None, 0, error.strerror or str(error))
    except ValueError as error:  # a name that no file can have
        return Digested(locator, None, 0, str(error))


def _digest_file(locator: Locator, path: str, stop: StopSignal) -> Digested:
    hasher = hashlib.sha256()
    num_bytes = 0
    with open(path, "rb", buffering=0, opener=_open_now) as file:
        status = os.fstat(file.fileno())
        if not stat.S_ISREG(status.st_mode):
            return Digested(locator, None, 0, "is not a file")
        wanted = status.st_size if locator.length is None else locator.length
        file.seek(locator.offset or 0)
        while num_bytes < wanted and (block := file.read(min(BLOCK_BYTES, wanted - num_bytes))):
            hasher.update(block)
            num_bytes += len(block)
            if stop.is_set():
                raise Stopped("ingest was stopped; nothing of it is kept, run again to start it anew")
    made = not locator.uri.startswith("/")  # by the source, just now: its time says nothing and would make every corpus another one
    seen = Locator(locator.uri, locator.offset, locator.length, None, status.st_size, 0 if made else status.st_mtime_ns)
    if num_bytes < wanted:
        return Digested(seen, None, 0, f"ends after {num_bytes} of {wanted} bytes")
    return Digested(seen, hasher.hexdigest(), num_bytes)


def _open_now(path: str, flags: int) -> int:
    """Opens without waiting: a pipe would keep its reader until somebody writes."""
    return os.open(path, flags | os.O_NONBLOCK | os.O_CLOEXEC)
