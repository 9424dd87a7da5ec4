"""Forgetting samples: everywhere in the store, and for good.

In: keys. Out: a Survey of what would go; then, when asked, the same things gone and the samples marked, so that no ingest takes them in
again. The sources are never touched: they are not ours, and the survey names the files. Must not import ray or torch.

**What goes:** every artifact with a table that has the key (corpora with bytes and locators, shards, reports), the pool's tars, rows and
member index entries (what else was in those tars is copied, so that the next build decodes nothing), verdicts, leftovers of unfinished
work, and the key in logs. **What stays:** models, which are named with their versions and aliases.

**Beside a run:** refused, since a worker may hold what goes. The store's lock is held from the first look to the last deletion; a run that
was planned before and starts after finds its corpus superseded and asks to be started again.

**Killed in between,** the same command goes on: first come the marks, then the superseded corpora (whose steps get other keys, so nothing
made from them is taken from the cache), what models saw, and the marks of their versions; then everything is taken away, corpora last,
since they say where the rest is.
"""

from __future__ import annotations

import json
import os
from collections import Counter
from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path

from pipeline import bucket_forget, disk, gc, journal, pins, redaction
from pipeline.errors import NotFound, StoreError
from pipeline.marks import Mark, mark
from pipeline.object_store import ObjectStore
from pipeline.store import LocalStore, explained
from pipeline.traces import CORPUS, SHARDS, Holder, Traces, Twin, every_key, traces
from pipeline.witnesses import Witness, remember, sightings, unknown, witnesses
from tasks import forgotten
from tasks.registry import closest
from tasks.shards import without
from tasks.shards.pool import tar_name
from tasks.shards.without import Held
from tasks.sources.normalise import clean_key

YOUNG_S = 60.0
"""A file in tmp/ that changed within so many seconds belongs to somebody: with no run at work, to a verb that writes a small object."""
MANY_KEYS = 20_000
"""Above so many keys, the closest is looked for among those that begin or end alike: comparing with all would take seconds."""


@dataclass(frozen=True)
class Survey:
    """What would go, and what stays."""

    keys: tuple[str, ...]
    marked: tuple[str, ...]
    """Those of them that are forgotten already."""
    holders: tuple[Holder, ...]
    """Artifacts that go."""
    pool: Held
    leftovers: tuple[str, ...]
    """Names of verdicts and of unfinished work that go."""
    logs: tuple[str, ...]
    """Names of logs that lose the key."""
    sources: tuple[str, ...]
    """Files outside the store that the samples came from; they stay."""
    twins: tuple[Twin, ...]
    """Samples with the same bytes under other keys; they stay."""
    models: tuple[Witness, ...]
    """Models that saw the samples; they stay."""
    unknown: tuple[Witness, ...]
    """Models of which it is not known any more."""
    notes: tuple[str, ...]
    """What else a person should know."""
    marks: tuple[Mark, ...] = ()
    """Versions that say from now on that they saw them."""


def survey(store: LocalStore, keys: Collection[str], *, unseen: bool = False) -> Survey:
    """Look, change nothing. Raises NotFound for a key that the store does not hold, unless `unseen` or forgotten already."""
    return _look(store, keys, unseen)[0]


def forget(store: LocalStore, keys: Collection[str], reason: str = "", *, unseen: bool = False) -> Survey:
    """Look, mark and take away. Raises NotFound, and StoreError while a run is at work."""
    with pins.locked(store, alone=True) as guard:
        for pin in pins.read(store):
            if pin.is_live(gc.GRACE_S):
                raise StoreError(
                    f"run {pin.run} is at work (last sign of life {pin.age_s:.0f} s ago) and may hold the samples; stop it or wait for it, "
                    "then run the same command again: nothing was changed"
                )
        found, there, seen = _look(store, keys, unseen)
        for key in found.keys:
            forgotten.mark(store, forgotten.sample_of(key), reason)
        for corpus, key in _superseded(store, found.holders):
            forgotten.supersede(store, corpus, forgotten.sample_of(key))
        remember(store, seen)
        marked = tuple(mark(store, [forgotten.sample_of(key) for key in found.keys]))
        redaction.redact(store, found.logs, found.keys, there.uris)
        guard()
        without.take_away(store, found.pool, found.keys)
        _delete(store, found, guard)
    return replace(found, marks=marked)


def _superseded(store: LocalStore, holders: Collection[Holder]) -> Iterator[tuple[str, str]]:
    """Corpora and the samples they held: what their own table says, or for one that is gone or unreadable what shards made from it say."""
    unread = {holder.key for holder in holders if not holder.keys}
    for holder in holders:
        if (store.artifact_path(holder.key) / CORPUS).exists():
            yield from ((holder.key, key) for key in holder.keys)
        elif (store.artifact_path(holder.key) / SHARDS).exists():
            given = (store.manifest(holder.key) or {"inputs": {}})["inputs"].values()
            yield from ((each, key) for each in given for key in holder.keys if each in unread or store.manifest(each) is None)


def _delete(store: LocalStore, found: Survey, guard: pins.Guard) -> None:
    """Each in one durable move or not at all, corpora last."""
    if isinstance(store, ObjectStore):
        bucket_forget.delete(store, found.leftovers, [holder.key for holder in found.holders], guard)
        return
    held = sorted((store.artifact_path(holder.key) for holder in found.holders), key=lambda path: (path / CORPUS).exists())
    with explained(store.root):
        for path in (*(store.local_path(name) for name in found.leftovers), *held):
            if path.is_dir():
                disk.remove_folder(path, store.scratch())
            else:
                disk.remove_file(path)


# ---- looking -----------------------------------------------------------------------------------------------------------


def _look(store: LocalStore, keys: Collection[str], unseen: bool) -> tuple[Survey, Traces, dict[str, dict[str, str]]]:
    """The survey, where the samples are, and which models saw them by what is still there."""
    if isinstance(store, ObjectStore):
        bucket_forget.bring(store)
    keys = tuple(dict.fromkeys(clean_key(key) for key in keys))  # as the source writes it will do
    marks = forgotten.marks(store)
    marked = tuple(key for key in keys if forgotten.sample_of(key) in marks)
    there = traces(store, keys)
    missing = [key for key in keys if key not in there.keys and key not in marked]
    if missing and not unseen:
        _refuse(store, missing)
    pool = without.held(store, keys)
    seen = sightings(store, there.holders)
    known = forgotten.models_that_saw(store, frozenset(forgotten.sample_of(key) for key in keys))
    models = witnesses(store, {model: {**known.get(model, {}), **seen.get(model, {})} for model in {*known, *seen}})
    lost = witnesses(store, {model: {} for model in unknown(store) if model not in known and model not in seen})
    leftovers = tuple(_leftovers(store, keys, {holder.key for holder in there.holders}))
    found = Survey(
        keys=keys,
        marked=marked,
        holders=tuple(there.holders),
        pool=pool,
        leftovers=leftovers,
        logs=tuple(redaction.naming(store, keys, there.uris)),
        sources=tuple(there.uris),
        twins=tuple(there.twins),
        models=tuple(models),
        unknown=tuple(lost),
        notes=tuple(_other_names(store, there.holders, pool, leftovers)),
    )
    return found, there, seen


def _refuse(store: LocalStore, missing: list[str]) -> None:
    known = every_key(store)
    hints = []
    for key in missing:
        near = known if len(known) <= MANY_KEYS else [other for other in known if other[:3] == key[:3] or other[-4:] == key[-4:]]
        hints.append(f"{key!r}{closest(key, near)}")
    raise NotFound(
        f"no artifact in {store.where} holds {'; nor '.join(hints)}. If a source has it and it was not ingested yet, --unseen marks it "
        "all the same, so that no ingest takes it in; nothing was changed"
    )


def _leftovers(store: LocalStore, keys: Collection[str], gone: Collection[str]) -> Iterator[str]:
    """Verdicts on the samples; sketches of and work from what goes; what killed processes and an interrupted `gc` or `forget` left."""
    for name in store.list("verdicts"):
        if json.loads(store.read(name))["key"] in keys:
            yield name
    for key in sorted(gone):
        yield from store.list(f"sketches/{key}")
    for path in sorted(store.local_path("work").glob("*/units-*.arrow")):
        yield _name(store, path)
    for key in sorted(_made_from(store, gone)):
        if store.local_path(f"work/{key}").is_dir():
            yield f"work/{key}"
    if isinstance(store, ObjectStore):
        yield from bucket_forget.leftovers(store, _made_from(store, gone))
    now = pins.clock(store)
    for path in sorted(store.local_path("tmp").glob("*")):
        if path.is_dir() or now - path.lstat().st_mtime >= YOUNG_S:
            yield _name(store, path)
    yield from (_name(store, path) for path in sorted(store.local_path("trash").glob("*")))


def _made_from(store: LocalStore, gone: Collection[str]) -> set[str]:
    """Keys of steps of any run that take one of these artifacts."""
    found = set()
    for run in journal.runs(store.root):
        folder = store.root / "runs" / run
        steps: dict[str, str] = next((event["steps"] for event in journal.events(folder) if event["event"] == "run_planned"), {})
        try:
            parts = json.loads((folder / "plan.json").read_bytes())
        except (FileNotFoundError, ValueError):
            continue  # torn by a crash before any step began
        found |= {steps[step] for step, part in parts.items() if step in steps and set(map(str, part["inputs"].values())) & set(gone)}
    return found


def _name(store: LocalStore, path: Path) -> str:
    return path.relative_to(store.root).as_posix()


def _other_names(store: LocalStore, holders: Iterable[Holder], pool: Held, leftovers: Iterable[str]) -> Iterator[str]:
    """Shards are linked, not copied. A link that somebody made outside what goes would keep the bytes, so it is told."""
    if isinstance(store, ObjectStore):
        yield from bucket_forget.NOTES
        return
    places = [store.artifact_path(holder.key) for holder in holders]
    places += [store.local_path(tar_name(unit)) for unit in (*pool.units, *pool.unfinished)]
    places += [store.local_path(name) for name in leftovers]
    found: Counter[tuple[int, int]] = Counter()
    links: dict[tuple[int, int], tuple[int, str]] = {}
    for path in places:
        for file in [path, *(Path(folder, name) for folder, _, names in os.walk(path) for name in names)]:
            if file.is_file() and not file.is_symlink():
                status = file.stat()
                found[status.st_dev, status.st_ino] += 1
                links[status.st_dev, status.st_ino] = (status.st_nlink, _name(store, file))
    for inode, (number, name) in links.items():
        if number > found[inode]:
            yield (
                f"{name} has {number - found[inode]} more names (hard links) outside what goes; "
                f"`find / -xdev -inum {inode[1]}` lists them: delete them as well"
            )
