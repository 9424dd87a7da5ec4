"""audit verify, store verify: is everything as it was written."""

from __future__ import annotations

from argparse import Namespace
from collections.abc import Mapping
from dataclasses import asdict

from pipeline.cli import output
from pipeline.errors import NotFound
from pipeline.store import LocalStore
from pipeline.stores import known_store
from pipeline.tracking import existing_tracking


def audit_verify(arguments: Namespace) -> int:
    """Exit 0 when every entry, version and artifact is as it was written, as far as can be known."""
    from pipeline.audit import audit, audited_names

    store = known_store(arguments.store)
    names = [arguments.name] if arguments.name else audited_names(store)
    found = [audit(store, name, _tags(arguments, store, name)) for name in names]
    wrong = sum(len(each.problems) for each in found)
    if arguments.json:
        output.document({"store": store.where, "ok": not wrong, "names": [asdict(each) for each in found]})
        return 1 if wrong else 0
    for each in found:
        for problem in each.problems:
            output.say(f"wrong: {each.name}: {problem}")
        counts = f"{_counted(each.entries, 'entry', 'entries')}, {_counted(each.versions, 'version', 'versions')}"
        output.say(f"{each.name}: {counts}, {len(each.problems) or 'nothing'} wrong")
        for what in each.unknown:
            output.say(f"  not known: {what}" if not what.startswith("the hash to keep") else f"  {what}")
    if not found:
        output.say(f"{store.where} has no registered model and no promotion log")
    return 1 if wrong else 0


def _counted(number: int, one: str, several: str) -> str:
    return f"{output.count(number)} {one if number == 1 else several}"


def _tags(arguments: Namespace, store: LocalStore, name: str) -> Mapping[str, Mapping[str, str]] | None:
    """What MLflow says, where there is one to ask."""
    if arguments.no_tracking:
        return None
    try:
        tracking = existing_tracking(store, arguments.tracking)
    except NotFound:
        return None
    from tasks.tracking.look import version_tags

    return version_tags(tracking, name)


def store_verify(arguments: Namespace) -> int:
    """Exit 0 when every file of every artifact is as its manifest says."""
    from pipeline.sample_lineage import artifact_keys
    from pipeline.verify import verify

    store = known_store(arguments.store)
    keys = [key for key in artifact_keys(store) if key.startswith(arguments.key)]
    if arguments.key and not keys:
        raise NotFound(f"the store {store.where} has no artifact whose key begins with {arguments.key!r}; `medley status` lists keys")
    problems = {key: found for key in keys if (found := verify(store, key))}
    if arguments.json:
        output.document({"store": store.where, "ok": not problems, "artifacts": len(keys), "problems": problems})
        return 1 if problems else 0
    for key, found in problems.items():
        for problem in found:
            output.say(f"wrong: {problem}")
        output.say(f"  {store.artifact_path(key)}")
    output.say(f"{output.count(len(keys))} artifacts, {len(problems) or 'nothing'} wrong")
    return 1 if problems else 0
