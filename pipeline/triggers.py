"""What makes a run due: a cron line, new data, drift, the age of the version in force.

In: a recipe with a `schedule:`, its store, and up to when each trigger is accounted for. Out: moments that have come. A trigger only looks
and changes nothing; that a moment is taken once is for `ticks` to see to. Must not import ray, torch or mlflow.
"""

from __future__ import annotations

import datetime as dt
import hashlib
import itertools
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

from pipeline import graph as graphs
from pipeline import journal, plan, shared_runs
from pipeline.catalog import CATALOG
from pipeline.cron import occurrences
from pipeline.schedule import DriftConfig, NewDataConfig
from pipeline.steps import Recipe
from pipeline.store import LocalStore
from pipeline.ticks import Account, read
from tasks import promotions

AGAIN_S = 300.0
"""How often the age of the version in force is looked at, at most."""


@dataclass(frozen=True)
class Look:
    """What a trigger saw."""

    times: Sequence[dt.datetime] = ()
    """Moments that have come and are not accounted for, earliest first."""
    again: dt.datetime | None = None
    """When it is worth looking again; None = never."""
    why: str = ""
    seen: Mapping[str, str] = field(default_factory=dict)
    """What it saw, when that is what it goes by."""


class Trigger(Protocol):
    """A reason to run."""

    @property
    def name(self) -> str:
        """Stands in the log; another name is another trigger."""

    @property
    def dated(self) -> bool:
        """Its moments are known beforehand, so that they can be missed. Of any other, being late means nothing."""

    def look(self, account: Account, now: dt.datetime) -> Look:
        """Raises TaskError or PipelineError for a source or a store that cannot be read."""


def of(recipe: Recipe, store: LocalStore, *, jitter: bool = True) -> list[Trigger]:
    """The triggers of a recipe's schedule."""
    schedule = recipe.schedule
    if schedule is None:
        return []
    found: list[Trigger] = [Cron(line, schedule.timezone, schedule.jitter_s * jitter, recipe.name) for line in schedule.cron]
    if schedule.new_data:
        found.append(NewData(schedule.new_data, graphs.build(recipe), store))
    if schedule.drift:
        found.append(Drift(schedule.drift, tuple(_promoted(recipe)), recipe.base_dir, store))
    if schedule.max_age_h:
        found.append(MaxAge(schedule.max_age_h, tuple(_promoted(recipe)), store))
    return found


@dataclass(frozen=True)
class Cron:
    """A cron line."""

    line: str
    zone: str
    jitter_s: int = 0
    salt: str = ""
    """Schedules of other names are delayed otherwise."""
    dated: bool = True

    @property
    def name(self) -> str:
        return f"cron {self.line} {self.zone}"

    def look(self, account: Account, now: dt.datetime) -> Look:
        times: list[dt.datetime] = []
        for moment in occurrences(self.line, self.zone, read(account.since)):
            due = self.due(moment)
            if due > now:
                return Look(times, due, "its time has come")
            times.append(moment)
        return Look(times, None, "its time has come")

    def due(self, moment: dt.datetime) -> dt.datetime:
        """The moment, later by what its hash says."""
        if not self.jitter_s:
            return moment
        point = hashlib.sha256(f"{self.salt}\0{self.name}\0{moment.isoformat()}".encode()).digest()[:8]
        return moment + dt.timedelta(seconds=int.from_bytes(point, "big") % (self.jitter_s + 1))


@dataclass(frozen=True)
class NewData:
    """The source has changed since the corpus of the last run."""

    config: NewDataConfig
    graph: graphs.Graph
    store: LocalStore
    dated: bool = False

    @property
    def name(self) -> str:
        return "new_data"

    def look(self, account: Account, now: dt.datetime) -> Look:
        """Keys first, which a listing of names and sizes decides; records are compared only where a key is another."""
        again = now + dt.timedelta(seconds=self.config.check_every_s)
        wanted = [name for name in self.graph.order if CATALOG[self.graph.recipe.steps[name].task].ingests]
        keys = {name: plan.make(self.graph, self.store, name).steps[name].key for name in wanted}
        before = last_corpora(self.store, self.graph.recipe.name, wanted)
        if keys == before or keys == account.seen:
            return Look((), again, seen=keys)
        changed = sum(self._changed(name, before.get(name)) for name in wanted if keys[name] != before.get(name))
        why = f"{changed:,} records are new, altered or gone"
        return Look([now] if changed >= self.config.at_least else (), again, why, keys)

    def _changed(self, name: str, before: str | None) -> int:
        step = self.graph.recipe.steps[name]
        corpus = self.store.bring(before) if before and self.store.manifest(before) else None
        changed = CATALOG[step.task].hook("changed")
        assert changed is not None, "a contract test sees to it that what ingests has it"
        return int(changed(step.config, self.graph.recipe.base_dir, corpus, self.store))


def last_corpora(store: LocalStore, name: str, steps: Sequence[str]) -> dict[str, str]:
    """Step → key of what it made in the newest run of this recipe that made it."""
    shared_runs.pull(store)
    found: dict[str, str] = {}
    for _, begun_together in itertools.groupby(reversed(journal.runs(store.root)), key=lambda run: run.rpartition("-")[0]):
        made = [event for run in begun_together for event in _made(store.root / "runs" / run, name, steps)]
        for event in sorted(made, key=lambda event: event["time"], reverse=True):  # ids tell runs of one second in no order
            found.setdefault(event["step"], event["key"])
        if len(found) == len(steps):
            break
    return found


def _made(run: Path, name: str, steps: Sequence[str]) -> Iterator[dict[str, Any]]:
    """What a run of this recipe said of those of the steps that it made, or found made."""
    story = journal.events(run)
    if story and story[0].get("name") == name:
        for event in story:
            if event["event"] == "step_finished" and event["status"] in ("ran", "cached") and event["step"] in steps:
                yield event


@dataclass(frozen=True)
class Drift:
    """New data are unlike those that a version in force was trained on. Of several versions the farthest counts."""

    config: DriftConfig
    models: tuple[tuple[str, str], ...]
    """Name and alias."""
    base_dir: Path
    store: LocalStore
    dated: bool = False

    @property
    def name(self) -> str:
        return "drift"

    def look(self, account: Account, now: dt.datetime) -> Look:
        """numpy is imported where there is something to compare."""
        again = now + dt.timedelta(seconds=self.config.check_every_s)
        if account.fired and (rested := read(account.since) + dt.timedelta(hours=self.config.rest_h)) > now:
            return Look((), min(again, rested), "it fired a short while ago")
        in_force = [(name, alias) for name, alias in self.models if promotions.current(promotions.read_log(self.store, name), alias)]
        if not in_force:
            return Look((), again, "nothing is in force yet")
        from pipeline.drift import drift_level

        against = str(self.base_dir / self.config.against)
        levels = [drift_level(self.store, f"{name}@{alias}", against) for name, alias in in_force]
        farthest = max(levels, key=lambda level: level.effect)
        due = farthest.significant and farthest.effect > self.config.above
        return Look([now] if due else (), again, farthest.about)


@dataclass(frozen=True)
class MaxAge:
    """A version in force is older than it should be. Of several the oldest counts; none in force is as old as can be."""

    hours: float
    models: tuple[tuple[str, str], ...]
    """Name and alias."""
    store: LocalStore
    dated: bool = False

    @property
    def name(self) -> str:
        return "max_age"

    def look(self, account: Account, now: dt.datetime) -> Look:
        """After it fired it waits for as long again, whatever the gate said."""
        entries = [promotions.current(promotions.read_log(self.store, name), alias) for name, alias in self.models]
        born = [read(entry.time) for entry in entries if entry]
        tried = read(account.since) if account.fired else None
        if len(born) < len(entries):
            oldest, why = tried, "nothing is in force yet"
        else:
            oldest = max(min(born), tried) if tried else min(born)
            why = f"the version in force is {(now - min(born)).total_seconds() / 3600:.1f} h old"
        due = oldest + dt.timedelta(hours=self.hours) if oldest else now
        again = min(due, now + dt.timedelta(seconds=AGAIN_S)) if due > now else now + dt.timedelta(seconds=AGAIN_S)
        return Look([now] if due <= now else (), again, why)


def _promoted(recipe: Recipe) -> Iterator[tuple[str, str]]:
    """Name and alias of each promote step."""
    for step in recipe.steps.values():
        if step.task == "promote":
            version = recipe.steps[step.inputs["version"]]
            yield version.config.name, step.config.alias  # type: ignore[attr-defined]
