"""Journals and logs of runs over a bucket: written on the machine that runs, copied while they grow, read anywhere.

In: a run's folder. Out: its files under `runs/<run>/` in the bucket; the other way, the runs of other machines in the folder for copies.
What `medley status` and `medley logs` say elsewhere is at most `COPY_S` seconds and one upload old while a run goes on, and whole once it
has ended. Of a run whose machine is gone it is what was copied last. A store in a folder needs none of this.
"""

from __future__ import annotations

import contextlib
import json
import logging
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from pipeline.errors import StoreError
from pipeline.journal import RunDir
from pipeline.object_store import ObjectStore
from pipeline.store import LocalStore

log = logging.getLogger("medley")

COPY_S = 5.0
"""How often what changed is copied."""
_MARK = "copied.json"
"""In the folder of another machine's run: which version of each file is here."""


@contextlib.contextmanager
def shared(store: LocalStore, run_dir: RunDir) -> Iterator[None]:
    """Copy what a run writes to the bucket while the block runs, and once more at its end."""
    if not isinstance(store, ObjectStore):
        yield
        return
    copier = _Copier(store, run_dir)
    thread = threading.Thread(target=copier.go_on, name="run-copier", daemon=True)
    thread.start()
    try:
        yield
    finally:
        copier.over.set()
        thread.join()
        copier.copy()


class _Copier:
    def __init__(self, store: ObjectStore, run_dir: RunDir) -> None:
        self._store, self._run_dir = store, run_dir
        self._done: dict[Path, tuple[int, int]] = {}
        self.over = threading.Event()

    def go_on(self) -> None:
        while not self.over.wait(COPY_S):
            self.copy()

    def copy(self) -> None:
        """Put every file that changed since the last time. A bucket that is away is no reason to stop a run: the steps say it."""
        for path in sorted(self._run_dir.path.rglob("*")):
            if not path.is_file() or path.suffix == ".tmp" or path == self._run_dir.stop_file:
                continue
            status = path.stat()
            version = (status.st_size, status.st_mtime_ns)
            if self._done.get(path) != version:
                try:
                    self._store.bucket.replace(
                        f"runs/{self._run_dir.run}/{path.relative_to(self._run_dir.path).as_posix()}", path.read_bytes()
                    )
                except StoreError as error:
                    log.warning("the journal of run %s was not copied: %s", self._run_dir.run, error)
                    return
                self._done[path] = version


def pull(store: LocalStore, wanted: str | None = None, *, plans: bool = False, whole: bool = False) -> None:
    """Bring up to date the journals of other machines' runs, and all files of one run: by the beginning of its id, or the newest.

    `plans`: also the plans of all runs. `whole`: all files of all runs.

    What this machine runs, or ran, is never written over.
    """
    if not isinstance(store, ObjectStore):
        return
    entries = store.bucket.entries("runs")
    wanted = "" if whole else wanted or max((name.split("/")[1] for name in entries), default="")
    always = ("journal.jsonl", "plan.json") if plans else ("journal.jsonl",)
    for name, (size, tag) in entries.items():
        run, _, relative = name.removeprefix("runs/").partition("/")
        folder = store.root / "runs" / run
        if folder.exists() and not (folder / _MARK).exists():
            continue
        if relative not in always and not run.startswith(wanted):
            continue
        _take(store, name, folder, relative, [size, tag])


def _take(store: ObjectStore, name: str, folder: Path, relative: str, version: list[Any]) -> None:
    mark = folder / _MARK
    if not folder.exists():
        folder.mkdir(parents=True)
        mark.write_text("{}")
    known = json.loads(mark.read_bytes())
    if known.get(relative) == version:
        return
    path = folder / relative
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(store.bucket.read(name))
    mark.write_text(json.dumps({**known, relative: version}))
