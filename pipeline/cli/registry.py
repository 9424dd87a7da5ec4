"""rollback."""

from __future__ import annotations

from argparse import Namespace
from dataclasses import asdict

from pipeline.cli import output
from pipeline.cli.promoting import herald, tell_astray, tracking, user
from pipeline.errors import RecipeError
from pipeline.stores import known_store


def rollback(arguments: Namespace) -> int:
    """Bar the version in force and bring back the one before."""
    from tasks.rollback import rollback as roll_back

    name, at, alias = arguments.model.partition("@")
    if not at or not name or not alias:
        raise RecipeError(f"{arguments.model}: give NAME@ALIAS, such as digits@champion")
    store = known_store(arguments.store)
    there, tell = tracking(arguments, store), herald(arguments)
    tell_astray(store, there, name)
    by = arguments.by or user()
    entry = roll_back(store, there, name, alias=alias, version=arguments.version, reason=arguments.reason, by=by)
    tell(entry)
    back = entry.baseline.version if entry.baseline else None
    if arguments.json:
        output.document(asdict(entry))
    else:
        now = f"{name}@{alias} is version {back} again" if back else f"nothing is {name}@{alias} now"
        output.say(f"version {entry.version} of {name} is barred; {now} (entry {entry.n} of the promotion log)")
    return 0
