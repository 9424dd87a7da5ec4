"""MLflow's aliases follow the promotion log.

In: a store with the log. Out: aliases in MLflow that say the same. The log is the truth, so this may be done by anyone, at any time, again.
"""

from __future__ import annotations

from tasks.contracts import Store, Tracking
from tasks.errors import TrackingError
from tasks.promotions import Entry, current, read_log
from tasks.tracking.registry import set_alias


def project(store: Store, tracking: Tracking, name: str) -> dict[str, str]:
    """Set every alias that was ever given; alias → version, empty where none is in force. Raises TrackingError.

    The log is read again after the aliases are set: of several processes that project at once, the last to finish has seen every entry.
    """
    entries = read_log(store, name)
    while True:
        aliases = sorted({entry.alias for entry in entries if entry.action == "promoted"})
        in_force = {alias: entry.version if (entry := current(entries, alias)) else "" for alias in aliases}
        for alias, version in in_force.items():
            set_alias(tracking, name, alias, version)
        later = read_log(store, name, entries)
        if len(later) == len(entries):
            return in_force
        entries = later


def follow(store: Store, tracking: Tracking, entry: Entry, repair: str) -> None:
    """`project` after an entry was written. Raises TrackingError that says the decision stands, and `repair`: what sets the alias later.

    Without MLflow the log alone is kept.
    """
    if not tracking.uri:
        return
    try:
        project(store, tracking, entry.name)
    except TrackingError as error:
        raise TrackingError(
            f"version {entry.version} of {entry.name!r}: the decision ({entry.action}) stands, it is entry {entry.n} of the promotion log; "
            f"only MLflow's alias {entry.alias!r} could not follow. {error}. To set it, {repair}"
        ) from error
