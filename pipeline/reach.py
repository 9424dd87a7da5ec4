"""What of a store is reached, and from where.

In: the promotion log, journals and pins. Out: the keys of every artifact that something still needs, with the reason. Must not import ray
or torch.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

from pipeline import journal
from pipeline.catalog import CATALOG
from pipeline.pins import Pin
from pipeline.store import LocalStore
from tasks import promotions, standings


@dataclass
class Reached:
    """Keys that something reaches."""

    why: dict[str, str] = field(default_factory=dict)
    """Key → the first reason found; also keys whose artifact is not made yet."""
    made: set[str] = field(default_factory=set)
    """Those of them whose artifact is there."""
    unfinished_shards: str = ""
    """A step of a kept run whose output is not there and which builds it in the pool; empty = none."""

    def counts(self) -> dict[str, int]:
        """Reason → number of artifacts that are there for it."""
        return dict(Counter(why for key, why in self.why.items() if key in self.made))


def reached(store: LocalStore, keep_runs: int, live: Sequence[Pin]) -> Reached:
    """Follow every root to all that it was made from. Raises StoreError and CorruptArtifact where a root can't be read."""
    found = Reached()
    for key, why in [*_promoted(store), *_running(live), *_runs(store, keep_runs, found)]:
        _follow(key, why, store, found)
    return found


def _follow(key: str, why: str, store: LocalStore, found: Reached) -> None:
    waiting = [key]
    while waiting:
        key = waiting.pop()
        if key in found.why:
            continue
        found.why[key] = why
        manifest = store.manifest(key)
        if manifest is not None:
            found.made.add(key)
            waiting += manifest["inputs"].values()


def _promoted(store: LocalStore) -> Iterator[tuple[str, str]]:
    """What is in force, what a rollback would bring back, what waits for approval, the best champion ever where decisions ask for it, and
    what all of these were compared with: planning asks for that."""
    names = {name.split("/")[1] for name in store.list("promotions")}
    for name in sorted(names):
        entries = promotions.read_log(store, name)
        for alias in sorted({entry.alias for entry in entries}):
            champion = promotions.current(entries, alias)
            if champion is None:
                continue
            former = promotions.current(entries, alias, without=champion)
            best = standings.best(entries, alias) if any(entry.best for entry in entries) else None
            kept = (champion, former, best, standings.waiting(entries, alias))
            for entry in (each for each in kept if each):
                yield from ((key, f"{name}@{alias}") for key in (entry.model_key, entry.report_key, entry.step_key) if key)
                yield from ((other.model_key, f"{name}@{alias}") for other in (entry.baseline, entry.best) if other)


def _running(live: Sequence[Pin]) -> Iterator[tuple[str, str]]:
    for pin in live:
        yield from ((key, f"run {pin.run}, at work") for key in pin.keys)


def _runs(store: LocalStore, keep_runs: int, found: Reached) -> Iterator[tuple[str, str]]:
    """The steps of the newest runs of each recipe, and the models that they referred to."""
    seen: Counter[str] = Counter()
    stories = [(store.root / "runs" / run, journal.events(store.root / "runs" / run)) for run in journal.runs(store.root)]
    for folder, story in sorted((each for each in stories if each[1]), key=lambda each: each[1][0]["time"], reverse=True):
        name = story[0].get("name", "")
        steps: dict[str, str] = next((event["steps"] for event in story if event["event"] == "run_planned"), {})
        if not steps or seen[name] >= keep_runs:
            continue
        seen[name] += 1
        try:
            parts: dict[str, Any] = json.loads((folder / "plan.json").read_bytes())
        except (FileNotFoundError, ValueError):
            parts = {}  # torn by a crash: its references are then not known, its steps are
        for step, key in steps.items():
            yield key, f"the last {keep_runs} runs of {name}"
            task = CATALOG.get(parts.get(step, {}).get("task", ""))
            if task is not None and task.verdicts and store.manifest(key) is None:
                found.unfinished_shards = step
        for part in parts.values():
            yield from (
                (given["model"], f"the last {keep_runs} runs of {name}") for given in part["inputs"].values() if isinstance(given, dict)
            )
