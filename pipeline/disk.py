"""The disk below a store: each change in one function, in the order that a crash cannot turn round.

In: paths. Out: files and folders that are durable under their name when a function returns, and never under it before their content is.
Knows nothing of names, keys and manifests, and explains no error: `store` does. Must not import anything of ours. Where these functions
stop half-way, what they leave is at worst a file in `tmp/`; `docs/decisions/008-crash-states.md` says how that is tested.
"""

from __future__ import annotations

import contextlib
import errno
import os
import shutil
from pathlib import Path

_OCCUPIED = (errno.ENOTEMPTY, errno.EEXIST)


def sync(path: Path) -> None:
    """Make the bytes of a file, or the names in a folder, durable."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def append(path: Path, data: bytes) -> None:
    """Add to the end of a file, made when missing, and sync it. When not all of it fits the file is cut back to what it was."""
    descriptor = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o644)
    try:
        before = os.fstat(descriptor).st_size
        try:
            left = memoryview(data)
            while left:
                left = left[os.write(descriptor, left) :]
            os.fsync(descriptor)
        except OSError:
            with contextlib.suppress(OSError):  # what went wrong first is what is told
                os.ftruncate(descriptor, before)
            raise
    finally:
        os.close(descriptor)


def make_folders(folder: Path, root: Path) -> None:
    """Make a folder inside `root` with all that leads to it, each durable."""
    missing = []
    while not folder.exists() and folder != root:
        missing.append(folder)
        folder = folder.parent
    for made in reversed(missing):
        made.mkdir(exist_ok=True)
        sync(made.parent)


def publish_file(path: Path, target: Path) -> bool:
    """Give a finished file its name, unless there is one already. Its first name is gone in either case."""
    sync(path)
    try:
        os.link(path, target)
    except FileExistsError:
        return False
    finally:
        path.unlink()
    sync(target.parent)
    return True


def publish_folder(path: Path, target: Path) -> bool:
    """Give a finished folder its name, unless there is one already; it is then removed."""
    for entry in sorted(path.rglob("*"), reverse=True):
        if entry.is_dir() or entry.stat().st_nlink == 1:  # a hard link to the pool was synced before it got its name there
            sync(entry)
    sync(path)
    try:
        path.rename(target)
    except OSError as error:
        if error.errno not in _OCCUPIED:
            raise
        shutil.rmtree(path)
        return False
    sync(target.parent)
    return True


def remove_file(path: Path) -> None:
    """Take a file away, durably, so that what is removed after it can't be gone before. Nothing happens when it is not there."""
    try:
        path.unlink()
    except FileNotFoundError:
        return
    sync(path.parent)


def remove_folder(path: Path, trash: Path) -> None:
    """Take a folder out of sight in one durable move to `trash`, then away."""
    path.rename(trash)
    sync(path.parent)
    shutil.rmtree(trash)
