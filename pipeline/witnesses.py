"""Models that saw some samples: they stay, so they are named.

In: the shards that held the samples. Out: the models that were made from them, with their versions and aliases. Must not import ray or
torch.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from pipeline import versions
from pipeline.store import LocalStore
from pipeline.traces import Holder, artifacts
from tasks import forgotten, promotions

SEEN = ("train", "val")
"""Splits that training looks at: it learns from the one and is steered by the other."""


@dataclass(frozen=True)
class Witness:
    """A model that saw some of the samples."""

    key: str
    about: str
    splits: tuple[str, ...]
    """Splits that the samples were in: train, val or both."""
    versions: tuple[str, ...]
    """`digits version 3`."""
    aliases: tuple[str, ...]
    """`digits@champion`: what is in force for it now."""


def sightings(store: LocalStore, holders: list[Holder]) -> dict[str, dict[str, str]]:
    """Model → key of a sample → its split, by following what every model was made from to the shards at hand."""
    shards = {holder.key: {key: split for key, split in holder.splits if split in SEEN} for holder in holders}
    found: dict[str, dict[str, str]] = {}
    for model, origins in _models(store):
        seen = {key: split for origin in origins for key, split in shards.get(origin, {}).items()}
        if seen:
            found[model] = seen
    return found


def unknown(store: LocalStore) -> list[str]:
    """Models of which nobody can tell any more: what they were made from is not in the store."""
    made_from = [(path.name, (store.manifest(path.name) or {})) for path in artifacts(store)]
    return [
        key
        for key, manifest in made_from
        if manifest.get("kind") == "model" and any(store.manifest(origin) is None for origin in manifest["inputs"].values())
    ]


def witnesses(store: LocalStore, seen: Mapping[str, Mapping[str, str]]) -> list[Witness]:
    """The models with the names they go by. `seen` is what `sightings` and `forgotten.models_that_saw` give."""
    named: dict[str, list[str]] = {}
    for version in versions.every(store):
        named.setdefault(version.model_key, []).append(f"{version.name} version {version.number}")
    aliases = _aliases(store)
    return [
        Witness(key, _about(store, key), tuple(sorted(set(splits.values()))), tuple(named.get(key, ())), tuple(aliases.get(key, ())))
        for key, splits in sorted(seen.items())
    ]


def _models(store: LocalStore) -> Iterator[tuple[str, set[str]]]:
    """Each model with every key that leads to it; of one whose artifact is gone, what its version says."""
    manifests = {path.name: store.manifest(path.name) or {} for path in artifacts(store)}
    for key, manifest in manifests.items():
        if manifest.get("kind") == "model":
            waiting, origins = list(manifest["inputs"].values()), set[str]()
            while waiting:
                if (origin := waiting.pop()) not in origins:
                    origins.add(origin)
                    waiting += manifests.get(origin, {}).get("inputs", {}).values()
            yield key, origins
    for version in versions.every(store):
        if version.model_key not in manifests:
            yield version.model_key, {value for tag, value in version.tags.items() if tag.endswith("_key")}


def _aliases(store: LocalStore) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    for name in sorted({entry.split("/")[1] for entry in store.list("promotions")}):
        entries = promotions.read_log(store, name)
        models = {entry.version: entry.model_key for entry in entries}
        for alias, version in versions.in_force(entries).items():
            found.setdefault(models[version], []).append(f"{name}@{alias}")
    return found


def _about(store: LocalStore, key: str) -> str:
    manifest = store.manifest(key)
    return f"{manifest['step']} of {manifest['recipe']}" if manifest else "no longer in the store"


def remember(store: LocalStore, seen: Mapping[str, Mapping[str, str]]) -> None:
    """Write down which model saw which sample, before the shards that say so are gone."""
    for model, splits in seen.items():
        for key, split in splits.items():
            forgotten.remember_model(store, model, forgotten.sample_of(key), split)
