"""Pins: what running work stands on, so that `gc` leaves it alone.

In: the keys of a run's plan. Out: `pins/<run>.json`, whose time of change is the run's heartbeat; gone when the run ends. Must not import
ray, torch or mlflow.

The run and `gc` never talk to each other. A run writes its pin while it shares the store's lock, and **then** looks again which outputs are
there, for what it found when it planned may be gone. `gc` has the lock to itself while it reads the pins and moves aside what nobody needs.
So either `gc` sees the pin, or the run looks after `gc` has moved: nothing is taken from under a run.

A pin counts for as long as its process is there or its heartbeat is young. On this machine a missing process is believed after a minute
and a half without a heartbeat (two containers may share a host name, not their processes); of another machine only the heartbeat is known,
so its pin counts for the whole grace period.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import socket
import threading
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pipeline.errors import StoreError
from pipeline.journal import boot
from pipeline.store import LocalStore, explained

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
    path: Path

    def is_live(self, grace_s: float) -> bool:
        return self.running is True or self.age_s < (SILENCE_S if self.running is False else grace_s)


@contextlib.contextmanager
def pinned(store: LocalStore, run: str, keys: Iterable[str]) -> Iterator[None]:
    """Keep these keys, and all that leads to them, from `gc` while the block runs."""
    content = json.dumps({"format": 1, "run": run, "keys": sorted(set(keys)), **_process()}).encode()
    with locked(store, alone=False):
        store.create(f"pins/{run}.json", content)
    over = threading.Event()
    thread = threading.Thread(target=_beat, args=(store, run, content, over), name="pin-heartbeat", daemon=True)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()
        store.delete(f"pins/{run}.json")


def _beat(store: LocalStore, run: str, content: bytes, over: threading.Event) -> None:
    while not over.wait(HEARTBEAT_S):
        with contextlib.suppress(OSError, StoreError):  # a store that is away for a moment is the steps' matter
            try:
                os.utime(store.local_path(f"pins/{run}.json"))
            except FileNotFoundError:  # this machine slept for longer than the grace period
                store.create(f"pins/{run}.json", content)


@contextlib.contextmanager
def locked(store: LocalStore, *, alone: bool) -> Iterator[None]:
    """Hold the store's lock, shared or alone; waits for it. It goes with the process, however that ends. Raises StoreError."""
    with explained(store.root):
        file = store.local_path("gc.lock").open("a")
    with file:
        fcntl.flock(file, fcntl.LOCK_EX if alone else fcntl.LOCK_SH)
        yield


def read(store: LocalStore) -> list[Pin]:
    """Every pin there is, live or not. A pin that can't be read is one being written, or torn by a crash: it holds no keys."""
    folder = store.local_path("pins")
    now = clock(store)
    found = []
    for path in sorted(folder.glob("*.json")):
        try:
            age_s, content = now - path.stat().st_mtime, json.loads(path.read_bytes())
        except FileNotFoundError:
            continue
        except ValueError:
            content = {}
        found.append(Pin(path.stem, tuple(content.get("keys", ())), age_s, _running(content), path))
    return found


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
