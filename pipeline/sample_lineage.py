"""Where one sample went: corpora, shards, models, versions, aliases and runs.

In: a store and the key of a sample. Out: a `SampleLineage`. Which artifacts hold the key is read from their tables, what was made from them
from the manifests, versions from the store and aliases from the promotion log; MLflow is not asked. Changes nothing; must not import ray,
torch or mlflow.
"""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from pipeline import rows, versions
from pipeline.errors import NotFound
from pipeline.lineage import Origin, ancestry, file_bytes, origin, planned_steps, utc
from pipeline.store import LocalStore
from tasks import forgotten
from tasks.registry import closest
from tasks.sources.normalise import clean_key

LEARNED = ("train", "val")
"""Splits that training looks at: it learns from the one and is steered by the other."""
COMPARED = 1_000
"""Keys of one table that are compared with one that is not there."""


@dataclass(frozen=True)
class Member:
    """One modality of a sample, as its source had it."""

    modality: str
    uri: str
    """A file outside the store as an absolute path; one inside its corpus as a relative one; empty when the table holds the bytes."""
    sha256: str
    offset: int | None = None
    length: int | None = None


@dataclass(frozen=True)
class Place:
    """An artifact that has the sample in a table."""

    key: str
    kind: str
    step: str
    recipe: str
    run: str
    made: str
    split: str = ""
    group: str = ""
    partition: str = ""
    labels: Mapping[str, Any] = field(default_factory=dict)
    members: tuple[Member, ...] = ()
    """Of a corpus."""
    status: str = ""
    """Of shards, what the ledger says: written, filtered, duplicate, quarantined or forgotten."""
    reason: str = ""
    duplicate_of: str = ""
    shard: str = ""
    """Of shards: the tar that holds it."""
    sha256: str = ""
    """Of that tar."""


@dataclass(frozen=True)
class Reached:
    """A model that was made from shards with the sample in them."""

    key: str
    step: str
    recipe: str
    run: str
    made: str
    there: bool
    splits: tuple[str, ...]
    """train: learned from. val: steered by. test: in the same shards, never looked at while training."""
    versions: tuple[str, ...]
    """`digits/3`."""
    aliases: tuple[str, ...]
    """`digits@champion`, as the promotion log has it now."""

    @property
    def saw(self) -> bool:
        return bool(set(self.splits) & set(LEARNED))


@dataclass(frozen=True)
class SampleLineage:
    """All of it."""

    key: str
    forgotten: Mapping[str, str]
    """When and why, for a sample that was forgotten; else empty."""
    places: tuple[Place, ...]
    models: tuple[Reached, ...]
    runs: tuple[str, ...]
    """Runs that planned one of these artifacts."""
    notes: tuple[str, ...]
    """What cannot be known."""


def trace(store: LocalStore, key: str) -> SampleLineage:
    """Follow a sample. Raises NotFound for a key that the store neither holds nor has forgotten."""
    key = clean_key(key)
    sample = forgotten.sample_of(key)
    mark = _mark(store, sample)
    manifests = {each: manifest for each in artifact_keys(store) if (manifest := store.manifest(each))}
    notes: list[str] = []
    places = [place for manifest in manifests.values() for place in _places(store, manifest, key, sample if mark else "", notes)]
    if not places and not mark:
        raise NotFound(_never_was(store, manifests, key))
    models = list(_models(store, manifests, places, forgotten.models_that_saw(store, frozenset({sample})) if mark else {}))
    lost = [each for each in manifests.values() if each["kind"] == "model" and _is_unknown(store, each, {model.key for model in models})]
    notes += [
        f"model {each['key'][:12]} ({each['step']} of {each['recipe']}): its shards are gone, so it may have seen it" for each in lost
    ]
    touched = {place.key for place in places} | {model.key for model in models}
    runs = {run: None for run, _, _, planned, _ in planned_steps(store) if planned in touched}
    return SampleLineage(key, mark, tuple(places), tuple(models), tuple(runs), tuple(notes))


def artifact_keys(store: LocalStore) -> list[str]:
    """Keys of all published artifacts, in a folder or in a bucket."""
    folder = store.local_path("artifacts")
    if type(store) is LocalStore:
        return sorted(path.name for path in folder.glob("??/" + "?" * 64))
    return sorted(name.split("/")[2] for name in store.list("artifacts") if name.count("/") == 3 and name.endswith("/manifest.json"))


# ---- tables ------------------------------------------------------------------------------------------------------------


def _places(store: LocalStore, manifest: Mapping[str, Any], key: str, sample: str, notes: list[str]) -> Iterator[Place]:
    """The artifact, if it has the sample. `sample`: what it is called where it is forgotten; empty = it is not."""
    wanted = [key, forgotten.ledger_key(sample)] if sample and manifest["kind"] == "shards" else [key]
    for name in rows.tables(manifest):
        try:
            with rows.opened(store, manifest, name) as file:
                found = [row for each in wanted for row in rows.find(file, each, _columns(file.schema_arrow.names, manifest["kind"]))]
        except (OSError, ValueError) as error:
            notes.append(f"{manifest['kind']} {manifest['key'][:12]}: {name} cannot be read, so it may hold it ({error})")
            continue
        if found:
            yield _place(store, manifest, found[0])
            return


def _columns(names: list[str], kind: str) -> list[str]:
    if kind == "shards":
        return ["split", "status", "reason", "duplicate_of", "shard"]
    of_members = (".uri", ".offset", ".length", ".sha256")
    chosen = ("split", "group", "partition")
    return [name for name in names if name in chosen or (kind == "corpus" and (name.endswith(of_members) or name.startswith("label.")))]


def _place(store: LocalStore, manifest: Mapping[str, Any], row: Mapping[str, Any]) -> Place:
    shard = {}
    if manifest["kind"] == "shards" and row.get("shard") is not None:
        with contextlib.suppress(FileNotFoundError):  # then the ledger still says the split
            shard = json.loads(file_bytes(store, manifest, "shards.json"))["shards"][row["shard"]]
    texts = {name: row.get(name) or "" for name in ("split", "group", "partition", "status", "reason", "duplicate_of")}
    return Place(
        key=manifest["key"],
        kind=manifest["kind"],
        step=manifest.get("step", ""),
        recipe=manifest.get("recipe", ""),
        run=manifest.get("run", ""),
        made=utc(manifest["made"]) if "made" in manifest else "",
        labels={name.removeprefix("label."): value for name, value in row.items() if name.startswith("label.") and value is not None},
        members=tuple(_members(row)),
        shard=shard.get("name", ""),
        sha256=shard.get("sha256", ""),
        **texts,
    )


def _members(row: Mapping[str, Any]) -> Iterator[Member]:
    for name, digest in row.items():
        if name.endswith(".sha256") and digest:
            modality = name.removesuffix(".sha256")
            given = {each: row.get(f"{modality}.{each}") for each in ("offset", "length")}
            yield Member(modality, row.get(f"{modality}.uri") or "", digest, **given)


# ---- what was made from them -------------------------------------------------------------------------------------------


def _models(
    store: LocalStore, manifests: Mapping[str, Any], places: list[Place], remembered: Mapping[str, Mapping[str, str]]
) -> Iterator[Reached]:
    """`remembered`: models that saw a forgotten sample, whose shards are gone."""
    split_in = {place.key: place.split for place in places if place.kind == "shards" and place.status == "written"}
    registered: dict[str, list[versions.Registered]] = {}
    for version in versions.every(store):
        registered.setdefault(version.model_key, []).append(version)
    reached: dict[str, set[str]] = {key: set(splits.values()) for key, splits in remembered.items()}
    for key, manifest in manifests.items():
        if manifest["kind"] == "model":
            behind = {each.key for each in ancestry(store, key)}
            if splits := {split for shards, split in split_in.items() if shards in behind}:
                reached.setdefault(key, set()).update(splits)
    for key in registered.keys() - manifests.keys():  # the model is gone; its version says what it was made from
        tagged = {value for version in registered[key] for tag, value in version.tags.items() if tag.endswith("_key")}
        if splits := {split for shards, split in split_in.items() if shards in tagged}:
            reached.setdefault(key, set()).update(splits)
    for key, splits in sorted(reached.items()):
        yield _reached(store, key, splits, registered.get(key, []))


def _reached(store: LocalStore, key: str, splits: set[str], named: list[versions.Registered]) -> Reached:
    model: Origin = origin(store, key)
    aliases = [f"{each.name}@{alias}" for each in named for alias in versions.aliases_of(store, each.name, each.number)]
    return Reached(
        key=key,
        step=model.step,
        recipe=model.recipe,
        run=model.run,
        made=model.made,
        there=model.there,
        splits=tuple(sorted(splits)),
        versions=tuple(f"{each.name}/{each.number}" for each in named),
        aliases=tuple(aliases),
    )


def _is_unknown(store: LocalStore, manifest: Mapping[str, Any], known: set[str]) -> bool:
    return manifest["key"] not in known and any(each.kind in ("shards", "") and not each.there for each in ancestry(store, manifest["key"]))


# ---- what is not there -------------------------------------------------------------------------------------------------


def _mark(store: LocalStore, sample: str) -> dict[str, str]:
    try:
        document: dict[str, Any] = json.loads(store.read(f"forgotten/{sample}.json"))
    except FileNotFoundError:
        return {}
    return {name: document.get(name, "") for name in ("time", "reason")}


def _never_was(store: LocalStore, manifests: Mapping[str, Any], key: str) -> str:
    known = list(_near(store, manifests, key))
    hint = closest(key, known)
    named = versions.names(store)
    reads = f"; {key!r} is a registered model: give {key}@champion or {key}/1 to trace a version" if key in named else ""
    asked = closest(key, named) if not hint and not reads else ""
    return f"no artifact in {store.where} holds a sample {key!r}{hint}{reads}{asked}"


def _near(store: LocalStore, manifests: Mapping[str, Any], key: str) -> Iterator[str]:
    """Of each table the keys that begin or end as this one for longest; comparing with a million would take minutes."""
    import pyarrow.compute as pc

    for manifest in manifests.values():
        if manifest["kind"] not in rows.TABLES:
            continue
        for name in rows.tables(manifest):
            try:
                with rows.opened(store, manifest, name) as file:
                    column = file.read(["key"])["key"]
            except (OSError, ValueError, KeyError):
                continue
            for cut in range(1, len(key)):
                alike = pc.or_(pc.starts_with(column, key[:-cut]), pc.ends_with(column, key[cut:]))
                if pc.any(alike).as_py():
                    yield from column.filter(alike).slice(0, COMPARED).to_pylist()
                    break
