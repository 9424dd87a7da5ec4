"""Garbage collection in a bucket: what nothing reaches any more there, and copies on this machine of what is gone.

In: a store in a bucket. Out: as with a folder (`gc`), a Survey of what would go and why the rest stays; then, when asked, the same things
gone. What is reached follows the same rules; ages are by the bucket's own clock. Must not import ray or torch.

**Beside runs on other machines** (see `pins`): the lease is held from the first look to the last deletion, and a run that starts meanwhile
waits for it. It is asked before each deletion. Each is one short request, so that none can arrive after somebody else took the lease over.

**Killed in between:** an artifact's manifest goes before its files, a unit's rows before its tar: nobody reads half of either. What is left
has no manifest, or no rows, and the next `gc` finds it. So it does with the files of runs that were killed, or lost a race, before their
manifest was made.
"""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Collection, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from pipeline import gc, pins, shared_runs
from pipeline.bucket import Bucket, Patience, Stored
from pipeline.errors import StoreError
from pipeline.gc import GRACE_S, KEEP_RUNS, Garbage, Survey
from pipeline.object_store import ObjectStore
from tasks.shards import sweep

AT_ONCE = 16
"""Deletions that are under way at the same time."""
HASTY = Patience(request_s=5.0, connect_s=3.0, retries=0, rounds=1)
"""Of a deletion. A lease is held for two thirds of its silence, 20 of 30 s: the rest is longer than a request that began in time."""
TRIES = 10
"""Of a deletion, a second apart."""
_KEY = re.compile(r"[0-9a-f]{64}")


def survey(store: ObjectStore, keep_runs: int = KEEP_RUNS, grace_s: float = GRACE_S) -> Survey:
    """Look, delete nothing. Raises StoreError and CorruptArtifact for a store that can't be read: what can't be read reaches nothing."""
    return _look(store, keep_runs, grace_s)[0]


def collect(store: ObjectStore, keep_runs: int = KEEP_RUNS, grace_s: float = GRACE_S) -> Survey:
    """Look and delete. Raises StoreError, also when the lock was lost on the way, and CorruptArtifact."""
    with pins.locked(store, alone=True) as guard:
        found, objects = _look(store, keep_runs, grace_s)
        remove(store, objects, guard)
        here = [item.name for item in found.garbage if item.what in ("copy", "work", "tmp")]
        copies = [item.name for item in found.garbage if item.what in ("artifact", "pool")]
        gc.move_aside(store, [name for name in (*here, *copies) if (store.root / name).exists()])
    gc.empty_trash(store)
    return found


Waves = list[list[str]]
"""Names of objects; those of one list may go in any order, and none before all of the list ahead are gone."""


def remove(store: ObjectStore, waves: Waves, guard: pins.Guard) -> None:
    """Delete objects, as long as the lock is ours."""
    bucket = Bucket(store.url, replace(HASTY, request_s=min(HASTY.request_s, store.patience.request_s)))
    with ThreadPoolExecutor(AT_ONCE, "gc") as pool:
        for names in waves:
            for _ in pool.map(lambda name: _surely(lambda: bucket.delete(name), guard), names):
                pass


def _surely(delete: Callable[[], None], guard: pins.Guard) -> None:
    for left in reversed(range(TRIES)):
        guard()
        try:
            return delete()
        except StoreError:
            if not left:
                raise
            time.sleep(1.0)
    return None


def _look(store: ObjectStore, keep_runs: int, grace_s: float) -> tuple[Survey, Waves]:
    shared_runs.pull(store, plans=True)
    look = _Look(store, keep_runs, grace_s)
    found = [*look.artifacts(), *look.pool(), *look.saved(), *look.sketches(), *look.leases(), *look.pins_left(), *look.here()]
    notes = [*look.notes, "copies on other machines go when `medley gc` is run there"]
    return Survey(tuple(found), look.reached.counts(), tuple(notes)), look.waves()


@dataclass
class _Look(gc.Look):
    """One look over a store in a bucket."""

    store: ObjectStore
    going: dict[str, list[str]] = field(default_factory=dict)
    """Wave → names of objects that go."""

    def __post_init__(self) -> None:
        super().__post_init__()
        self.far_now = self.store.bucket.now()
        self.stored = self.store.bucket.stored("artifacts")
        self.pinned = {key for pin in self.live for key in pin.keys}
        self.manifests: dict[str, Mapping[str, Any]] = {}
        """Of artifacts that stay."""

    def waves(self) -> Waves:
        order = ("manifests", "files", "rows", "tars", "rest", "leases")
        return [self.going.get(wave, []) for wave in order]

    def artifacts(self) -> Iterator[Garbage]:
        by_key: dict[str, dict[str, Stored]] = {}
        for name, object_ in self.stored.items():
            by_key.setdefault(name.split("/")[2], {})[name] = object_
        young = 0
        for key, objects in by_key.items():
            home = f"artifacts/{key[:2]}/{key}"
            made = f"{home}/manifest.json" in objects
            age_s = self._far_age(objects if not made else {home: objects[f"{home}/manifest.json"]})
            if key in self.reached.why or (made and age_s < self.grace_s):
                young += key not in self.reached.why
                yield from self._uploads(key, objects)
            elif made:
                manifest = self.store.manifest(key) or {}
                about = f"{manifest.get('kind', 'no manifest')}  {manifest.get('step', '')} of {manifest.get('recipe', '')}"
                yield self._goes(home, "artifact", about, objects, "files", first=f"{home}/manifest.json")
            elif age_s >= self.grace_s:
                yield self._goes(home, "upload", "no manifest was ever made for it, or a gc was ended", objects, "files")
        if young:
            self.notes.append(f"{young} artifacts that nothing reaches are younger than the grace period")

    def _uploads(self, key: str, objects: Mapping[str, Stored]) -> Iterator[Garbage]:
        """Files of an artifact that stays and whose manifest does not name them: of a run that lost the race, or was killed."""
        manifest = self.store.manifest(key)
        if manifest is not None:
            self.manifests[key] = manifest
        if key in self.pinned:
            return
        named = {f"artifacts/{key[:2]}/{key}/manifest.json", *(entry["object"] for entry in (manifest or {"files": {}})["files"].values())}
        for name, object_ in objects.items():
            if name not in named and self._far_age({name: object_}) >= self.grace_s:
                yield self._goes(name, "upload", "no manifest names it", {name: object_}, "files")

    def pool(self) -> Iterator[Garbage]:
        if reason := self._pool_is_needed():
            self.notes.append(f"the pool of finished shards stays as it is: {reason}")
            return
        in_use: set[str] = set()
        for key, manifest in self.manifests.items():
            files = manifest["files"]
            in_use.update(Path(entry["object"]).stem for entry in files.values() if entry["object"].startswith("pool/"))
            if "shards.json" in files:
                where = f"{self.store.artifact_path(key)}/shards.json"
                in_use.update(sweep.units_in(self._read(files["shards.json"]["object"]), where))
        stored = self.store.bucket.stored("pool")
        for name in sweep.unneeded(self.store, in_use):
            if name not in stored:
                continue  # a mark of an attempt, on this machine
            if self._far_age({name: stored[name]}) >= self.grace_s:
                wave = {".parquet": "rows", ".tar": "tars"}.get(Path(name).suffix, "rest")
                yield self._goes(name, "pool", Path(name).stem[:12], {name: stored[name]}, wave)
        yield from self._large(stored.keys() - set(self.going.get("tars", ())))

    def _large(self, stay: Collection[str]) -> Iterator[Garbage]:
        """Bytes of large files that nothing leads to any more, or never did."""
        for name, object_ in self.store.bucket.stored("large").items():
            of = name.removeprefix("large/").rpartition("/")[0]
            needed = of in stay and self.store.bucket.leads_to(of) == name
            if not needed and self._far_age({name: object_}) >= self.grace_s:
                yield self._goes(name, "pool", f"bytes of {Path(of).stem[:12]}", {name: object_}, "rest")

    def _read(self, name: str) -> bytes:
        try:
            return self.store.bucket.read(name)
        except FileNotFoundError as error:
            raise StoreError(
                f"{self.store.url}/{name}, which a manifest names, is gone, so it isn't known which units it needs; nothing was deleted. "
                "Delete that manifest, and run the recipe to make the artifact anew"
            ) from error

    def saved(self) -> Iterator[Garbage]:
        """Checkpoints of steps that nothing goes on with."""
        for key, objects in self._by_second("saved").items():
            finished = f"artifacts/{key[:2]}/{key}/manifest.json" in self.stored
            goes_on = key in self.pinned or (key in self.reached.why and not finished)
            if not goes_on and self._far_age(objects) >= self.grace_s:
                yield self._goes(f"saved/{key}", "saved", key[:12], objects, "rest")

    def sketches(self) -> Iterator[Garbage]:
        """What samples of shards were like that are gone."""
        for key, objects in self._by_second("sketches").items():
            gone = f"artifacts/{key[:2]}/{key}/manifest.json" not in self.stored
            if gone and self._far_age(objects) >= self.grace_s:
                yield self._goes(f"sketches/{key}", "sketch", f"of shards {key[:12]}, which are gone", objects, "rest")

    def leases(self) -> Iterator[Garbage]:
        """Who once made what. As long as a run is at work they stay as they are."""
        for key, objects in self._by_second("leases").items():
            if not self.live and _KEY.fullmatch(key) and self._far_age(objects) >= self.grace_s:
                entries = {name for name in objects if name.endswith(".json")}
                self.going.setdefault("rest", []).extend(sorted(objects.keys() - entries))  # without these an entry is silent, not free
                yield self._goes(f"leases/{key}", "lease", key[:12], {name: objects[name] for name in entries}, "leases")

    def pins_left(self) -> Iterator[Garbage]:
        for pin in self.pins:
            if pin not in self.live:
                self.going.setdefault("rest", []).append(pin.name)
                yield Garbage(pin.name, "pin", f"run {pin.run}", pin.age_s)

    def here(self) -> Iterator[Garbage]:
        """What lies on this machine: scratch, and copies of what is not in the bucket any more."""
        left = [item for item in self.leftovers() if item.what != "pin"]
        yield from gc.weighed(self.store, [*self.work(), *left, *self._copies()])

    def _copies(self) -> Iterator[Garbage]:
        for name in copies_gone(self.store):
            path = self.store.root / name
            if path.name not in self.pinned and not (self.live and name.startswith("pool/")):
                yield Garbage(name, "copy", path.stem[:12], self._newest(path))

    def _goes(self, name: str, what: str, about: str, objects: Mapping[str, Stored], wave: str, first: str = "") -> Garbage:
        """Remember which objects go, and when."""
        if first:
            self.going.setdefault("manifests", []).append(first)
        self.going.setdefault(wave, []).extend(each for each in objects if each != first)
        return Garbage(name, what, about, self._far_age(objects), sum(object_.num_bytes for object_ in objects.values()))

    def _by_second(self, prefix: str) -> dict[str, dict[str, Stored]]:
        """Objects below a prefix by the second part of their names."""
        found: dict[str, dict[str, Stored]] = {}
        for name, object_ in self.store.bucket.stored(prefix).items():
            found.setdefault(name.split("/")[1], {})[name] = object_
        return found

    def _far_age(self, objects: Mapping[str, Stored]) -> float:
        """Seconds since the last change of any."""
        return self.far_now - max(object_.changed_s for object_ in objects.values())


def copies_gone(store: ObjectStore) -> list[str]:
    """Copies on this machine of artifacts and of the pool's files that are not in the bucket any more."""
    there = store.bucket.entries("artifacts").keys() | store.bucket.entries("pool").keys()
    found = [path.relative_to(store.root).as_posix() for path in sorted((store.root / "artifacts").glob("??/" + "?" * 64))]
    found = [name for name in found if f"{name}/manifest.json" not in there]
    files = [path.relative_to(store.root).as_posix() for path in sorted((store.root / "pool").rglob("*")) if path.is_file()]
    return found + [name for name in files if name not in there and not name.startswith("pool/attempts/")]
