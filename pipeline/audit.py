"""Was anything of the promotion log edited, deleted or put in another order; and of the versions it speaks of.

In: a store, a name, and what MLflow knows if it was asked. Out: an `Audit`: what is wrong, and what nobody can know. An entry is held
against four witnesses: the entry after it, which holds its hash; its seal; the decision that its run published; and the tags of the version
in MLflow, which say the number and hash of an entry that was there. Must not import ray, torch or mlflow.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from pipeline import versions
from pipeline.errors import NotFound, StoreError
from pipeline.lineage import file_bytes
from pipeline.store import LocalStore
from pipeline.verify import verify
from tasks import promotions, seals
from tasks.errors import CorruptArtifact
from tasks.promotions import Entry

BACKUP = "restore it from a backup"
ENTRY_TAG, DIGEST_TAG = "medley.decision.entry", "medley.decision.digest"
"""Tags of a version in MLflow: number and hash of the last decision on it (`tasks.tracking.aliases`)."""


@dataclass(frozen=True)
class Audit:
    """What was found on one name."""

    name: str
    entries: int
    """Entries of the log that are there."""
    versions: int
    problems: tuple[str, ...]
    unknown: tuple[str, ...]
    """What cannot be known from what there is."""


@dataclass(frozen=True)
class Anchor:
    """Somebody else's word that an entry was there."""

    n: int
    digest: str
    who: str


def audited_names(store: LocalStore) -> list[str]:
    """Names that anything of a log or a version is left of."""
    return sorted({*versions.names(store), *(place.split("/")[1] for place in store.list("seals"))})


def audit(store: LocalStore, name: str, tags: Mapping[str, Mapping[str, str]] | None = None) -> Audit:
    """Check everything on a name. `tags`: number → tags of its versions in MLflow; None = it was not asked.

    Raises NotFound for a name that has neither versions nor a log.
    """
    known = audited_names(store)
    if name not in known:
        raise NotFound(versions.no_such_name(store, name, known))
    decided = [*_decisions(store, name)]
    anchors = [anchor for _, anchor in decided] + [*_of_mlflow(tags or {})]
    entries, problems = _walk(store, name)
    problems += _sealed(store, name, entries, unread=set(_numbers(store, name)) - entries.keys())
    problems += _anchored(store, name, entries, anchors)
    registered, of_versions, uncovered = _versions(store, name, [key for key, _ in decided])
    problems += of_versions
    problems += _against_mlflow(store, name, tags)
    unknown = [*_unknown(store, name, entries, anchors, asked=tags is not None), *uncovered]
    return Audit(name, len(_numbers(store, name)), registered, tuple(problems), tuple(unknown))


# ---- the log -----------------------------------------------------------------------------------------------------------


def _walk(store: LocalStore, name: str) -> tuple[dict[int, Entry], list[str]]:
    """Entries that can be read, and what breaks the chain. Gaps are told once, by their ends."""
    entries: dict[int, Entry] = {}
    problems = []
    there = _numbers(store, name)
    for number in there:
        try:
            entries[number] = promotions.read_entry(store, name, number)
        except CorruptArtifact as error:
            problems.append(str(error))
    missing = sorted(set(range(1, max(there, default=0) + 1)) - set(there))
    problems += [f"entry {number} is missing: promotions/{name}/{number}.json was removed; {BACKUP}" for number in missing]
    for place in store.list(f"promotions/{name}"):
        stem = place.removeprefix(f"promotions/{name}/").removesuffix(".json")
        if not (stem.isdecimal() and stem == str(int(stem)) and int(stem) > 0):
            problems.append(f"{place} is no entry of the log; it was renamed or put there")
    for number, entry in entries.items():
        before = entries.get(number - 1)
        if number == 1 and entry.previous:
            problems.append("entry 1 says that another one was before it: it was edited, or the log was renumbered; " + BACKUP)
        elif before is not None and entry.previous != before.digest:
            problems.append(f"entry {number} does not hold the hash of entry {number - 1}: one of the two was edited or replaced; {BACKUP}")
    return entries, problems


def _numbers(store: LocalStore, name: str) -> list[int]:
    """Numbers of the entries that are there."""
    stems = (place.rpartition("/")[2].removesuffix(".json") for place in store.list(f"promotions/{name}"))
    return sorted(int(stem) for stem in stems if stem.isdecimal() and stem == str(int(stem)))


def _sealed(store: LocalStore, name: str, entries: Mapping[int, Entry], unread: set[int]) -> list[str]:
    """Every seal against its entry. An entry that cannot be read is told already."""
    problems = []
    numbers = seals.sealed(store, name)
    for number in numbers:
        entry = entries.get(number)
        if entry is not None:
            if store.read(seals.seal_name(name, number)) != seals.content(name, number, entry.digest):
                problems.append(
                    f"entry {number} is not the one that was sealed: it or {seals.seal_name(name, number)} was edited; {BACKUP}"
                )
        elif number not in unread and number > max(entries, default=0):
            problems.append(f"entry {number} was sealed and is missing: the log was cut off; {BACKUP}")
    last = max(entries, default=0)
    begun = min(numbers, default=last)  # a log from before entries were sealed has no seals for its first ones
    bare = [number for number in sorted(entries.keys() - set(numbers) - {last}) if number > begun]
    problems += [f"the seal of entry {number} is missing: {seals.seal_name(name, number)} was removed; {BACKUP}" for number in bare]
    for place in store.list(f"seals/{name}"):
        stem = place.removeprefix(f"seals/{name}/").removesuffix(".json")
        if not (stem.isdecimal() and stem == str(int(stem))):
            problems.append(f"{place} is no seal; it was renamed or put there")
    return problems


def _anchored(store: LocalStore, name: str, entries: Mapping[int, Entry], anchors: list[Anchor]) -> list[str]:
    last = max(_numbers(store, name), default=0)
    problems = {}
    for anchor in anchors:
        entry = entries.get(anchor.n)
        if entry is None and anchor.n > last:
            problems[anchor.n, anchor.who] = (
                f"{anchor.who} knows of entry {anchor.n}, and the log ends with entry {last}: it was cut off; {BACKUP}"
            )
        elif entry is not None and entry.digest != anchor.digest:
            problems[anchor.n, anchor.who] = f"entry {anchor.n} is not the one that {anchor.who} knows: one of the two was edited; {BACKUP}"
    return list(problems.values())


def _decisions(store: LocalStore, name: str) -> Iterator[tuple[str, Anchor]]:
    """Key of each published decision on this name, and the entry that it was."""
    from pipeline.sample_lineage import artifact_keys

    for key in artifact_keys(store):
        try:
            manifest = store.manifest(key)
            if manifest is None or manifest["kind"] != "decision" or manifest["summary"].get("name") != name:
                continue
            entry = json.loads(file_bytes(store, manifest, "decision.json"))["log"]
            yield key, Anchor(entry["n"], entry["digest"], f"the decision {key[:12]}")
        except (StoreError, OSError, ValueError, KeyError, TypeError):
            continue  # what is wrong with an artifact is told where artifacts are looked at


def _of_mlflow(tags: Mapping[str, Mapping[str, str]]) -> Iterator[Anchor]:
    for number, given in tags.items():
        n, digest = given.get(ENTRY_TAG, ""), given.get(DIGEST_TAG, "")
        if n.isdecimal() and digest:
            yield Anchor(int(n), digest, f"version {number} in MLflow")


def _unknown(store: LocalStore, name: str, entries: Mapping[int, Entry], anchors: list[Anchor], *, asked: bool) -> Iterator[str]:
    last = max(entries, default=0)
    numbers = set(seals.sealed(store, name))
    bare = sorted(entries.keys() - numbers - {anchor.n for anchor in anchors})
    if last and last in bare:
        yield f"entry {last}, the last, has no seal and nothing else speaks of it: an edit of it would not be noticed"
    elif bare and not numbers:
        yield "the entries are from before entries were sealed: the chain covers all but the last"
    yield (
        f"whether entries after {last} were there once and were removed together with their seals, their decisions and what MLflow says: "
        "a backup, or a copy of the last hash kept elsewhere, would tell"
    )
    if last in entries:
        yield f"the hash to keep elsewhere: entry {last} sha256 {entries[last].digest}"
    if not asked:
        yield "MLflow was not asked (--tracking URI): whether its tags know of more entries"


# ---- versions ----------------------------------------------------------------------------------------------------------


def _versions(store: LocalStore, name: str, decisions: list[str]) -> tuple[int, list[str], list[str]]:
    """How many versions there are, what is wrong with them and their artifacts, and what no digest covers."""
    problems: list[str] = []
    gone: list[str] = []
    keys = dict.fromkeys(decisions)
    number = 0
    for place in store.list(f"versions/{name}"):
        number += 1
        try:
            version = versions.read(store, name, place.rpartition("/")[2].removesuffix(".json"))
        except StoreError as error:
            problems.append(str(error))
            continue
        keys |= dict.fromkeys(key for key in (version.model_key, version.report_key) if key)
        problems += _published(store, place, version, keys, gone)
        problems += _digests(store, version)
    for key in keys:
        if _manifest(store, key) == {}:
            gone.append(key)
        else:
            problems += verify(store, key, shards=False)
    told = [f"{len(set(gone))} artifacts behind the versions are not in the store any more: they cannot be checked"] if gone else []
    return number, problems, told


def _published(store: LocalStore, place: str, version: versions.Registered, keys: dict[str, None], gone: list[str]) -> Iterator[str]:
    """The version as planning reads it against the one that its step published."""
    key = version.tags.get("medley.step_key", "")
    if not key:
        return
    keys[key] = None
    try:
        manifest = store.manifest(key)
        if manifest is None:
            gone.append(key)
        elif file_bytes(store, manifest, "version.json") != store.read(place):
            yield f"{place} is not what the register step {key[:12]} published: one of the two was edited; {BACKUP}"
    except StoreError:
        return  # told where artifacts are looked at
    except FileNotFoundError:
        gone.append(key)


def _digests(store: LocalStore, version: versions.Registered) -> Iterator[str]:
    """Manifests of which the version holds the hash."""
    for tag, key in (("medley.manifest_digest", version.model_key), ("medley.report_manifest_digest", version.report_key)):
        wanted = version.tags.get(tag, "")
        try:
            found = hashlib.sha256(store.read(f"artifacts/{key[:2]}/{key}/manifest.json")).hexdigest() if wanted else ""
        except FileNotFoundError:
            continue
        if found != wanted:
            yield f"the manifest of {key[:12]} is not the one that {version.name}/{version.number} was registered with; {BACKUP}"


def _manifest(store: LocalStore, key: str) -> Mapping[str, Any] | None:
    """Empty when there is none; None when it cannot be read."""
    try:
        return store.manifest(key) or {}
    except StoreError:
        return None


def _against_mlflow(store: LocalStore, name: str, tags: Mapping[str, Mapping[str, str]] | None) -> Iterator[str]:
    """The version's own tags are copied into MLflow: whoever edits the one would have to edit the other."""
    for number, given in (tags or {}).items():
        try:
            version = versions.read(store, name, number)
        except NotFound:
            yield f"MLflow has version {number} of {name!r} and the store has not: versions/{name}/{number}.json was removed; {BACKUP}"
            continue
        except StoreError:
            continue  # told where versions are read
        for tag in ("medley.model_key", "medley.report_key", "medley.manifest_digest", "medley.report_manifest_digest"):
            if given.get(tag, "") != version.tags.get(tag, ""):
                yield f"{name}/{number}: MLflow's tag {tag} is not what the store has; one of the two was edited"
