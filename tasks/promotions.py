"""The promotion log: which version may stand in for a name, and every decision that led there.

In: a store and decisions. Out: objects `promotions/<name>/<n>.json`, n = 1, 2, …, each written by create-if-absent and holding the
sha256 of the one before: compare-and-set and audit chain in one. The log is the truth; MLflow's aliases are a projection of it.
Planning reads it, so this imports neither mlflow nor anything else that is slow.
"""

from __future__ import annotations

import dataclasses
import datetime as dt
import hashlib
import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal, get_args

from tasks.contracts import FORMAT_VERSION, Json, Store
from tasks.errors import CorruptArtifact, InputError
from tasks.seals import seal

Action = Literal["promoted", "refused", "pending", "rollback", "marked"]

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,127}")


@dataclass(frozen=True)
class Reference:
    """A registered version and the model it holds."""

    version: str
    model_key: str


@dataclass(frozen=True, kw_only=True)
class Decision:
    """What was decided, and from which numbers."""

    action: Action
    """promoted: the alias goes to `version`. refused: it stays. rollback: `version` is barred for good. marked: `version` saw a
    sample that was forgotten since; nothing follows from it but what people decide, and `alias` is empty."""
    alias: str
    version: str
    model_key: str
    report_key: str = ""
    step_key: str = ""
    """Key of the promote step that decided; by it a repeated step finds its own entry. Empty for a rollback."""
    baseline: Reference | None = None
    """promoted, refused: what the report compared with. rollback: what the alias returned to. None = nothing."""
    reasons: tuple[str, ...] = ()
    numbers: Mapping[str, Json] = field(default_factory=dict)
    best: Reference | None = None
    """The best champion ever, when the report compared with it too."""
    leads: bool = False
    """Measured better than that by a standard error: when it is promoted, it is the best champion from now on."""
    rules: Mapping[str, Json] = field(default_factory=dict)
    """The promote step's config that was decided by; empty where none was."""
    by: str = ""
    """The person who decided; empty = the gate alone."""
    answers: int = 0
    """The pending entry that this one approves or rejects; 0 = none."""


@dataclass(frozen=True, kw_only=True)
class Entry(Decision):
    """A decision at its place in the log of a name."""

    n: int
    name: str
    time: str
    """UTC, ISO 8601; for people. Order is by `n` alone."""
    previous: str
    """sha256 of the bytes of entry n - 1; empty for the first."""
    digest: str
    """sha256 of this entry's own bytes; not written into them."""


def check_name(name: str) -> str:
    """The name of a registered model, when it is one. Raises InputError."""
    if not _NAME.fullmatch(name):
        raise InputError(
            f"{name!r} cannot name a registered model; allowed: 1 to 128 letters, digits, '_', '-' and '.', the first a letter or digit"
        )
    return name


def read_log(store: Store, name: str, known: Sequence[Entry] = ()) -> list[Entry]:
    """All entries in order, checked to be one unbroken chain; `known` are entries read before, not read again.

    With entries known it costs what is new, however long the log is. Raises CorruptArtifact when an entry is damaged, edited or missing in
    between, InputError for a name that cannot be one.
    """
    check_name(name)
    entries = list(known)
    while True:
        n = len(entries) + 1
        try:
            data = store.read(_object_name(name, n))
        except FileNotFoundError:
            later = _after(store, name, n, look_far=not known)
            if not later:
                return entries
            if n not in later and not store.exists(_object_name(name, n)):  # else it was written while we were looking
                raise CorruptArtifact(
                    f"the promotion log of {name!r} has entry {min(later)} but no entry {n}: it was removed; restore "
                    f"{_object_name(name, n)} in the store from a backup"
                ) from None
            continue
        entry = _parse(data, _object_name(name, n))
        verify_chain([entry], after=entries[-1] if entries else None)
        entries.append(entry)


def read_entry(store: Store, name: str, n: int) -> Entry:
    """One entry, whatever the others are. Raises FileNotFoundError, and CorruptArtifact for one that is damaged."""
    return _parse(store.read(_object_name(check_name(name), n)), _object_name(name, n))


def verify_chain(entries: Sequence[Entry], after: Entry | None = None) -> None:
    """Raises CorruptArtifact at the first entry that does not continue the one before (`after`, for the first of `entries`)."""
    for entry in entries:
        expected_n, expected_previous = (after.n + 1, after.digest) if after else (1, "")
        if entry.n != expected_n or entry.previous != expected_previous or (after and entry.name != after.name):
            raise CorruptArtifact(
                f"the promotion log of {entry.name!r} is broken at entry {expected_n}: it does not hold the hash of the entry before, so "
                f"one of the two was edited or replaced; restore promotions/{entry.name} in the store from a backup"
            )
        after = entry


def append(store: Store, name: str, decision: Decision, known: Sequence[Entry] = ()) -> Entry:
    """Append whatever the log holds by then; for decisions that do not depend on it. Others take `append_after`."""
    entries = read_log(store, name, known)
    while (entry := append_after(store, name, entries, decision)) is None:
        entries = read_log(store, name, entries)
    return entry


def append_after(store: Store, name: str, entries: Sequence[Entry], decision: Decision) -> Entry | None:
    """Append only if the log still ends where `entries` does. None when another writer was first: read again and decide again."""
    fields = {item.name: getattr(decision, item.name) for item in dataclasses.fields(Decision)}
    document = fields | {
        "format": FORMAT_VERSION,
        "n": len(entries) + 1,
        "name": check_name(name),
        "time": dt.datetime.now(dt.UTC).isoformat(timespec="milliseconds"),
        "previous": entries[-1].digest if entries else "",
        "baseline": dataclasses.asdict(decision.baseline) if decision.baseline else None,
        "best": dataclasses.asdict(decision.best) if decision.best else None,
    }
    data = f"{json.dumps(document, indent=1, sort_keys=True, ensure_ascii=False, allow_nan=False)}\n".encode()
    object_name = _object_name(name, len(entries) + 1)
    if entries:
        seal(store, name, entries[-1].n, entries[-1].digest)  # whoever wrote it may have been killed before it could
    if not store.create(object_name, data):
        return None
    entry = _parse(data, object_name)
    seal(store, name, entry.n, entry.digest)
    return entry


def current(entries: Sequence[Entry], alias: str, without: Entry | None = None) -> Entry | None:
    """The promotion in force: the latest of this alias whose version no rollback has barred. `without`: as if that one were barred too."""
    for entry in reversed(entries):
        if entry.action != "promoted" or entry.alias != alias or is_barred(entries, entry.version, entry.model_key):
            continue
        if without is None or (entry.version != without.version and entry.model_key != without.model_key):
            return entry
    return None


def barring(entries: Sequence[Entry], version: str = "", model_key: str = "") -> Entry | None:
    """The rollback that bars this version or this model, under whatever version number it comes back. None = not barred."""
    for entry in entries:
        if entry.action == "rollback" and ((version and entry.version == version) or (model_key and entry.model_key == model_key)):
            return entry
    return None


def is_barred(entries: Sequence[Entry], version: str = "", model_key: str = "") -> bool:
    """Whether a rollback bars this version or this model."""
    return barring(entries, version, model_key) is not None


def of_step(entries: Sequence[Entry], step_key: str) -> Entry | None:
    """The decision a promote step of this key already made."""
    return next((entry for entry in entries if step_key and entry.step_key == step_key), None)


def baseline_for(entries: Sequence[Entry], alias: str, model_key: str) -> Reference | None:
    """What a model has to beat: the champion, or for the champion itself what it was compared with when it was promoted.

    With this a run that made the champion stays cached when nothing else has changed since.
    """
    champion = current(entries, alias)
    if champion is None:
        return None
    return champion.baseline if champion.model_key == model_key else Reference(champion.version, champion.model_key)


def _object_name(name: str, n: int) -> str:
    return f"promotions/{name}/{n}.json"


def _after(store: Store, name: str, n: int, *, look_far: bool) -> list[int]:
    """Numbers from n on that the log has, though reading found no n. Listing all costs as much as the log is long, so once is enough."""
    if not look_far:
        return [number for number in (n, n + 1) if store.exists(_object_name(name, number))]
    stems = (object_name.rpartition("/")[2].removesuffix(".json") for object_name in store.list(f"promotions/{name}"))
    return [number for number in (int(stem) for stem in stems if stem.isdecimal()) if number >= n]


def _parse(data: bytes, object_name: str) -> Entry:
    try:
        document = json.loads(data)
        entry = _entry(document, hashlib.sha256(data).hexdigest()) if document["format"] <= FORMAT_VERSION else None
    except (ValueError, KeyError, TypeError) as error:
        raise CorruptArtifact(f"{object_name} in the store is damaged ({error!r}); restore it from a backup") from error
    if entry is None:
        raise CorruptArtifact(f"{object_name} was written by a newer Medley (format {document['format']}); upgrade medley-pipeline")
    if entry.action not in get_args(Action) or _object_name(entry.name, entry.n) != object_name:
        raise CorruptArtifact(
            f"{object_name} in the store holds entry {entry.n} of {entry.name!r}, action {entry.action!r}; restore it from a backup"
        )
    return entry


def _entry(document: Mapping[str, Json], digest: str) -> Entry:
    added: dict[str, Json] = {"best": None, "leads": False, "rules": {}, "by": "", "answers": 0}  # which entries of an older Medley lack
    fields = {item.name: document[item.name] for item in dataclasses.fields(Entry) if item.name not in (*added, "digest")}
    fields |= {name: document.get(name, without) for name, without in added.items()}
    for name in ("baseline", "best"):
        fields[name] = Reference(**fields[name]) if fields[name] else None
    fields["reasons"] = tuple(fields["reasons"])
    return Entry(**fields, digest=digest)
