"""A disk that fails, and a process that dies, at one chosen call.

In: a call's number, or a place in the work. Out: hooks for `watched`. `failing` also asks before Arrow writes a file by its path.
"""

from __future__ import annotations

import contextlib
import errno
import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from tests.chaos.calls import WRITES, Call, Hook

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
    """Remembers every call."""

    def __init__(self) -> None:
        self.calls: list[Call] = []

    def before(self, call: Call) -> None:
        self.calls.append(call)


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
    """The process is gone at a call: before it, after it, or after so many bytes of what it writes."""

    number: int
    when: str
    """before, after or inside."""
    share: float = 0.5
    """Of the bytes that are still written when it dies inside."""
    dead: bool = False
    seen: int = -1
    on_death: Callable[[], None] = field(default=lambda: None)

    def before(self, call: Call) -> int | None:
        if self.dead:
            raise Killed
        self.seen += 1
        if self.seen == self.number and self.when == "before":
            self._die()
        return int(len(call.data) * self.share) if self.seen == self.number and self.when == "inside" else None

    def after(self, call: Call) -> None:
        if self.dead or (self.seen == self.number and self.when != "before"):
            self._die()

    def _die(self) -> None:
        self.dead = True
        raise Killed


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
