"""Is a folder one and the same on every node: what one writes, the others read, link and lock.

In: a folder. Out: a mark that the driver leaves there, what a node finds of it, and sentences about nodes that see something else. The
node's side needs nothing but the standard library.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import shutil
import tempfile
import uuid
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

MIN_FREE_BYTES = 256 << 20
"""Below this a node's disk is called full: Ray's own files and one shard would not fit any more."""


@dataclass(frozen=True)
class Mark:
    """A locked file in the folder, with a content that nobody can guess."""

    folder: Path
    token: str

    @property
    def path(self) -> Path:
        return self.folder / f"mark-{self.token}"

    def answer(self, node: str) -> Path:
        return self.folder / f"mark-{self.token}-{node}"


@dataclass(frozen=True)
class Seen:
    """What a node finds."""

    read: str = ""
    """Why the mark could not be read there; empty when it was."""
    written: str = ""
    """Why the node could not answer; empty when it did."""
    locked: bool = True
    """The driver's lock holds there too."""
    temporary: str = ""
    """The folder for temporary files."""
    temporary_bytes: int = 0
    """What is free in it."""


@contextlib.contextmanager
def marked(folder: Path) -> Iterator[Mark]:
    """Leave a mark for the length of a block."""
    mark = Mark(folder, uuid.uuid4().hex)
    with mark.path.open("w") as file:
        try:
            file.write(mark.token)
            file.flush()
            os.fsync(file.fileno())
            fcntl.flock(file, fcntl.LOCK_EX)
            yield mark
        finally:
            for path in folder.glob(f"{mark.path.name}*"):
                path.unlink(missing_ok=True)


def look(mark: Mark, node: str) -> Seen:
    """On a node: read the mark, try its lock, leave an answer by the way that everything in a store is written: write, sync, link."""
    temporary = tempfile.gettempdir()
    seen = Seen(temporary=temporary, temporary_bytes=shutil.disk_usage(temporary).free)
    try:
        with mark.path.open("r+") as file:
            if file.read() != mark.token:
                return replace(seen, read="it has another content")
            locked = not _lockable(file.fileno())
    except OSError as error:
        return replace(seen, read=error.strerror or str(error))
    return replace(seen, written=_answer(mark.answer(node), mark.token), locked=locked)


def _lockable(descriptor: int) -> bool:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return False
    return True


def _answer(path: Path, token: str) -> str:
    scratch = path.with_suffix(".new")
    try:
        with scratch.open("w") as file:
            file.write(token)
            file.flush()
            os.fsync(file.fileno())
        os.link(scratch, path)
        scratch.unlink()
    except OSError as error:
        return error.strerror or str(error)
    return ""


def problems(mark: Mark, node_id: str, seen: Seen, what: str) -> Iterator[str]:
    """On the driver: what is wrong with this folder on a node. `what` names the folder for a person."""
    if seen.read:
        yield f"does not see {what} as it is here ({seen.read}); mount the same folder there at the same path"
    elif seen.written:
        yield f"sees {what}, but cannot write to it ({seen.written}); make it writable there, or free some space"
    elif not mark.answer(node_id).exists():
        yield f"wrote to {what}, but it did not arrive here; mount the same folder there, not a copy of it"
    elif not seen.locked:
        yield f"does not keep locks in {what} that are held here; mount it with locks that reach all machines (NFS: without `nolock`)"
    if seen.temporary_bytes < MIN_FREE_BYTES:
        yield (
            f"has {seen.temporary_bytes >> 20} MB left in {seen.temporary}, which Ray needs; free at least {MIN_FREE_BYTES >> 20} MB there"
        )
