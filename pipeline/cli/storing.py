"""gc: what a store no longer needs."""

from __future__ import annotations

from argparse import Namespace
from collections import Counter
from dataclasses import asdict
from typing import TYPE_CHECKING

from pipeline.cli import output
from pipeline.errors import RecipeError
from pipeline.object_store import ObjectStore
from pipeline.store import LocalStore
from pipeline.stores import existing_store

if TYPE_CHECKING:
    from pipeline.gc import Survey

SHOWN = 20
"""Artifacts that are listed one by one."""


def gc(arguments: Namespace) -> int:
    """Say what would go; with --yes, delete it."""
    from pipeline import bucket_gc
    from pipeline import gc as folder_gc

    if arguments.keep_runs < 0 or arguments.grace_s < 0:
        raise RecipeError(f"--keep-runs {arguments.keep_runs}, --grace-s {arguments.grace_s:g}: need 0 or more")
    store = existing_store(arguments.store)
    if isinstance(store, ObjectStore):
        found = (bucket_gc.collect if arguments.yes else bucket_gc.survey)(store, arguments.keep_runs, arguments.grace_s)
    else:
        found = (folder_gc.collect if arguments.yes else folder_gc.survey)(store, arguments.keep_runs, arguments.grace_s)
    if arguments.json:
        output.document(
            {
                "store": store.where,
                "deleted": arguments.yes,
                "bytes": found.num_bytes,
                "garbage": [asdict(item) for item in found.garbage],
                "kept": found.kept,
                "notes": list(found.notes),
            }
        )
    else:
        _tell(found, arguments, store)
    return 0


def _tell(found: Survey, arguments: Namespace, store: LocalStore) -> None:
    artifacts = [item for item in found.garbage if item.what == "artifact"]
    if artifacts:
        rows = [
            [item.name.rpartition("/")[2][:12], output.duration(item.age_s), output.size(item.num_bytes), item.about] for item in artifacts
        ]
        output.table(["artifact", "old", "frees", ""], rows[:SHOWN])
        if len(rows) > SHOWN:
            output.say(f"… and {len(rows) - SHOWN} more; --json lists all")
        output.say("")
    counts = Counter(item.what for item in found.garbage)
    sizes = {what: sum(item.num_bytes for item in found.garbage if item.what == what) for what in counts}
    if counts:
        output.table(
            ["what", "number", "frees"], [[what, output.count(number), output.size(sizes[what])] for what, number in counts.items()]
        )
        output.say("")
    for why, number in found.kept.items():
        output.say(f"kept: {output.count(number)} artifacts for {why}")
    for note in found.notes:
        output.say(f"note: {note}")
    if not counts:
        output.say("nothing to delete")
    elif arguments.yes:
        output.say(f"deleted, {output.size(found.num_bytes)} freed")
    else:
        again = f"medley gc --yes --keep-runs {arguments.keep_runs} --grace-s {arguments.grace_s:g} --store {store.where}"
        output.say(f"nothing was deleted; this frees {output.size(found.num_bytes)}:\n  {again}")
