"""The registered versions of a store: what each is, what it is called now, what was decided on it.

In: a store, and a name such as `digits@champion` or `digits/3`. Out: a `Registered` version. The store and the promotion log say it all;
MLflow is not asked. Changes nothing; must not import ray, torch or mlflow.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from typing import Any

from pipeline.errors import NotFound, StoreError
from pipeline.store import LocalStore
from tasks import forgotten, promotions, standings
from tasks.promotions import Entry
from tasks.registry import closest

_PREFIX = "models:/"
_NUMBERED = re.compile(r"(.+)/(\d+)")


@dataclass(frozen=True)
class Registered:
    """A version as the store has it."""

    name: str
    number: str
    model_key: str
    report_key: str
    run_id: str
    """MLflow's run of the training."""
    tags: Mapping[str, str]
    """As they were given to MLflow."""

    @property
    def uri(self) -> str:
        return f"{_PREFIX}{self.name}/{self.number}"


def is_reference(asked: str, store: LocalStore) -> bool:
    """Whether a person means a version: `NAME@ALIAS`, or `NAME/3` where a model of that name is registered. Keys of samples have no `@`."""
    numbered = _NUMBERED.fullmatch(asked)
    return asked.startswith(_PREFIX) or "@" in asked or bool(numbered and numbered[1] in names(store))


def names(store: LocalStore) -> list[str]:
    """Names that have a version or a decision."""
    return sorted({name.split("/")[1] for folder in ("versions", "promotions") for name in store.list(folder)})


def every(store: LocalStore, name: str = "") -> Iterator[Registered]:
    """Versions, of one name or of all, oldest first."""
    found = [tuple(each.split("/")[1:]) for each in store.list(f"versions/{name}" if name else "versions")]
    for owner, file in sorted((each for each in found if len(each) == 2), key=lambda each: (each[0], _rank(each[1]))):
        yield read(store, owner, file.removesuffix(".json"))


def read(store: LocalStore, name: str, number: str) -> Registered:
    """One version. Raises NotFound, and StoreError for one that is damaged."""
    place = f"versions/{name}/{number}.json"
    try:
        document: dict[str, Any] = json.loads(store.read(place))
        given = (document["model_key"], document.get("report_key", ""), document.get("run_id", ""), document.get("tags", {}))
    except FileNotFoundError:
        raise NotFound(_unknown_version(store, name, number)) from None
    except (ValueError, KeyError, TypeError) as error:
        raise StoreError(f"{place} in the store {store.where} is damaged ({error!r}); restore it from a backup") from error
    return Registered(name, number, *given)


def find(store: LocalStore, asked: str) -> Registered:
    """The version that `digits@champion`, `digits/3` or `models:/digits/3` means now. Raises NotFound with what there is."""
    reference = asked.removeprefix(_PREFIX)
    name, at, alias = reference.partition("@")
    if not at:
        name, slash, number = reference.rpartition("/")
        if not slash:
            raise NotFound(f"{asked} names no version; give NAME@ALIAS or NAME/3, such as {number or 'digits'}@champion")
        return read(store, name, number)
    known = names(store)
    if name not in known:
        raise NotFound(f"{asked}: {no_such_name(store, name, known)}")
    aliases = in_force(promotions.read_log(store, name))
    if alias not in aliases:
        numbers = ", ".join(f"{name}/{each.number}" for each in every(store, name)) or "none"
        listed = ", ".join(f"{name}@{each}" for each in aliases) or "none"
        raise NotFound(f"{asked} names no version now; aliases in force: {listed}{closest(alias, list(aliases))}; versions: {numbers}")
    return read(store, name, aliases[alias])


def in_force(entries: list[Entry]) -> dict[str, str]:
    """Alias → number of the version that it names by the log."""
    return {alias: version for alias, version in standings.aliases(entries).items() if version}


def aliases_of(store: LocalStore, name: str, number: str) -> list[str]:
    return [alias for alias, version in sorted(in_force(promotions.read_log(store, name)).items()) if version == number]


def history(store: LocalStore, version: Registered) -> list[dict[str, Any]]:
    """Every entry of the log on this version, and on its model under another number where that was rolled back."""
    entries = promotions.read_log(store, version.name)
    return [
        {**asdict(entry), "reasons": list(entry.reasons)}
        for entry in entries
        if entry.version == version.number or (entry.action == "rollback" and entry.model_key == version.model_key)
    ]


def forgotten_samples(store: LocalStore, model_key: str) -> dict[str, str]:
    """Samples that the model saw and that were forgotten since: digest of the key → split."""
    listed = {name.rpartition("/")[2].removesuffix(".json"): name for name in store.list(f"forgotten/models/{model_key}")}
    marks = forgotten.marks(store) if listed else frozenset()
    return {sample: json.loads(store.read(name))["split"] for sample, name in listed.items() if sample in marks}


def _rank(file: str) -> tuple[int, str]:
    number = file.removesuffix(".json")
    return (int(number), number) if number.isdecimal() else (0, number)


def _unknown_version(store: LocalStore, name: str, number: str) -> str:
    known = names(store)
    if name not in known:
        return f"{name}/{number}: {no_such_name(store, name, known)}"
    numbers = [each.number for each in every(store, name)]
    newest = f"; the newest is {name}/{numbers[-1]}" if numbers else ""
    shown = ", ".join(numbers[-20:]) or "none"
    return f"{name}/{number}: the store {store.where} has no version {number} of {name!r}; it has: {shown}{newest}"


def no_such_name(store: LocalStore, name: str, known: list[str]) -> str:
    """A sentence with the names that there are."""
    has = f"it has: {', '.join(known[:20])}" if known else "it has none: no recipe with a `register` step has run in it"
    return f"the store {store.where} has no registered model {name!r}; {has}{closest(name, known)}"
