"""Roll back: the version in force is barred for good, and the alias returns to the promotion before it.

In: a name and an alias. Out: an entry of the promotion log, which no later run overrules, and MLflow's aliases after it.
"""

from __future__ import annotations

from collections.abc import Sequence

from tasks.contracts import Store, Tracking
from tasks.errors import InputError
from tasks.promotions import Decision, Entry, Reference, append_after, barring, current, read_log


def rollback(
    store: Store, tracking: Tracking, name: str, *, alias: str = "champion", version: str = "", reason: str = "", by: str = ""
) -> Entry:
    """Bar `version`, by default the one that `alias` names. Barring holds for the model too, should it be registered again.

    The entry's `baseline` is what the alias names from now on. Called again with a version that is barred already it repairs the aliases
    only. Raises InputError when there is nothing to roll back, TrackingError when the decision stands but the aliases could not follow.
    """
    from tasks.tracking.aliases import follow

    entries = read_log(store, name)
    entry = barring(entries, version=version) if version else None
    while entry is None:
        entry = append_after(store, name, entries, _decision(entries, name, alias, version, reason, by))
        entries = read_log(store, name, entries)
    follow(store, tracking, entry, f"roll back version {entry.version} again, which then only repairs the aliases", entries)
    return entry


def _decision(entries: Sequence[Entry], name: str, alias: str, version: str, reason: str, by: str) -> Decision:
    promotions = [entry for entry in entries if entry.action == "promoted" and entry.alias == alias]
    if not promotions:
        aliases = ", ".join(sorted({entry.alias for entry in entries if entry.action == "promoted"}))
        raise InputError(f"no version of {name!r} was ever {alias!r}; aliases with a history: {aliases or 'none'}")
    leaving = next((entry for entry in promotions if entry.version == version), None) if version else current(entries, alias)
    if leaving is None and version:
        known = ", ".join(sorted({entry.version for entry in promotions}))
        raise InputError(f"version {version} of {name!r} was never {alias!r}; versions that were: {known}")
    if leaving is None:
        raise InputError(f"no version of {name!r} is {alias!r} now: every one that was is rolled back")
    returns_to = current(entries, alias, without=leaving)
    return Decision(
        action="rollback",
        alias=alias,
        version=leaving.version,
        model_key=leaving.model_key,
        report_key=leaving.report_key,
        baseline=Reference(returns_to.version, returns_to.model_key) if returns_to else None,
        reasons=(reason,) if reason else (),
        by=by,
    )
