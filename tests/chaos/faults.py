"""A disk that fails, and a process that dies, at one chosen call.

In: a call's number, or a place in the work. Out: hooks for `watched`. `failing` also asks before Arrow writes a file by its path.
"""

from __future__ import annotations

import contextlib
import errno
import gc
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from tests.chaos.calls import GONE, WRITES, Call, Hook

SHORT = 0
"""Stands among the error numbers for a write that writes only a part."""
FAULTS = {
    "ENOSPC": (errno.ENOSPC, {"create", "write", "sync", "link", "rename", "mkdir", "truncate"}),
    "EDQUOT": (errno.EDQUOT, {"create", "write", "link", "rename", "mkdir"}),
    "EIO": (errno.EIO, WRITES | {"open"}),
    "EACCES": (errno.EACCES, {"create", "open", "link", "rename", "unlink", "mkdir", "rmdir"}),
    "EROFS": (errno.EROFS, WRITES - {"write", "sync"}),
    "short": (SHORT, {"write"}),
}
"""Name → error number, and the calls that can end so."""


class Counting(Hook):
    """Remembers every call, and which of them went well: `mkdir` of a folder that is there does not."""

    def __init__(self) -> None:
        self.calls: list[Call] = []
        self.done: set[int] = set()

    def before(self, call: Call) -> None:
        self.calls.append(call)

    def after(self, call: Call) -> None:
        self.done.add(len(self.calls) - 1)


@dataclass
class Failing(Hook):
    """The call of this number fails; a lasting fault also fails every later call that it can."""

    number: int
    fault: str
    lasting: bool
    root: Path = Path()
    """What calls are below."""
    met: int = 0
    seen: int = -1

    def before(self, call: Call) -> int | None:
        self.seen += 1
        code, kinds = FAULTS[self.fault]
        if call.kind not in kinds or not (self.seen == self.number or (self.lasting and self.seen > self.number)):
            return None
        self.met += 1
        if code == SHORT:
            return max(1, len(call.data) // 2)
        if call.kind in ("write", "sync", "truncate"):  # calls on an open file: their errors name none
            raise OSError(code, os.strerror(code))
        raise OSError(code, os.strerror(code), str(self.root / call.path))


class Killed(BaseException):
    """Nobody catches it, and nothing that runs after it reaches the disk."""


@dataclass
class Dying(Hook):
    """The process is gone at the call of this number: before it, after it, or after so many bytes of what it writes."""

    number: int
    when: str
    """before, after or inside."""
    num_bytes: int = 0
    """Still written when it dies inside."""
    dead: bool = False
    seen: int = -1

    def before(self, call: Call) -> int | None:
        if self.dead and call.kind == "write":
            return GONE
        self.seen += not self.dead
        if self.dead or (self.seen == self.number and self.when == "before"):
            self._die()
        return self.num_bytes if self.seen == self.number and self.when == "inside" else None

    def after(self, call: Call) -> None:
        if self.dead or (self.seen == self.number and self.when != "before"):
            self._die()

    def _die(self) -> None:
        self.dead = True
        raise Killed


@dataclass
class RecordedUntilDeath(Hook):
    """What still reached the disk is recorded."""

    dying: Dying
    recorder: Hook

    def before(self, call: Call) -> int | None:
        few = self.dying.before(call)
        if not self.dying.dead:
            self.recorder.before(call)
        return few

    def after(self, call: Call) -> None:
        self.recorder.after(call)
        self.dying.after(call)


def bury(root: Path) -> None:
    """What the system does for a process that is gone, and nobody else for one that only seems so: its files below `root` close."""
    gc.collect(1)
    for entry in Path("/proc/self/fd").iterdir():
        with contextlib.suppress(OSError):
            if os.readlink(entry).startswith(f"{root}{os.sep}"):
                os.close(int(entry.name))


@contextlib.contextmanager
def arrow_asks(hook: Hook, root: Path) -> Iterator[None]:
    """What Arrow writes to a path below `root` by itself also goes through the hook."""
    real = pq.write_table

    def write_table(table: Any, where: Any, **options: Any) -> None:
        below = isinstance(where, str | os.PathLike) and Path(where).is_relative_to(root)
        if below:
            try:
                hook.before(Call("create", str(Path(where).relative_to(root))))
            except OSError as error:  # as Arrow says it
                what = (
                    f"Failed to open local file '{where}'" if error.errno in (errno.EACCES, errno.EROFS) else "Error writing bytes to file"
                )
                raise OSError(error.errno, f"{what}. Detail: [errno {error.errno}] {error.strerror}") from None
        real(table, where, **options)
        if below:
            hook.after(Call("create", str(Path(where).relative_to(root))))

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(pq, "write_table", write_table)
        yield
