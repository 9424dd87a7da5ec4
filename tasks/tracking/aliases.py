"""MLflow follows the promotion log: aliases, and on each version what was decided about it.

In: a store with the log. Out: aliases in MLflow that say the same, tags and `decision.json` on the version. The log is the truth, so this
may be done by anyone, at any time, again. An alias that somebody moved in MLflow is noticed and told, never silently overruled.
"""

from __future__ import annotations

import dataclasses
import json
import shlex
from collections.abc import Sequence
from dataclasses import dataclass

from tasks.contracts import Json, Store, Tracking
from tasks.errors import TrackingError
from tasks.promotions import Entry, read_log
from tasks.standings import CHAMPION, aliases
from tasks.tracking.glance import aliases_at


@dataclass(frozen=True)
class Astray:
    """An alias that names another version in MLflow than the log says."""

    name: str
    alias: str
    logged: str
    """The log's version; empty = none."""
    found: str
    """MLflow's; empty = none."""
    store: str = ""
    """Where the log is."""

    def __str__(self) -> str:
        return (
            f"MLflow's alias {self.name}@{self.alias} {_names(self.found)}, the promotion log says {_version(self.logged)}: it was moved "
            "by hand, or a run ended before it could set it"
        )

    @property
    def repaired(self) -> str:
        """What to say when it is set back."""
        instead = f"; to keep version {self.found} instead: `{self.adopt}`" if self.adopt else ""
        return f"{self}; it is set back{instead}"

    @property
    def adopt(self) -> str:
        """The command that makes what MLflow says the truth; empty where that cannot be."""
        if not self.found or self.alias != CHAMPION:
            return ""
        return f"medley aliases {self.name} --adopt {self.alias}={self.found} --reason … --store {shlex.quote(self.store)}"


def astray(store: Store, tracking: Tracking, name: str, entries: Sequence[Entry] = ()) -> list[Astray]:
    """What differs, asked in milliseconds where MLflow is a server or a sqlite file. Raises TrackingError when it cannot be asked.

    `entries` are what is known of the log. When the log grew meanwhile it is compared again, since another process is at work.
    """
    if not tracking.uri:
        return []
    known = read_log(store, name, entries)
    while known:
        there = _there(tracking, name)
        later = read_log(store, name, known)
        if len(later) == len(known):
            logged = aliases(known)
            return [
                Astray(name, alias, version, there.get(alias, ""), store.where)
                for alias, version in logged.items()
                if there.get(alias, "") != version
            ]
        known = later
    return []


def project(store: Store, tracking: Tracking, name: str, entries: Sequence[Entry] = ()) -> dict[str, str]:
    """Set every alias that was ever given; alias → version, empty where none is in force. Raises TrackingError.

    The log is read again after the aliases are set: of several processes that project at once, the last to finish has seen every entry.
    """
    from tasks.tracking.registry import set_aliases

    known = read_log(store, name, entries)
    while True:
        in_force = aliases(known)
        set_aliases(tracking, name, in_force)
        later = read_log(store, name, known)
        if len(later) == len(known):
            return in_force
        known = later


def follow(store: Store, tracking: Tracking, entry: Entry, repair: str, entries: Sequence[Entry] = ()) -> None:
    """Aliases, tags and `decision.json` after an entry was written.

    Raises TrackingError that says the decision stands, and `repair`: what makes MLflow follow later. Without MLflow the log alone is kept.
    """
    from tasks.tracking.registry import record_decision

    if not tracking.uri:
        return
    try:
        project(store, tracking, entry.name, entries)
        record_decision(
            tracking, entry.name, entry.version, decision_tags(entry), f"decisions/{entry.n}/decision.json", decision_text(entry)
        )
    except TrackingError as error:
        raise TrackingError(
            f"version {entry.version} of {entry.name!r}: the decision ({entry.action}) stands, it is entry {entry.n} of the promotion log; "
            f"only MLflow could not follow, neither with the alias {entry.alias!r} nor with what is said there of the version. {error}. "
            f"To set both, {repair}"
        ) from error


def decision_tags(entry: Entry) -> dict[str, str]:
    """What a version says of the last decision about it: the decision, its place in the log, and every number that is one."""
    tags = {
        "medley.decision": entry.action,
        "medley.decision.alias": entry.alias,
        "medley.decision.entry": str(entry.n),
        "medley.decision.digest": entry.digest,
        "medley.decision.time": entry.time,
        "medley.decision.by": entry.by,
        "medley.decision.reasons": "; ".join(entry.reasons),
        "medley.decision.baseline_version": entry.baseline.version if entry.baseline else "",
    }
    for name, value in entry.numbers.items():
        if isinstance(value, (int, float, str)) and not isinstance(value, bool):
            tags[f"medley.decision.{name}"] = f"{value:.6g}" if isinstance(value, float) else str(value)
    return tags


def decision_text(entry: Entry) -> str:
    """The entry as a document."""
    document: dict[str, Json] = dataclasses.asdict(entry)
    return f"{json.dumps(document, indent=1, sort_keys=True, ensure_ascii=False, allow_nan=False)}\n"


def _there(tracking: Tracking, name: str) -> dict[str, str]:
    glanced = aliases_at(tracking, name)
    if glanced is not None:
        return glanced
    from tasks.tracking.registry import read_aliases

    return read_aliases(tracking, name)


def _names(version: str) -> str:
    return f"names version {version}" if version else "is not there"


def _version(version: str) -> str:
    return f"version {version}" if version else "none"
