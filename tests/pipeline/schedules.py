"""A schedule whose clock is a number: what the tests of schedulers stand on.

In: cron lines and a time to live through. Out: what was run, and whether every moment is accounted for exactly once.
"""

from __future__ import annotations

import datetime as dt
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

from pipeline.cron import occurrences
from pipeline.leases import Pace
from pipeline.schedule import ScheduleConfig
from pipeline.scheduler import Outcome, Scheduler
from pipeline.ticks import Log, Tick, read
from pipeline.triggers import Cron, Trigger
from tasks.contracts import Store

PACE = Pace(beat_s=0.2, silence_s=5.0, look_s=0.005)
"""Long enough for a machine that is busy: nobody dies here."""


def utc(text: str) -> dt.datetime:
    return dt.datetime.fromisoformat(text).replace(tzinfo=dt.UTC)


@dataclass
class FakeClock:
    """One time for all who share it; it passes when somebody waits."""

    at: dt.datetime
    until: dt.datetime
    lock: threading.Lock = field(default_factory=threading.Lock)

    def now(self) -> dt.datetime:
        return self.at

    def wait(self, seconds: float) -> None:
        with self.lock:
            self.at = max(self.at, self.at + dt.timedelta(seconds=seconds))

    @property
    def stopping(self) -> bool:
        return self.at >= self.until


@dataclass
class Runs:
    """Stands in for `medley run`: takes its time by the clock, and remembers."""

    clock: FakeClock
    takes_s: float = 600.0
    ends: Callable[[Tick, int], Outcome] = lambda tick, times: Outcome("done", f"run-{tick.n}-{times}")
    begun: list[Tick] = field(default_factory=list)
    at_once: int = 0
    most: int = 0
    dies: Callable[[str], None] = lambda _point: None

    def __call__(self, tick: Tick, ending: Callable[[], str]) -> Outcome:
        self.dies("before a run")
        self.at_once += 1
        self.most = max(self.most, self.at_once)
        try:
            self.begun.append(tick)
            self.clock.wait(self.takes_s / 2)
            self.dies("in the middle of a run")
            self.clock.wait(self.takes_s / 2)
            outcome = self.ends(tick, sum(earlier.n == tick.n for earlier in self.begun))
        finally:
            self.at_once -= 1
        self.dies("after a run")
        return outcome


def scheduler(
    store: Store,
    clock: FakeClock,
    runs: Runs,
    lines: list[str],
    zone: str = "UTC",
    watch: Any = None,
    more: list[Trigger] | None = None,
    pace: Pace = PACE,
    **config: Any,
) -> Scheduler:
    said = ScheduleConfig(cron=tuple(lines), timezone=zone, **({"retries": 0} | config))
    triggers: list[Trigger] = [Cron(line, zone, said.jitter_s, "toy") for line in said.cron]
    return Scheduler(
        said,
        [*triggers, *(more or [])],
        Log(store, "toy"),
        clock,
        runs,
        watch=watch or (lambda _event, _facts: None),
        pace=pace,
        longest_wait_s=1200.0,
    )


def accounted(log: Log) -> tuple[Counter[tuple[str, dt.datetime]], list[str]]:
    """How often the log accounts for each moment of a cron line, and what is wrong with it otherwise."""
    found: Counter[tuple[str, dt.datetime]] = Counter()
    wrong: list[str] = []
    ends: Counter[int] = Counter()
    claims: list[int] = []
    for entry in log.entries():
        if entry.kind == "claimed":
            if len(claims) > sum(ends.values()):
                wrong.append(f"entry {entry.n} claims while {claims[-1]} is not over")
            claims.append(entry.n)
            found[entry.facts["trigger"], read(entry.facts["scheduled"])] += 1
            for span in (entry.facts["folded"], entry.facts["skipped"]):
                found.update(_spanned(entry.facts["trigger"], span))
        elif entry.kind == "skipped":
            found.update(_spanned(entry.facts["trigger"], entry.facts))
        elif entry.kind == "finished":
            ends[entry.facts["tick"]] += 1
    wrong += [f"the moment that {n} claims ended {ends[n]} times" for n in claims if ends[n] != 1]
    return found, wrong


def _spanned(trigger: str, span: dict[str, Any] | None) -> Iterator[tuple[str, dt.datetime]]:
    if span is None:
        return
    _, line, zone = trigger.split(" ", 1)[0], trigger.split(" ", 1)[1].rsplit(" ", 1)[0], trigger.rsplit(" ", 1)[1]
    first, last, count = read(span["first"]), read(span["last"]), 0
    for moment in occurrences(line, zone, first - dt.timedelta(seconds=1)):
        if moment > last:
            break
        count += 1
        yield trigger, moment
    assert count == span["count"], span


def each_once(log: Log, line: str, zone: str, begin: dt.datetime, end: dt.datetime) -> list[str]:
    """What is wrong: moments that are not accounted for exactly once, between these two."""
    found, wrong = accounted(log)
    trigger = Cron(line, zone).name
    wanted = []
    for moment in occurrences(line, zone, begin):
        if moment > end:
            break
        wanted.append(moment)
    wrong += [f"{moment} is accounted for {found[trigger, moment]} times" for moment in wanted if found[trigger, moment] != 1]
    return wrong + [
        f"{moment} is none of its moments" for name, moment in found if name == trigger and moment not in wanted and begin < moment <= end
    ]
