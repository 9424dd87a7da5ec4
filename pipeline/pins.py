"""Pins: what running work stands on, so that `gc` leaves it alone.

In: the keys of a run's plan. Out: `pins/<run>.json`, whose time of change is the run's heartbeat; gone when the run ends. Must not import
ray, torch or mlflow.

The run and `gc` never talk to each other. In a folder, a run writes its pin while it shares the store's lock, and **then** looks again
which outputs are there, for what it found when it planned may be gone. `gc` has the lock to itself while it reads the pins and moves aside
what nobody needs. So either `gc` sees the pin, or the run looks after `gc` has moved: nothing is taken from under a run.

**In a bucket** pins are objects there, overwritten at each heartbeat, and the lock is a lease. A run writes its pin, and if somebody has
the lease **then**, waits until it is free. `gc` takes the lease and **then** reads the pins, and deletes only as long as it has it. So one
of the two sees the other again, whichever machines they are on.

A pin counts for as long as its process is there or its heartbeat is young. On this machine a missing process is believed after a minute
and a half without a heartbeat (two containers may share a host name, not their processes); of another machine only the heartbeat is known,
so its pin counts for the whole grace period.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import logging
import os
import socket
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pipeline import leases
from pipeline.errors import StoreError
from pipeline.journal import boot
from pipeline.object_store import ObjectStore
from pipeline.store import LocalStore, explained

log = logging.getLogger("medley")

HEARTBEAT_S = 30.0
"""How often a run gives a sign of life."""
SILENCE_S = 90.0
"""Without a heartbeat for so long, a process that is not there is believed to be gone."""


@dataclass(frozen=True)
class Pin:
    """One run at work, or one that was."""

    run: str
    keys: tuple[str, ...]
    age_s: float
    """Since its last heartbeat, by the clock of the store's file system."""
    running: bool | None
    """Its process is there; None when it is on another machine."""
    name: str
    """In the store."""

    def is_live(self, grace_s: float) -> bool:
        return self.running is True or self.age_s < (SILENCE_S if self.running is False else grace_s)


Guard = Callable[[], None]
"""Raises StoreError once the lock may be lost."""

ASK_S = 3.0
"""How often the holder of that lease asks whether it is still its own."""
GC = "gc"
"""Name of the lease that stands for the lock of a store in a bucket."""


@contextlib.contextmanager
def pinned(store: LocalStore, run: str, keys: Iterable[str]) -> Iterator[None]:
    """Keep these keys, and all that leads to them, from `gc` while the block runs."""
    content = json.dumps({"format": 1, "run": run, "keys": sorted(set(keys)), **_process()}).encode()
    over = threading.Event()
    thread = threading.Thread(target=_beat, args=(store, run, content, over), name="pin-heartbeat", daemon=True)
    if isinstance(store, ObjectStore):
        store.bucket.replace(_name(run), content)
    else:
        with locked(store, alone=False):
            store.create(_name(run), content)
    thread.start()
    try:
        if isinstance(store, ObjectStore):
            _let_gc_end(store)
        yield
    finally:
        over.set()
        thread.join()
        if isinstance(store, ObjectStore):
            with contextlib.suppress(StoreError):  # then silence says it, later
                store.bucket.delete(_name(run))
        else:
            store.delete(_name(run))


def _beat(store: LocalStore, run: str, content: bytes, over: threading.Event) -> None:
    while not over.wait(HEARTBEAT_S):
        with contextlib.suppress(OSError, StoreError):  # a store that is away for a moment is the steps' matter
            if isinstance(store, ObjectStore):
                store.bucket.replace(_name(run), content)
                continue
            try:
                os.utime(store.local_path(_name(run)))
            except FileNotFoundError:  # this machine slept for longer than the grace period
                store.create(_name(run), content)


def _let_gc_end(store: ObjectStore) -> None:
    """Wait for whoever has the lock. One that was killed is waited for until its silence has lasted."""
    if leases.is_taken(store, GC):
        log.info("`medley gc` or `medley shards forget` is at work on %s; waiting for it", store.where)
        with leases.held(store, GC):
            log.info("%s is free again", store.where)


@contextlib.contextmanager
def locked(store: LocalStore, *, alone: bool) -> Iterator[Guard]:
    """Hold the store's lock, shared or alone; waits for it. It goes with the process, however that ends. Raises StoreError.

    In a bucket it can be lost: whoever changes something asks the guard before each change.
    """
    with explained(store.root):
        file = store.local_path("gc.lock").open("a")
    with file:
        fcntl.flock(file, fcntl.LOCK_EX if alone else fcntl.LOCK_SH)
        if not isinstance(store, ObjectStore):
            yield lambda: None
            return
        with leases.held(store, GC) as lease:
            yield _Guard(store, lease)


@dataclass
class _Guard:
    """Knows whether a lease is still ours: by its signs of life, and after every pause by asking."""

    store: ObjectStore
    lease: leases.Lease
    asked_at: float = 0.0
    """By the wall clock: `time.monotonic` stands still while a machine sleeps."""

    def __call__(self) -> None:
        held = self.lease.is_held
        if held and abs(time.time() - self.asked_at) > ASK_S:
            held = leases.is_newest(self.store, self.lease)
            self.asked_at = time.time()
        if not held:
            raise StoreError(
                f"the lock of {self.store.where} is lost: for too long nothing reached the store, or this machine slept; nothing more was "
                "deleted. Run the same command again: it goes on"
            )


def read(store: LocalStore) -> list[Pin]:
    """Every pin there is, live or not. A pin that can't be read is one being written, or torn by a crash: it holds no keys."""
    found = []
    for name, age_s in sorted(_ages(store).items()):
        try:
            content = json.loads(store.bucket.read(name) if isinstance(store, ObjectStore) else store.read(name))
        except FileNotFoundError:
            continue
        except ValueError:
            content = {}
        found.append(Pin(Path(name).stem, tuple(content.get("keys", ())), age_s, _running(content), name))
    return found


def _ages(store: LocalStore) -> dict[str, float]:
    """Name → seconds since the last heartbeat."""
    if isinstance(store, ObjectStore):
        now = store.bucket.now()
        return {name: now - pin.changed_s for name, pin in store.bucket.stored("pins").items()}
    now, ages = clock(store), {}
    for path in store.local_path("pins").glob("*.json"):
        with contextlib.suppress(FileNotFoundError):
            ages[_name(path.stem)] = now - path.stat().st_mtime
    return ages


def _name(run: str) -> str:
    return f"pins/{run}.json"


def clock(store: LocalStore) -> float:
    """What time it is for the store's file system; another machine's clock may differ. Raises StoreError."""
    probe = store.scratch()
    with explained(store.root):
        probe.touch()
        now = probe.stat().st_mtime
        probe.unlink()
    return now


def _process() -> dict[str, Any]:
    return {"pid": os.getpid(), "host": socket.gethostname(), "boot": boot(), "born": _born(os.getpid())}


def _running(content: dict[str, Any]) -> bool | None:
    if content.get("host") != socket.gethostname() or content.get("boot") != boot():
        return None
    born = _born(content.get("pid", 0))
    return bool(born) and born == content.get("born")


def _born(pid: int) -> str:
    """When a process of this machine began, in ticks since the machine's start; empty when there is none."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[19]
    except (OSError, IndexError):
        return ""
