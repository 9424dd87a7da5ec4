"""Garbage collection: what of a store nothing reaches any more, and taking it away.

In: a store. Out: a Survey of what would go and what stays, and why; then, when asked, the same things gone. Must not import ray or torch.

**What is reached:** what the promotion log has in force for each alias, what a rollback would return to and what both were compared
with; the last N runs of each recipe; running work, by its pins; and everything those were made from. Nothing younger than the grace
period goes.

**What can't be made again is never garbage:** the promotion log, versions, verdicts (they decide bytes), journals and logs. MLflow, its
database and its own copies of models are not touched.

**Beside a run** (see `pipeline/pins.py`): the survey and the moving aside happen under the store's lock, alone; deleting what was moved
aside needs no lock. As long as a run is at work the pool, `tmp/` and the locks of steps stay as they are.

**Killed in between:** each thing leaves its place in one rename, to `trash/`, so an artifact is there whole or not at all; of a unit of the
pool the rows go before the tar, and without rows it is not finished; a power cut keeps to that order too. The next `gc` empties `trash/`.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import shutil
import uuid
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from pipeline import disk, journal, pins, reach
from pipeline.store import LocalStore, explained
from tasks.shards import sweep

GRACE_S = 3600.0
"""What changed within so many seconds stays."""
KEEP_RUNS = 5
"""Runs of each recipe whose outputs stay."""


@dataclass(frozen=True)
class Garbage:
    """One thing that nothing reaches."""

    name: str
    """Path inside the store."""
    what: str
    """artifact, pool, work, tmp, pin, sketch or trash; of a bucket also upload, saved, lease, and copy: one here of what is gone."""
    about: str = ""
    """What it was, for a person."""
    age_s: float = 0.0
    num_bytes: int = 0
    """What deleting it frees, as part of the whole: a file with a link that stays frees nothing."""


@dataclass(frozen=True)
class Survey:
    """What would go, and what stays."""

    garbage: tuple[Garbage, ...]
    kept: dict[str, int]
    """Why artifacts stay → how many do; the first reason counts."""
    notes: tuple[str, ...]
    """What else a person should know."""

    @property
    def num_bytes(self) -> int:
        return sum(item.num_bytes for item in self.garbage)


def survey(store: LocalStore, keep_runs: int = KEEP_RUNS, grace_s: float = GRACE_S) -> Survey:
    """Look, change nothing. Raises StoreError and CorruptArtifact for a store that can't be read: what can't be read reaches nothing."""
    look = Look(store, keep_runs, grace_s)
    found = [*look.artifacts(), *look.pool(), *look.work(), *look.leftovers()]
    return Survey(tuple(weighed(store, found)), look.reached.counts(), tuple(look.notes))


def collect(store: LocalStore, keep_runs: int = KEEP_RUNS, grace_s: float = GRACE_S) -> Survey:
    """Look and delete. Raises StoreError and CorruptArtifact."""
    with pins.locked(store, alone=True):
        found = survey(store, keep_runs, grace_s)
        move_aside(store, [item.name for item in found.garbage if item.what != "trash"])
    empty_trash(store)
    return found


def move_aside(store: LocalStore, names: Iterable[str]) -> None:
    """Out of sight, to `trash/`: rows before tars."""
    trash = store.root / "trash" / uuid.uuid4().hex
    with explained(store.root):
        trash.mkdir(parents=True)
        moves = [(store.root / name, trash / str(number)) for number, name in enumerate(names)]
        _move_all((path, target) for path, target in moves if path.suffix != ".tar")
        _move_all((path, target) for path, target in moves if path.suffix == ".tar")


def empty_trash(store: LocalStore) -> None:
    """Needs no lock."""
    shutil.rmtree(store.root / "trash", ignore_errors=True)


def _move_all(moves: Iterable[tuple[Path, Path]]) -> None:
    """Out of sight durably: what is moved or deleted after this can't be gone before, whenever the power goes."""
    folders = set()
    for path, target in moves:
        _move(path, target)
        folders.add(path.parent)
    for folder in sorted(folders):
        disk.sync(folder)


def _move(path: Path, target: Path) -> None:
    """Out of sight in one rename. A lock is moved only while nobody holds it."""
    with contextlib.suppress(FileNotFoundError):
        if path.suffix != ".lock":
            path.rename(target)
            return
        with path.open() as file, contextlib.suppress(BlockingIOError):
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            path.rename(target)


@dataclass
class Look:
    """One look over a store in a folder."""

    store: LocalStore
    keep_runs: int
    grace_s: float
    notes: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.now = pins.clock(self.store)
        self.pins = pins.read(self.store)
        self.live = [pin for pin in self.pins if pin.is_live(self.grace_s)]
        self.reached = reach.reached(self.store, self.keep_runs, self.live)
        self.notes += [f"run {pin.run} is at work (last sign of life {pin.age_s:.0f} s ago)" for pin in self.live]
        num_runs = len(journal.runs(self.store.root))
        if num_runs:
            self.notes.append(f"the journals and logs of all {num_runs} runs stay: nothing can make them again")

    def artifacts(self) -> Iterator[Garbage]:
        young = 0
        for path in sorted(self.store.local_path("artifacts").glob("??/" + "?" * 64)):
            if path.name in self.reached.why:
                continue
            age_s = self._age(path / "manifest.json")
            if age_s < self.grace_s:
                young += 1
                continue
            manifest = self.store.manifest(path.name) or {}
            about = f"{manifest.get('kind', 'no manifest')}  {manifest.get('step', '')} of {manifest.get('recipe', '')}"
            yield Garbage(self._name(path), "artifact", about, age_s)
        if young:
            self.notes.append(f"{young} artifacts that nothing reaches are younger than the grace period")

    def pool(self) -> Iterator[Garbage]:
        if reason := self._pool_is_needed():
            self.notes.append(f"the pool of finished shards stays as it is: {reason}")
            return
        in_use: set[str] = set()
        for path in self.store.local_path("artifacts").glob("*/*/shards.json"):
            if path.parent.name in self.reached.why or self._age(path) < self.grace_s:
                in_use.update(sweep.units_of(path.parent))
        for name in sweep.unneeded(self.store, in_use):
            path = self.store.local_path(name)
            if (age_s := self._age(path)) >= self.grace_s:
                yield Garbage(name, "pool", path.stem[:12], age_s)

    def _pool_is_needed(self) -> str:
        if self.live:
            return f"run {self.live[0].run} is at work"
        if self.reached.unfinished_shards:
            return f"step {self.reached.unfinished_shards!r} of a kept run has not finished and goes on with what is in it"
        return ""

    def work(self) -> Iterator[Garbage]:
        pinned = {key for pin in self.live for key in pin.keys}
        for path in sorted(self.store.local_path("work").glob("*")):
            finished = self.store.manifest(path.stem) is not None
            age_s = self._newest(path)
            if path.suffix == ".lock":
                if not self.live and age_s >= self.grace_s:
                    yield Garbage(self._name(path), "work", "", age_s)
            elif path.name not in pinned and age_s >= self.grace_s and (finished or path.name not in self.reached.why):
                yield Garbage(self._name(path), "work", f"{path.name[:12]}, never finished" if not finished else path.name[:12], age_s)

    def leftovers(self) -> Iterator[Garbage]:
        for pin in self.pins:
            if pin not in self.live:
                yield Garbage(pin.name, "pin", f"run {pin.run}", pin.age_s)
        if not self.live:
            for path in sorted(self.store.local_path("tmp").glob("*")):
                if (age_s := self._newest(path)) >= self.grace_s:
                    yield Garbage(self._name(path), "tmp", "", age_s)
        for path in sorted(self.store.local_path("sketches").glob("*")):
            if self.store.manifest(path.name) is None and (age_s := self._newest(path)) >= self.grace_s:
                yield Garbage(self._name(path), "sketch", f"of shards {path.name[:12]}, which are gone", age_s)
        for path in sorted(self.store.local_path("trash").glob("*")):
            yield Garbage(self._name(path), "trash", "of a gc that was ended", self._newest(path))

    def _name(self, path: Path) -> str:
        return path.relative_to(self.store.root).as_posix()

    def _age(self, path: Path) -> float:
        """Seconds since a file changed; without end when it is not there."""
        try:
            return self.now - path.lstat().st_mtime
        except FileNotFoundError:
            return float("inf")

    def _newest(self, path: Path) -> float:
        """Seconds since the last change anywhere below."""
        return min((self._age(each) for each in _below(path)), default=float("inf"))


def _below(path: Path) -> Iterator[Path]:
    yield path
    for folder, names, files in os.walk(path):
        yield from (Path(folder, name) for name in (*names, *files))


def weighed(store: LocalStore, found: Iterable[Garbage]) -> list[Garbage]:
    """With the bytes each frees. A file with several names is freed with its last one, and counted at the first that goes."""
    found = list(found)
    links: dict[tuple[int, int], list[int]] = {}
    sizes: dict[tuple[int, int], tuple[int, int]] = {}
    for number, item in enumerate(found):
        for path in _below(store.root / item.name):
            with contextlib.suppress(FileNotFoundError):
                status = path.lstat()
                if path.is_symlink() or not path.is_dir():
                    links.setdefault((status.st_dev, status.st_ino), []).append(number)
                    sizes[status.st_dev, status.st_ino] = (status.st_nlink, status.st_size)
    freed = [0] * len(found)
    for inode, going in links.items():
        num_links, num_bytes = sizes[inode]
        if len(going) == num_links:
            freed[going[0]] += num_bytes
    return [Garbage(item.name, item.what, item.about, item.age_s, num_bytes) for item, num_bytes in zip(found, freed, strict=True)]
