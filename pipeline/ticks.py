"""The log of a schedule: each moment that was due, who took it, and what came of it.

In: a store, and what happens. Out: objects `schedule/<name>/ticks/<n>.json`, n = 1, 2, …, each made by create-if-absent. An entry holds the
state after it, so the last one tells how the schedule stands. Whoever wants to claim a moment appends to the state that says it is due: of
several who try, one gets through, and the others read again and find it taken. So a moment is claimed once, whoever looks and whatever the
clocks say. Must not import ray, torch or mlflow.

    began     these triggers, accounted for up to now
    claimed   a moment is to be run (`folded`: moments that this run stands for as well; `skipped`: that came too late)
    skipped   moments came too late, and none is run
    attempt   the run of the claimed moment is taken up again: after a failure, or by another process
    finished  it ended: done, refused or failed
    stopped   the scheduler was asked to stop in the middle; the next one goes on with it
    paused, resumed, clock_back, undelivered
"""

from __future__ import annotations

import datetime as dt
import json
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, field, replace
from typing import Any

from pipeline.errors import StoreError
from tasks.contracts import FORMAT_VERSION, Json, Store


@dataclass(frozen=True)
class Account:
    """Up to when the moments of a trigger are accounted for."""

    since: str
    """UTC, ISO 8601."""
    seen: Mapping[str, str] = field(default_factory=dict)
    """What the trigger saw when it last fired."""
    fired: bool = False


@dataclass(frozen=True)
class Tick:
    """A moment that was claimed and is not over."""

    n: int
    """Number of the entry that claimed it."""
    trigger: str
    scheduled: str
    why: str
    attempt: int = 1


@dataclass(frozen=True)
class State:
    """How a schedule stands."""

    accounts: Mapping[str, Account] = field(default_factory=dict)
    open: Tick | None = None
    paused: str | None = None
    """Why; None while it runs."""
    latest: str = ""
    """The latest time that any entry has, since a clock was last seen to go back."""


@dataclass(frozen=True)
class Entry:
    """One line of the log."""

    n: int
    kind: str
    time: str
    """UTC, ISO 8601, by the clock of the machine that wrote it."""
    facts: Mapping[str, Any]
    state: State


EMPTY = Entry(0, "", "", {}, State())
"""Before the first."""


@dataclass
class Log:
    """The log of the schedule of this name."""

    store: Store
    name: str
    _known: Entry = EMPTY

    def last(self) -> Entry:
        """The newest entry, or EMPTY. One request where nothing was added since. Raises StoreError for one that is damaged."""
        known = self._known
        if known.n == 0 and (numbers := self._numbers()):
            known = self._read(max(numbers))
        while self.store.exists(self._object(known.n + 1)):
            known = self._read(known.n + 1)
        self._known = known
        return known

    def entries(self, newest: int | None = None) -> Iterator[Entry]:
        """In order; the newest few alone, when told so."""
        for n in sorted(self._numbers())[-newest if newest else None :]:
            yield self._read(n)

    def append(self, after: Entry, kind: str, now: dt.datetime, **facts: Any) -> Entry | None:
        """Append, if the log still ends with `after`; None when somebody else was first."""
        entry = Entry(after.n + 1, kind, written(now), facts, _after(after.state, after.n + 1, kind, written(now), facts))
        document = {"format": FORMAT_VERSION, "n": entry.n, "event": kind, "time": entry.time, **facts, "state": asdict(entry.state)}
        data = f"{json.dumps(document, ensure_ascii=False, allow_nan=False)}\n".encode()
        return entry if self.store.create(self._object(entry.n), data) else None

    def note(self, kind: str, now: dt.datetime, **facts: Any) -> Entry:
        """Append whatever the log holds by then; for what does not depend on it."""
        while (entry := self.append(self.last(), kind, now, **facts)) is None:
            pass
        return entry

    def _object(self, n: int) -> str:
        return f"schedule/{self.name}/ticks/{n:08d}.json"

    def _numbers(self) -> list[int]:
        stems = (name.rpartition("/")[2].removesuffix(".json") for name in self.store.list(f"schedule/{self.name}/ticks"))
        return [int(stem) for stem in stems if stem.isdecimal()]

    def _read(self, n: int) -> Entry:
        try:
            document: dict[str, Any] = json.loads(self.store.read(self._object(n)))
            if document["format"] > FORMAT_VERSION:
                raise StoreError(f"{self._object(n)} was written by a newer Medley (format {document['format']}); upgrade medley-pipeline")
            return _entry(document)
        except (ValueError, KeyError, TypeError) as error:
            raise StoreError(f"{self._object(n)} in the store is damaged ({error!r}); restore it from a backup") from error


def written(moment: dt.datetime) -> str:
    """As it stands in the log."""
    return moment.astimezone(dt.UTC).isoformat(timespec="seconds")


def read(moment: str) -> dt.datetime:
    """What `written` wrote."""
    return dt.datetime.fromisoformat(moment)


def _entry(document: dict[str, Any]) -> Entry:
    state = document.pop("state")
    accounts = {name: Account(**account) for name, account in state["accounts"].items()}
    tick = Tick(**state["open"]) if state["open"] else None
    n, kind, time = document.pop("n"), document.pop("event"), document.pop("time")
    document.pop("format")
    return Entry(n, kind, time, document, State(accounts, tick, state["paused"], state["latest"]))


def _after(state: State, n: int, kind: str, time: str, facts: Mapping[str, Any]) -> State:
    """The state after an entry."""
    accounts = dict(state.accounts)
    state = replace(state, latest=time if kind in ("clock_back", "resumed") else max(time, state.latest))
    if kind == "began":
        fresh = Account(facts["since"])
        return replace(state, accounts={name: accounts.get(name, fresh) for name in facts["triggers"]})
    if kind == "claimed":
        accounts[facts["trigger"]] = Account(facts["scheduled"], facts["seen"], fired=True)
        return replace(state, accounts=accounts, open=Tick(n, facts["trigger"], facts["scheduled"], facts["why"]))
    if kind == "skipped":
        accounts[facts["trigger"]] = replace(accounts[facts["trigger"]], since=facts["last"])
        return replace(state, accounts=accounts)
    if kind == "attempt" and state.open:
        return replace(state, open=replace(state.open, attempt=state.open.attempt + 1))
    if kind == "finished":
        return replace(state, open=None)
    if kind == "paused":
        return replace(state, paused=facts["reason"])
    if kind == "resumed":
        return replace(state, paused=None, accounts={name: replace(account, since=time) for name, account in accounts.items()})
    return state


Facts = Mapping[str, Json]
