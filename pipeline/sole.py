"""One process at a time works on a key.

In: a store and a key. Out: a block that no other process is in for the same key. In a folder it is a file lock, which goes with the process
however it ends; in a bucket a lease, which a process that was killed keeps until its silence has lasted long enough.
"""

from __future__ import annotations

import contextlib
import fcntl
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from pipeline import leases
from pipeline.object_store import ObjectStore
from pipeline.store import LocalStore
from tasks.contracts import Sink, StopSignal
from tasks.errors import Stopped

LOOK_S = 0.5
"""How often one that waits looks again."""


@contextlib.contextmanager
def sole(store: LocalStore, key: str, stop: StopSignal, sink: Sink) -> Iterator[None]:
    """Wait until no other works on the key. Raises Stopped when the run is asked to stop meanwhile."""
    told: list[str] = []

    def waiting() -> None:
        if not told:
            told.append(f"another run is making {key[:12]}; waiting for it")
            sink.note(told[0])
        if stop.is_set():
            raise Stopped("stopped while another run makes the same output")

    with _locked(store.work_dir(key).with_suffix(".lock"), waiting):
        if not isinstance(store, ObjectStore):
            yield
            return
        with leases.held(store, key, leases.Pace(look_s=LOOK_S), waiting):
            yield


@contextlib.contextmanager
def _locked(path: Path, waiting: Callable[[], None]) -> Iterator[None]:
    with path.open("w") as file:
        while True:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                waiting()
                time.sleep(LOOK_S)
        yield
