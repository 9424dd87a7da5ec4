"""A full disk, wherever the error that says so has been.

In: an error. Out: the OSError below it. An OSError that comes back through a Ray task has lost its number (Ray's stand-in for it is an
OSError that was never given one), Ray Train keeps the errors of its workers in a table, and of what happens in a library of another
language words alone are left. Must not import ray.
"""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator

FULL = (errno.ENOSPC, errno.EDQUOT)
WORDS = (os.strerror(errno.ENOSPC), os.strerror(errno.EDQUOT), "database or disk is full")
"""As safetensors passes them on, and SQLite's own."""


def full_disk(error: BaseException) -> OSError | None:
    """The error of a full disk that this one is, comes from or stands for; None when there is none."""
    chain = list(_below(error, set()))
    numbered = next((one for one in chain if isinstance(one, OSError) and one.errno in FULL), None)
    return numbered or next((OSError(errno.ENOSPC, line) for one in chain for line in str(one).splitlines() if _is_said(line)), None)


def _is_said(line: str) -> bool:
    return any(words in line for words in WORDS)


def _below(error: BaseException, seen: set[int]) -> Iterator[BaseException]:
    if id(error) in seen:
        return
    seen.add(id(error))
    yield error
    found = [error.__cause__, getattr(error, "cause", None), *dict(getattr(error, "worker_failures", None) or {}).values()]
    if isinstance(error, BaseExceptionGroup):
        found += error.exceptions
    for one in found:
        if isinstance(one, BaseException):
            yield from _below(one, seen)
