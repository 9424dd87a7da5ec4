"""A scheduler is killed around its moments, at every call to the store and in its runs, and another goes on: every moment counts once.

Death is an exception that nobody catches, after which no call of the dead reaches the store: its lease is not given back, its signs of
life end. The clock is a number, so that a day passes in a second; leases wait out the silence of the dead by the real one.
`MEDLEY_CHAOS_SEED` chooses other times until the next scheduler starts; a failure says which point it was.
"""

from __future__ import annotations

import datetime as dt
import random
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from pipeline.errors import StoreError
from pipeline.leases import Pace
from pipeline.store import LocalStore
from tests.chaos.builds import place
from tests.chaos.faults import Killed
from tests.chaos.seed import SEED, again
from tests.pipeline.schedules import FakeClock, Runs, accounted, each_once, scheduler, utc

__all__ = ["place"]

BEGIN = utc("2026-10-24T12:00")
"""Clocks go back in Berlin that night."""
END = BEGIN + dt.timedelta(hours=18)
LINE, ZONE = "30 */3 * * *", "Europe/Berlin"
PACE = Pace(beat_s=0.03, silence_s=0.15, look_s=0.005)
MISFIRES = ("once", "all", "skip")


@dataclass
class Mortal:
    """A store as a process has it that dies at one of its calls, or at a point of a run."""

    store: LocalStore
    number: int = -1
    """Of the call or point; -1 = never."""
    seen: int = -1
    dead: bool = False

    def meet(self, _what: str) -> None:
        """One more point."""
        self.seen += 1
        if self.dead or self.seen == self.number:
            self.dead = True
            raise Killed

    def _call(self, what: Callable[..., Any], *arguments: Any) -> Any:
        if threading.current_thread() is not threading.main_thread():  # the lease's signs of life
            if self.dead:
                raise StoreError("the process is gone")
            return what(*arguments)
        self.meet("before")
        found = what(*arguments)
        self.meet("after")
        return found

    def create(self, name: str, data: bytes) -> bool:
        return bool(self._call(self.store.create, name, data))

    def read(self, name: str) -> bytes:
        return bytes(self._call(self.store.read, name))

    def exists(self, name: str) -> bool:
        return bool(self._call(self.store.exists, name))

    def list(self, prefix: str) -> list[str]:
        return list(self._call(self.store.list, prefix))

    def delete(self, name: str) -> None:
        self._call(self.store.delete, name)


def lives(store: Mortal, clock: FakeClock, misfire: str) -> Runs:
    """A scheduler until the end of the time, or until it dies."""
    runs = Runs(clock, dies=store.meet)
    keeper = scheduler(store, clock, runs, [LINE], ZONE, pace=PACE, misfire=misfire)  # type: ignore[arg-type]
    keeper.forever()
    return runs


def num_points(folder: Path, misfire: str) -> int:
    store = Mortal(LocalStore.open(folder))
    lives(store, FakeClock(BEGIN, END), misfire)
    return store.seen + 1


def killed(folder: Path, number: int, misfire: str, chance: random.Random) -> None:
    """Dies at this point, the next at a later one, and a third goes on to the end."""
    told = again(f"killed at point {number}, misfire {misfire}")
    root = LocalStore.open(folder)
    clock = FakeClock(BEGIN, END)
    for point in (number, chance.randrange(5, 60), -1):
        store = Mortal(root, point)
        try:
            lives(store, clock, misfire)
        except Killed:
            clock.wait(chance.choice([0.0, 1.0, 600.0, 5400.0, 20_000.0]))
        if clock.stopping and point >= 0:
            clock.until = clock.at + dt.timedelta(hours=6)
    keeper = scheduler(root, clock, Runs(clock), [LINE], ZONE, pace=PACE)
    _, wrong = accounted(keeper.log)
    assert wrong == [], told
    since = dt.datetime.fromisoformat(next(keeper.log.entries()).facts["since"])
    assert each_once(keeper.log, LINE, ZONE, since, clock.until - dt.timedelta(hours=1)) == [], told
    assert keeper.log.last().state.open is None, told


def chosen(folder: Path, number: int) -> Iterator[tuple[int, str]]:
    """So many points, evenly over all that are met."""
    points = {misfire: num_points(folder / misfire, misfire) for misfire in MISFIRES}
    for turn in range(number):
        misfire = MISFIRES[turn % len(MISFIRES)]
        yield (turn * points[misfire]) // number, misfire


def test_killed_at_points_around_its_moments_each_counts_once(place: Path) -> None:
    chance = random.Random(SEED)
    for turn, (number, misfire) in enumerate(chosen(place, 21)):
        killed(place / str(turn), number, misfire, chance)


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_killed_at_two_hundred_points(place: Path) -> None:
    chance = random.Random(SEED)
    for turn, (number, misfire) in enumerate(chosen(place, 200)):
        killed(place / str(turn), number, misfire, chance)
