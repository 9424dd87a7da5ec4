"""trace: from a version back to its sources, from a sample on to the models that saw it."""

from __future__ import annotations

from argparse import Namespace
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from pipeline import versions
from pipeline.cli import output
from pipeline.errors import NotFound, RecipeError
from pipeline.shared_runs import pull
from pipeline.store import LocalStore
from pipeline.stores import known_store
from pipeline.tracking import existing_tracking
from tasks.errors import TrackingError
from tasks.tracking.server import redacted

if TYPE_CHECKING:
    from pipeline.lineage import Origin
    from pipeline.sample_lineage import Place, Reached, SampleLineage

SHOWN = 20
"""Lines of a list that are printed; --json has all."""


def trace(arguments: Namespace) -> int:
    """A version's origin or a sample's way, by what the argument looks like."""
    store = known_store(arguments.store)
    pull(store, None)
    if not arguments.key and versions.is_reference(arguments.what, store):
        return _version(arguments, store)
    if arguments.samples:
        raise RecipeError(
            f"--samples is for versions, and {arguments.what!r} reads as the key of a sample; a version is NAME@ALIAS or NAME/3"
        )
    return _sample(arguments, store)


# ---- versions ----------------------------------------------------------------------------------------------------------


def _version(arguments: Namespace, store: LocalStore) -> int:
    from pipeline.lineage import ancestry

    version = versions.find(store, arguments.what)
    roots = [key for key in (version.report_key, version.model_key) if key]
    origins = ancestry(store, *roots)
    if arguments.samples:
        return _samples(arguments, store, ancestry(store, *roots, rivals=False))
    document = {
        "asked": arguments.what,
        "store": store.where,
        "version": {**asdict(version), "uri": version.uri},
        "aliases": versions.aliases_of(store, version.name, version.number),
        "log": versions.history(store, version),
        "saw_forgotten": versions.forgotten_samples(store, version.model_key),
        "mlflow": _confirmed(arguments, store, version),
        "artifacts": [asdict(origin) for origin in origins],
    }
    if arguments.json:
        output.document(document)
    else:
        _tell_version(document, version, origins, roots)
    return 0


def _confirmed(arguments: Namespace, store: LocalStore, version: versions.Registered) -> dict[str, Any] | None:
    """What MLflow says the aliases are, beside what the log says; None where there is no MLflow that answers at once."""
    from tasks.tracking.glance import aliases_at

    try:
        tracking = existing_tracking(store, arguments.tracking)
        found = aliases_at(tracking, version.name)
    except NotFound:
        return None
    except TrackingError as error:
        return {"uri": redacted(tracking.uri), "problem": str(error)}
    if found is None:
        return None
    mine = sorted(alias for alias, number in found.items() if number == version.number)
    return {"uri": redacted(tracking.uri), "aliases": mine, "agrees": mine == versions.aliases_of(store, version.name, version.number)}


def _tell_version(document: Mapping[str, Any], version: versions.Registered, origins: Sequence[Origin], roots: Sequence[str]) -> None:
    aliases = "".join(f" @{alias}" for alias in document["aliases"])
    output.say(f"{version.name}/{version.number}{aliases}")
    for entry in document["log"]:
        why = f": {'; '.join(entry['reasons'])}" if entry["reasons"] else ""
        decided = " ".join(filter(None, (entry["action"], entry["alias"])))
        by = f", by {entry['by']}" if entry["by"] else ""
        output.say(f"  {_at(entry['time'])}  {decided}  (entry {entry['n']} of the log{by}){why}")
    if not document["log"]:
        output.say("  nothing was decided on it yet")
    if document["saw_forgotten"]:
        number = len(document["saw_forgotten"])
        output.say(f"  it saw {number} sample{'s' if number > 1 else ''} that {'were' if number > 1 else 'was'} forgotten since")
    confirmed = document["mlflow"] or {}
    if "problem" in confirmed:
        output.say(f"  MLflow was not asked: {confirmed['problem']}")
    elif confirmed:
        said = "".join(f" @{alias}" for alias in confirmed["aliases"]) or " no alias"
        output.say(f"  MLflow {'agrees' if confirmed['agrees'] else f'differs, it says{said}'} ({confirmed['uri']})")
    by_key = {origin.key: origin for origin in origins}
    told: set[str] = set()
    for number, root in enumerate(roots):
        for line in _tree(root, by_key, told, "", is_last=number == len(roots) - 1):
            output.say(line)
    _tell_code(origins)


def _tree(key: str, by_key: Mapping[str, Origin], told: set[str], lead: str, role: str = "", *, is_last: bool) -> Iterator[str]:
    """The artifact and all behind it, below a drawn branch; what was told before in one line. `role` is what it is to the one above it."""
    from pipeline.lineage import RIVALS

    origin = by_key[key]
    here, below = lead + ("└─ " if is_last else "├─ "), lead + ("   " if is_last else "│  ")
    title = f"{here}{role}{origin.kind or 'artifact'} {key[:12]}"
    if key in told:
        yield f"{title}  (above)"
        return
    told.add(key)
    yield f"{title}  {_made(origin)}"
    own = dict.fromkeys(source for name, source in origin.inputs.items() if name not in RIVALS)
    rivals = {source: f"compared with its {name}: " for name, source in origin.inputs.items() if name in RIVALS}
    sources = [*((source, "") for source in own), *rivals.items()]
    bar = "│  " if sources else "   "
    for line in _facts(origin):
        yield f"{below}{bar}{line}"
    for number, (source, as_what) in enumerate(sources):
        yield from _tree(source, by_key, told, below, as_what, is_last=number == len(sources) - 1)


def _made(origin: Origin) -> str:
    if not origin.there and not origin.task:
        return "is not in the store any more, and no run of it says what it was made from"
    at = f", {_at(origin.made)}" if origin.made else ""
    made = f"step {origin.step} of {origin.recipe}, run {origin.run}{at}"
    return made if origin.there else f"{made}; it is not in the store any more, the plan of that run says what it was"


def _facts(origin: Origin) -> Iterator[str]:
    from pipeline.cli.display import headline

    if line := headline(origin.summary):
        yield line
    shards = origin.facts.get("shards", [])
    for shard in shards[:SHOWN]:
        yield f"{shard['name']}  sha256 {shard['sha256'][:16]}…  {output.count(shard['samples'])} samples  {output.size(shard['bytes'])}"
    if len(shards) > SHOWN:
        yield f"… and {len(shards) - SHOWN} more tars; --json lists all"
    if source := origin.config.get("source"):
        settings = ", ".join(f"{name} {value}" for name, value in source.items() if name != "format" and value not in (None, "", {}, []))
        snapshot = str(origin.identity.get("snapshot", ""))
        yield f"source {source.get('format', '')}{f': {settings}' if settings else ''}{f'; snapshot {snapshot[:16]}…' if snapshot else ''}"


def _tell_code(origins: Sequence[Origin]) -> None:
    """Code revisions and library versions; usually one set made all of it."""
    sets: dict[tuple[Any, ...], list[str]] = {}
    for origin in origins:
        if origin.there:
            sets.setdefault((origin.code_revision, *sorted(origin.libraries.items())), []).append(origin.step)
    for (revision, *libraries), steps in sets.items():
        which = "" if len(sets) == 1 else f" of {', '.join(steps)}"
        output.say(f"code{which}: revision {revision or 'unknown'}{''.join(f', {name} {number}' for name, number in libraries)}")


def _at(time: str) -> str:
    return f"{time[:19].replace('T', ' ')} UTC"


# ---- samples of a version ----------------------------------------------------------------------------------------------


def _samples(arguments: Namespace, store: LocalStore, origins: Sequence[Origin]) -> int:
    """Every row of the ledgers behind a version, a batch at a time: JSON lines with --json, else CSV."""
    from pipeline.ledgers import COLUMNS, ledger

    behind = [origin for origin in origins if origin.kind == "shards"]
    there = [origin for origin in behind if origin.there]
    if not there:
        gone = ", ".join(origin.key[:12] for origin in behind)
        raise NotFound(
            f"{arguments.what}: its shards are not in the store any more{f' ({gone})' if gone else ''}, so there is no ledger to list; "
            "running its recipe again makes them anew"
        )
    listed = (row for origin in there for row in ledger(store, origin))
    if arguments.json:
        for row in listed:
            output.line(row)
        return 0
    output.comma_separated(COLUMNS, ({**row, "dropped": " ".join(row["dropped"]), "members": _digests(row["members"])} for row in listed))
    return 0


def _digests(members: Mapping[str, str] | None) -> str:
    return " ".join(f"{modality}:{digest}" for modality, digest in (members or {}).items())


# ---- samples -----------------------------------------------------------------------------------------------------------


def _sample(arguments: Namespace, store: LocalStore) -> int:
    from pipeline.sample_lineage import trace as trace_sample

    found = trace_sample(store, arguments.what)
    if arguments.json:
        output.document({"asked": arguments.what, "store": store.where, **asdict(found)})
    else:
        _tell_sample(found)
    return 0


def _tell_sample(found: SampleLineage) -> None:
    output.say(f"sample {found.key}")
    if found.forgotten:
        why = f": {found.forgotten['reason']}" if found.forgotten["reason"] else ""
        output.say(f"  forgotten {_at(found.forgotten['time'])}{why}")
    for kind in dict.fromkeys(place.kind for place in found.places):
        output.say(f"in {kind}:")
        for place in [each for each in found.places if each.kind == kind]:
            _tell_place(place)
    output.say("models made from these shards:" if found.models else "no model was made from it")
    for model in found.models:
        names = ", ".join((*model.versions, *model.aliases)) or "never registered"
        gone = "" if model.there else "  (not in the store any more)"
        output.say(f"  {model.key[:12]}  {model.step} of {model.recipe}, run {model.run}{gone}")
        output.say(f"    {_saw(model)}; {names}")
    if found.runs:
        output.say(f"runs: {', '.join(found.runs[:SHOWN])}{f' and {len(found.runs) - SHOWN} more' if len(found.runs) > SHOWN else ''}")
    for note in found.notes:
        output.say(f"note: {note}")


def _tell_place(place: Place) -> None:
    output.say(f"  {place.key[:12]}  {place.step} of {place.recipe}, run {place.run}")
    if place.status:
        reason = place.reason or (f"of {place.duplicate_of}" if place.duplicate_of else "")
        tar = f" in {place.shard} (sha256 {place.sha256[:16]}…)" if place.shard else ""
        output.say(f"    {place.status}{f' {reason}' if reason else ''}{tar}{f', split {place.split}' if place.split else ''}")
    elif place.split:
        labels = "".join(f", {name} {value}" for name, value in place.labels.items())
        output.say(f"    split {place.split}, group {place.group or place.key}{labels}")
    for member in place.members:
        span = f" bytes {member.offset}+{member.length}" if member.offset is not None else ""
        output.say(f"    {member.modality}  sha256 {member.sha256[:16]}…  {member.uri or 'in the table'}{span}")


def _saw(model: Reached) -> str:
    return f"saw it ({' and '.join(model.splits)})" if model.saw else f"never looked at it while training ({' and '.join(model.splits)})"
