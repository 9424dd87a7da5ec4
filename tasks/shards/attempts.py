"""Decoders that take the whole process with them: how that is noticed, remembered and undone.

A worker writes into a mapped page of a small file of its unit, without syncing, which member it is about to decode. When the process
dies, the page stays (what a killed process wrote is not lost), and whoever takes the unit up again counts one death at that member. The
third one is a verdict, stored by record digest; a verdict is part of the unit's key, so that the next run makes the same bytes. A decode
that takes too long is ended together with its process by a watchdog thread, verdict first. Must not import ray or torch.
"""

from __future__ import annotations

import contextlib
import errno
import faulthandler
import fcntl
import json
import mmap
import os
import signal
import sys
import threading
import time
from collections.abc import Callable, Collection, Iterable
from pathlib import Path
from types import TracebackType

from tasks.contracts import Store
from tasks.errors import TaskError
from tasks.shards.identity import Verdict

MAX_DEATHS = 3
"""Deaths at one member that make a verdict."""
MAX_OTHER_DEATHS = 10
"""Deaths of a unit outside of any decoder, after which the step stops."""

_HEAD_BYTES = 64
_NOWHERE = "-"
_KILLS, _MEMORY = "kills", "memory"
"""Beside the marks: how often the system had ended a process for want of memory when the last try began; deaths at which it had done so
since.
"""
_IDLE = _NOWHERE.encode().ljust(_HEAD_BYTES)


def verdict_name(record: str) -> str:
    return f"verdicts/{record}.json"


def store_verdict(store: Store, record: str, key: str, verdict: Verdict) -> None:
    """Remember a verdict by record digest; the first one stands."""
    content = {"format": 1, "key": key, "modality": verdict.modality, "reason": verdict.reason, "detail": verdict.detail}
    store.create(verdict_name(record), f"{json.dumps(content, sort_keys=True)}\n".encode())


def read_verdicts(store: Store, records: Iterable[str] | None = None) -> dict[str, Verdict]:
    """Record digest → verdict; of all records that have one, or of those given."""
    wanted = None if records is None else {verdict_name(record) for record in records}
    named = [name for name in store.list("verdicts") if wanted is None or name in wanted]
    found = {}
    for name in named:
        with contextlib.suppress(FileNotFoundError):
            content = json.loads(store.read(name))
            found[Path(name).stem] = Verdict(content["modality"], content["reason"], content["detail"])
    return found


def retry(store: Store, keys: Collection[str] | None = None) -> list[str]:
    """Forget verdicts, so that the next build tries those records again: all of them, or those of the given record keys.

    Returns the keys of the records, sorted. What was cleared is kept as `retries/<n>.json`: their number enters the key of shard steps,
    so that the next run plans them anew (and takes every other unit from the pool).
    """
    forgotten = set()
    for name in store.list("verdicts"):
        key = json.loads(store.read(name))["key"]
        if keys is None or key in keys:
            store.delete(name)
            forgotten.add(key)
    for name in store.list("pool/attempts"):
        store.delete(name)
    if forgotten:
        content = json.dumps({"format": 1, "keys": sorted(forgotten)}).encode()
        number = len(store.list("retries")) + 1
        while not store.create(f"retries/{number}.json", content):
            number += 1
    return sorted(forgotten)


class Attempt:
    """One try to build a unit. A context manager; `begin` and `end` stand around each decode and cost microseconds.

    `dead` maps a member's mark to the deaths so far. A second process at the same unit finds the file locked and keeps no marks.
    """

    def __init__(self, store: Store, unit: str) -> None:
        self._path = store.local_path(f"pool/attempts/{unit}")
        self._unit = unit
        self._file: int | None = None
        self._page: mmap.mmap | None = None
        self.dead: dict[str, int] = {}
        self.current: tuple[str, float] | None = None
        """Mark of the member under decode and the monotonic time it began at."""

    def __enter__(self) -> Attempt:
        self._path.parent.mkdir(parents=True, exist_ok=True)
        descriptor = os.open(self._path, os.O_RDWR | os.O_CREAT, 0o644)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            if error.errno in (errno.EWOULDBLOCK, errno.EACCES):
                os.close(descriptor)
                return self
        try:
            self._count_death(descriptor)
            self._page = mmap.mmap(descriptor, _HEAD_BYTES)
        except BaseException:
            os.close(descriptor)
            raise
        self._file = descriptor
        if self.dead.get(_NOWHERE, 0) >= MAX_OTHER_DEATHS:
            killed = self.dead.get(_MEMORY, 0)
            self.__exit__(None, None, None)
            raise TaskError(_died(self._unit, killed))
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.current = None
        if self._page is not None:
            self._page.close()
            self._page = None
        if self._file is not None:
            if error is not None and self.dead:
                os.pwrite(self._file, bytes(_HEAD_BYTES), 0)
            else:
                self._path.unlink(missing_ok=True)
            os.close(self._file)
            self._file = None

    def begin(self, mark: str) -> None:
        """About to decode. A mark is `<row> <modality>`, at most 60 bytes."""
        if self._page is not None:
            self._page[:] = mark.encode().ljust(_HEAD_BYTES)
        self.current = (mark, time.monotonic())

    def end(self) -> None:
        """Decoded, or refused."""
        self.current = None
        if self._page is not None:
            self._page[:] = _IDLE

    def _count_death(self, descriptor: int) -> None:
        content = os.pread(descriptor, 1 << 20, 0)
        with contextlib.suppress(ValueError, TypeError):
            self.dead = dict(json.loads(content[_HEAD_BYTES:] or b"{}"))
        mark = content[:_HEAD_BYTES].decode("ascii", "replace").strip("\0 ")
        kills = _memory_kills()
        if mark:
            self.dead[mark] = self.dead.get(mark, 0) + 1
            if mark == _NOWHERE and kills > self.dead.get(_KILLS, kills):
                self.dead[_MEMORY] = self.dead.get(_MEMORY, 0) + 1
        left, end = memoryview(_IDLE + json.dumps(self.dead | {_KILLS: kills}).encode()), 0
        while left:
            written = os.pwrite(descriptor, left, end)
            left, end = left[written:], end + written
        os.ftruncate(descriptor, end)


def _memory_kills() -> int:
    """Processes that this machine has ended for want of memory since it started, in any container; 0 where the system does not say."""
    with contextlib.suppress(OSError, ValueError):
        for line in Path("/proc/vmstat").read_text().splitlines():
            if line.startswith("oom_kill "):
                return int(line.split()[1])
    return 0


def _died(unit: str, for_memory: int) -> str:
    """What is known of a worker that died again and again: how often, where, and whether memory was short meanwhile."""
    if for_memory:
        why = (
            f"at {for_memory} of them this machine had ended a process for want of memory meanwhile; "
            "lower sizes.max_bytes or --workers, or give it more memory"
        )
    else:
        why = (
            "this machine ended no process for want of memory meanwhile, so somebody or something killed it: look for a stop of the job, "
            "a time limit, or a machine that was taken away, and into the worker's log"
        )
    return (
        f"the worker of unit {unit[:16]} ended {MAX_OTHER_DEATHS} times before the unit was done, and not while decoding a record; {why}. "
        "Then run the same command again: it counts anew, and finished units are kept"
    )


class Watchdog:
    """Ends this process when one decode takes longer than `timeout_s`, after telling `condemn` its mark.

    A thread; where a decoder never lets other threads run, the interpreter's own timer ends the process somewhat later, which then
    counts as a death.
    """

    def __init__(self, attempt: Attempt, timeout_s: float, condemn: Callable[[str], None]) -> None:
        self._attempt, self._timeout_s, self._condemn = attempt, timeout_s, condemn
        self._done = threading.Event()
        self._thread = threading.Thread(target=self._watch, name="decode-watchdog", daemon=True)

    def __enter__(self) -> Watchdog:
        self._thread.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._done.set()
        self._thread.join()
        faulthandler.cancel_dump_traceback_later()

    def _watch(self) -> None:
        tick = min(1.0, self._timeout_s / 10)
        while not self._done.is_set():
            faulthandler.dump_traceback_later(2 * self._timeout_s + 10, exit=True, file=sys.__stderr__ or 2)
            self._done.wait(tick)
            current = self._attempt.current
            if current and time.monotonic() - current[1] > self._timeout_s:
                self._condemn(current[0])
                os.kill(os.getpid(), signal.SIGKILL)
