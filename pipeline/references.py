"""`models:/NAME@ALIAS` → one immutable version, from the promotion log alone; a selection → the artifact it chose.

In: a reference and the store. Out: a version and its model artifact. MLflow is not asked: its aliases are a projection of the log.
"""

from __future__ import annotations

import json
from dataclasses import dataclass

from pipeline.edges import REFERENCE
from pipeline.errors import RecipeError
from pipeline.store import LocalStore
from tasks import promotions, select, standings
from tasks.contracts import Artifact, Summary


@dataclass(frozen=True)
class Version:
    """A registered version that a reference stands for."""

    name: str
    number: str
    model_key: str

    @property
    def uri(self) -> str:
        return f"models:/{self.name}/{self.number}"


def resolve(reference: str, store: LocalStore, candidate: str) -> Version | None:
    """The version behind a reference, or None when the alias was never set.

    A candidate that *is* the alias's model is compared with what it displaced, so that the same recipe run again asks the same
    question and finds its answer cached.
    """
    match = REFERENCE.match(reference)
    assert match is not None, "graph.build lets only well-formed references through"
    name, alias, number = match["name"], match["alias"], match["version"]
    if alias is None:
        return _registered(store, name, number)
    entries = promotions.read_log(store, name)
    if alias == standings.BEST:
        found = standings.best_for(entries, standings.CHAMPION, candidate)
    elif alias in (standings.PREVIOUS, standings.CHALLENGER):
        entry = standings.named(entries, alias)
        found = promotions.Reference(entry.version, entry.model_key) if entry else None
    else:
        found = promotions.baseline_for(entries, alias, candidate)
    return Version(name, found.version, found.model_key) if found else None


def _registered(store: LocalStore, name: str, number: str) -> Version:
    try:
        return Version(name, number, json.loads(store.read(f"versions/{name}/{number}.json"))["model_key"])
    except FileNotFoundError as error:
        known = [entry.rpartition("/")[2].removesuffix(".json") for entry in store.list(f"versions/{name}")]
        raise RecipeError(
            f"models:/{name}/{number}: the store {store.where} has no such version; it has: {', '.join(known) or 'none'}"
        ) from error


def artifact(version: Version, store: LocalStore) -> Artifact:
    """The model artifact of a version. Raises RecipeError when the store no longer holds it."""
    found = store.artifact(version.model_key)
    if found is None:
        raise RecipeError(
            f"{version.uri}: its model artifact {version.model_key[:12]} is not in the store {store.where}; run the recipe that made it"
        )
    return Artifact(found.kind, found.key, found.path, found.summary, found.step, version.uri)


def chosen(artifact: Artifact | None, store: LocalStore) -> Artifact | None:
    """What an artifact stands for: a selection for the one it names, any other for itself. None when it is not in the store."""
    while artifact is not None and artifact.kind == select.KIND:
        found, step = store.artifact(artifact.summary["key"]), artifact.summary["step"]
        artifact = found and Artifact(found.kind, found.key, found.path, found.summary, step)
    return artifact


def standing(summary: Summary, store: LocalStore) -> Summary:
    """A promote step's summary as the log has it now: rolled back since counts as refused, and what was pending may be settled."""
    entries = promotions.read_log(store, summary["name"])
    if not 1 <= summary["entry"] <= len(entries):
        return summary
    decision, reasons = standings.outcome(entries, entries[summary["entry"] - 1])
    return {**summary, "decision": decision, "reasons": reasons}
