"""Leases: one holder at a time for a name, in a store that knows nothing but create-if-absent.

In: a store and a name. Out: a Lease while the block runs. Must not import ray, torch or mlflow. Under `leases/<name>/`:

    <n>.json        whoever made the highest n has the lease; n grows by one with each holder and is never deleted
    <n>.over        it was given back
    <n>.beat-<m>    a sign of life, the newest alone

**No clocks are compared.** Whoever waits looks at the names again and again. When nothing has changed there for `silence_s` by its own
clock, the holder is believed to be gone and n+1 is made; of several who try, create-if-absent lets one through.

A holder that is held up (a machine that slept, a network that was cut) may live on after another took over. It knows: once a sign of life
is older than two thirds of the silence, `is_held` is false. So what is done under a lease must end well when it is done twice; what must
not, such as the promotion log, decides by create-if-absent itself.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import socket
import threading
import time
import uuid
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

from pipeline.errors import StoreError
from tasks.contracts import Store

_NAME = re.compile(r"(\d+)\.(json|over)")


@dataclass(frozen=True)
class Pace:
    """How a lease is kept. All who use a name must use the same."""

    beat_s: float = 5.0
    """Between two signs of life."""
    silence_s: float = 30.0
    """Without one for so long, a holder is believed to be gone. Several beats long."""
    look_s: float = 1.0
    """Between two looks of one that waits."""


@dataclass
class Lease:
    """The right to be the only one, until it is given back or lost."""

    name: str
    n: int
    pace: Pace
    _alive_at: float = field(default_factory=time.monotonic)

    @property
    def is_held(self) -> bool:
        """No other can have taken over yet, as far as this process can know."""
        return time.monotonic() < self.held_until

    @property
    def held_until(self) -> float:
        """When that ends without another sign of life, by `time.monotonic()`."""
        return self._alive_at + self.pace.silence_s * 2 / 3


@contextlib.contextmanager
def held(store: Store, name: str, pace: Pace | None = None, waiting: Callable[[], None] = lambda: None) -> Iterator[Lease]:
    """Wait for the lease and keep it while the block runs. `waiting` is called at each look in vain; it may raise to give up."""
    lease = _taken(store, name, pace or Pace(), waiting)
    over = threading.Event()
    thread = threading.Thread(target=_beat, args=(store, lease, over), name=f"lease-{name[:12]}", daemon=True)
    thread.start()
    try:
        yield lease
    finally:
        over.set()
        thread.join()
        with contextlib.suppress(StoreError):  # then silence says it, later
            store.create(f"leases/{name}/{lease.n}.over", b"{}\n")


def is_taken(store: Store, name: str) -> bool:
    """Whether somebody has the lease, or had it and was killed."""
    n, is_over = _newest(store.list(f"leases/{name}"))
    return n > 0 and not is_over


def is_newest(store: Store, lease: Lease) -> bool:
    """Whether nobody took over. Asks the store: a process that was asleep can't tell from its own clock."""
    return _newest(store.list(f"leases/{lease.name}"))[0] == lease.n


def _taken(store: Store, name: str, pace: Pace, waiting: Callable[[], None]) -> Lease:
    seen: list[str] = []
    since = time.monotonic()
    while True:
        names = store.list(f"leases/{name}")
        if names != seen:
            seen, since = names, time.monotonic()
        n, is_over = _newest(names)
        if n == 0 or is_over or time.monotonic() - since >= pace.silence_s:
            lease = Lease(name, n + 1, pace)  # alive from before the entry is there: others can count silence only from later on
            if store.create(f"leases/{name}/{n + 1}.json", _entry()):
                for beat in names:
                    if ".beat-" in beat:  # of one that was killed
                        store.delete(beat)
                return lease
            continue
        waiting()
        time.sleep(pace.look_s)


def _newest(names: list[str]) -> tuple[int, bool]:
    """The highest n, 0 when there is none, and whether it was given back."""
    found = [match.groups() for name in names if (match := _NAME.fullmatch(name.rpartition("/")[2]))]
    n = max((int(number) for number, kind in found if kind == "json"), default=0)
    return n, (str(n), "over") in found


def _entry() -> bytes:
    holder = {"format": 1, "holder": uuid.uuid4().hex, "host": socket.gethostname(), "pid": os.getpid(), "time": time.time()}
    return f"{json.dumps(holder)}\n".encode()


def _beat(store: Store, lease: Lease, over: threading.Event) -> None:
    number = 0
    while not over.wait(lease.pace.beat_s) and lease.is_held:  # a lost one gives no sign that could be taken for its successor's
        begun = time.monotonic()
        with contextlib.suppress(OSError, StoreError):  # a store that is away for a moment: the next beat may reach it
            number += 1
            store.create(f"leases/{lease.name}/{lease.n}.beat-{number}", b"")
            lease._alive_at = begun
            store.delete(f"leases/{lease.name}/{lease.n}.beat-{number - 1}")
    with contextlib.suppress(OSError, StoreError):
        store.delete(f"leases/{lease.name}/{lease.n}.beat-{number}")
