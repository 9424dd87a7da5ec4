"""A scheduler by a clock that is a number: every moment once, whatever the clocks do and however many look."""

from __future__ import annotations

import contextlib
import datetime as dt
import threading
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from pipeline.errors import Busy, RecipeError, StoreError
from pipeline.leases import Lease, Pace, held
from pipeline.scheduler import Outcome, Scheduler
from pipeline.store import LocalStore
from pipeline.stores import open_store
from pipeline.ticks import Account, Log
from pipeline.triggers import Look, MaxAge
from tasks.errors import SourceError
from tests.pipeline.schedules import FakeClock, Runs, accounted, each_once, scheduler, utc

BEGIN = utc("2026-03-01T00:00")


@pytest.fixture
def store(tmp_path: Path) -> LocalStore:
    return LocalStore.open(tmp_path / "store")


def days(number: float) -> dt.datetime:
    return BEGIN + dt.timedelta(days=number)


def kinds(log: Log) -> list[str]:
    return [entry.kind for entry in log.entries()]


def test_each_moment_runs_once_and_is_finished(store: LocalStore) -> None:
    clock = FakeClock(BEGIN, days(1))
    runs = Runs(clock)
    keeper = scheduler(store, clock, runs, ["0 */6 * * *"])
    keeper.forever()
    assert [tick.scheduled[11:16] for tick in runs.begun] == ["06:00", "12:00", "18:00"]
    assert kinds(keeper.log) == ["began", *["claimed", "finished"] * 3]
    assert each_once(keeper.log, "0 */6 * * *", "UTC", BEGIN, days(0.99)) == []
    last = list(keeper.log.entries())[-1]
    assert last.facts["status"] == "done"
    assert last.facts["seconds"] == 600
    assert last.state.open is None


def test_two_lines_have_an_account_each(store: LocalStore) -> None:
    clock = FakeClock(BEGIN, days(2))
    runs = Runs(clock)
    keeper = scheduler(store, clock, runs, ["0 6 * * *", "0 6,12 * * *"])
    keeper.forever()
    assert len(runs.begun) == 6
    for line in ("0 6 * * *", "0 6,12 * * *"):
        assert each_once(keeper.log, line, "UTC", BEGIN, days(1.99)) == []


@pytest.mark.parametrize(
    ("misfire", "ran", "folded", "skipped"),
    [("once", ["05:00"], 4, 0), ("all", ["01:00", "02:00", "03:00", "04:00", "05:00"], 0, 0), ("skip", ["05:00"], 0, 4)],
)
def test_what_passed_while_nothing_ran_is_made_up_for_as_misfire_says(
    store: LocalStore, misfire: str, ran: list[str], folded: int, skipped: int
) -> None:
    clock = FakeClock(BEGIN, days(1))
    scheduler(store, clock, Runs(clock), ["0 * * * *"]).begun()
    clock.at = BEGIN + dt.timedelta(hours=5, minutes=20)
    runs = Runs(clock, takes_s=60)
    keeper = scheduler(store, clock, runs, ["0 * * * *"], misfire=misfire, misfire_grace_s=1800)
    keeper.once()
    assert [tick.scheduled[11:16] for tick in runs.begun] == ran
    assert each_once(keeper.log, "0 * * * *", "UTC", BEGIN, clock.now()) == []
    claims = [entry.facts for entry in keeper.log.entries() if entry.kind == "claimed"]
    assert sum(claim["folded"]["count"] for claim in claims if claim["folded"]) == folded
    assert sum(claim["skipped"]["count"] for claim in claims if claim["skipped"]) == skipped


def test_skip_runs_nothing_when_all_is_too_late_and_says_so(store: LocalStore) -> None:
    clock = FakeClock(BEGIN, days(1))
    scheduler(store, clock, Runs(clock), ["0 * * * *"]).begun()
    clock.at = BEGIN + dt.timedelta(hours=5, minutes=50)
    runs = Runs(clock)
    keeper = scheduler(store, clock, runs, ["0 * * * *"], misfire="skip", misfire_grace_s=1800)
    keeper.once()
    assert runs.begun == []
    assert kinds(keeper.log) == ["began", "skipped"]
    assert keeper.log.last().facts["count"] == 5
    assert each_once(keeper.log, "0 * * * *", "UTC", BEGIN, clock.now()) == []


@pytest.mark.parametrize("misfire", ["once", "all", "skip"])
def test_what_comes_due_while_a_run_goes_on_waits_for_it_and_is_accounted_for(store: LocalStore, misfire: str) -> None:
    clock = FakeClock(BEGIN, days(1))
    runs = Runs(clock, takes_s=5 * 3600)
    keeper = scheduler(store, clock, runs, ["0 * * * *"], misfire=misfire)
    keeper.forever()
    assert runs.most == 1
    assert (
        each_once(keeper.log, "0 * * * *", "UTC", BEGIN, runs.begun[-1].scheduled and dt.datetime.fromisoformat(runs.begun[-1].scheduled))
        == []
    )
    wanted = {"once": ["01:00", "06:00", "11:00", "16:00", "21:00"], "all": [f"0{hour}:00" for hour in range(1, 6)], "skip": None}[misfire]
    assert wanted is None or [tick.scheduled[11:16] for tick in runs.begun] == wanted


def test_two_schedulers_at_once_run_each_moment_once_and_never_two(store: LocalStore) -> None:
    clock = FakeClock(BEGIN, days(6))
    runs = Runs(clock, takes_s=60)
    keepers = [scheduler(LocalStore(store.root), clock, runs, ["0 */4 * * *"]) for _ in range(2)]
    threads = [threading.Thread(target=keeper.forever) for keeper in keepers]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert runs.most == 1
    assert len(runs.begun) == len({tick.n for tick in runs.begun})
    assert each_once(keepers[0].log, "0 */4 * * *", "UTC", BEGIN, dt.datetime.fromisoformat(runs.begun[-1].scheduled)) == []
    assert len(runs.begun) > 20


def test_without_any_lease_each_moment_is_still_claimed_once_and_ended_once(store: LocalStore, monkeypatch: pytest.MonkeyPatch) -> None:
    """A lease may be lost without its holder's knowing for a while. Then two run the same moment, and the log has it once all the same."""

    @contextlib.contextmanager
    def nobody_waits(_store: Any, name: str, pace: Pace, _waiting: Any) -> Iterator[Lease]:
        yield Lease(name, 1, Pace(silence_s=600.0))

    monkeypatch.setattr("pipeline.scheduler.leases.held", nobody_waits)
    clock = FakeClock(BEGIN, days(3))
    begin = threading.Barrier(4)
    runs = Runs(clock, takes_s=60, dies=lambda point: time.sleep(0.005))
    keepers = [scheduler(LocalStore(store.root), clock, runs, ["0 */2 * * *"]) for _ in range(4)]

    def keep(keeper: Scheduler) -> None:
        begin.wait()
        keeper.forever()

    threads = [threading.Thread(target=keep, args=(keeper,)) for keeper in keepers]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert accounted(keepers[0].log)[1] == []
    assert each_once(keepers[0].log, "0 */2 * * *", "UTC", BEGIN, dt.datetime.fromisoformat(runs.begun[-1].scheduled)) == []
    assert runs.most > 1, "nothing was contested"


def test_two_schedulers_that_share_a_bucket_run_each_moment_once(s3_url: str) -> None:
    clock = FakeClock(BEGIN, days(1))
    runs = Runs(clock, takes_s=60)
    keepers = [scheduler(open_store(s3_url), clock, runs, ["0 */6 * * *"]) for _ in range(2)]
    threads = [threading.Thread(target=keeper.forever) for keeper in keepers]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert runs.most == 1
    assert each_once(keepers[0].log, "0 */6 * * *", "UTC", BEGIN, days(0.99)) == []
    assert len(runs.begun) == 3


def test_a_clock_that_jumps_forward_makes_up_for_what_it_left_out(store: LocalStore) -> None:
    clock = FakeClock(BEGIN, days(6))
    runs = Runs(clock)

    def jump(point: str) -> None:
        if point == "in the middle of a run" and len(runs.begun) == 2:
            clock.at += dt.timedelta(days=3)

    runs.dies = jump
    keeper = scheduler(store, clock, runs, ["0 6 * * *"])
    keeper.forever()
    assert [tick.scheduled[8:13] for tick in runs.begun] == ["01T06", "02T06", "05T06", "06T06"]
    assert each_once(keeper.log, "0 6 * * *", "UTC", BEGIN, days(5.9)) == []


def test_a_clock_that_jumps_back_runs_nothing_twice_and_says_so(store: LocalStore) -> None:
    clock, told = FakeClock(BEGIN, days(4)), list[tuple[str, Mapping[str, Any]]]()
    runs = Runs(clock)

    def jump(point: str) -> None:
        if point == "after a run" and len(runs.begun) == 2:
            clock.at -= dt.timedelta(days=1, hours=12)

    runs.dies = jump
    keeper = scheduler(store, clock, runs, ["0 6 * * *"], watch=lambda event, facts: told.append((event, facts)))
    keeper.forever()
    assert [tick.scheduled[8:13] for tick in runs.begun] == ["01T06", "02T06", "03T06", "04T06"]
    assert each_once(keeper.log, "0 6 * * *", "UTC", BEGIN, days(3.9)) == []
    assert kinds(keeper.log).count("clock_back") == 1
    said = next(facts for event, facts in told if event == "clock_back")
    assert said["until"].startswith("2026-03-02T06:00")
    assert 1.4 * 86400 < said["by_s"] < 1.6 * 86400


def test_after_a_clock_was_years_ahead_resuming_counts_from_now(store: LocalStore) -> None:
    clock = FakeClock(days(3650), days(3651))
    wrong = scheduler(store, clock, Runs(clock), ["0 6 * * *"])
    wrong.forever()
    clock.at, clock.until = BEGIN, days(2)
    silent = Runs(clock)
    scheduler(store, clock, silent, ["0 6 * * *"]).forever()
    assert silent.begun == [], "its moments are accounted for up to a day that is years away"
    wrong.log.note("resumed", clock.now())
    clock.until = days(4)
    runs = Runs(clock)
    scheduler(store, clock, runs, ["0 6 * * *"]).forever()
    assert [tick.scheduled[:13] for tick in runs.begun] == ["2026-03-03T06", "2026-03-04T06"]


@pytest.mark.parametrize("line", ["30 2 * * *", "*/30 1-3 * * *", "0 2,3 * * *"])
@pytest.mark.parametrize("begin", ["2026-03-28T00:00", "2026-10-24T00:00"])
def test_where_clocks_are_changed_every_moment_is_once(store: LocalStore, line: str, begin: str) -> None:
    """A day in Berlin has 23 hours in March and 25 in October."""
    clock = FakeClock(utc(begin), utc(begin) + dt.timedelta(days=2, hours=12))
    runs = Runs(clock, takes_s=60)
    keeper = scheduler(store, clock, runs, [line], zone="Europe/Berlin")
    keeper.forever()
    assert each_once(keeper.log, line, "Europe/Berlin", utc(begin), clock.until - dt.timedelta(hours=1)) == []
    if line == "30 2 * * *":
        assert len(runs.begun) == 3 if begin.startswith("2026-03") else 2


def test_once_leaves_what_comes_due_meanwhile_for_the_next_time(store: LocalStore) -> None:
    clock = FakeClock(BEGIN, days(1))
    scheduler(store, clock, Runs(clock), ["0 * * * *"]).begun()
    clock.at = BEGIN + dt.timedelta(hours=2, minutes=5)
    runs = Runs(clock, takes_s=5000)
    keeper = scheduler(store, clock, runs, ["0 * * * *"])
    keeper.once()
    assert [tick.scheduled[11:16] for tick in runs.begun] == ["02:00"]
    keeper.once()
    assert [tick.scheduled[11:16] for tick in runs.begun] == ["02:00", "03:00"]


def test_once_runs_no_trigger_twice_though_it_is_due_again_when_its_run_ends(store: LocalStore) -> None:
    clock = FakeClock(BEGIN, days(0.2))
    runs = Runs(clock, takes_s=600)
    keeper = scheduler(store, clock, runs, [], more=[MaxAge(0.1, (("toys", "champion"),), store)])
    keeper.once()
    assert [tick.trigger for tick in runs.begun] == ["max_age"], "a run of ten minutes does not make six minutes of age enough"
    keeper.once()
    assert len(runs.begun) == 2
    keeper.forever()
    assert 20 < len(runs.begun) < 30, "who keeps it goes on at once"


def test_jitter_delays_each_moment_by_the_same_on_every_machine(store: LocalStore, tmp_path: Path) -> None:
    begun = []
    for place in (store, LocalStore.open(tmp_path / "other")):
        clock = FakeClock(BEGIN, days(5))
        keeper = scheduler(place, clock, Runs(clock), ["0 6 * * *"], jitter_s=3600)
        keeper.forever()
        assert each_once(keeper.log, "0 6 * * *", "UTC", BEGIN, days(4.9)) == []
        begun.append([entry.time for entry in keeper.log.entries() if entry.kind == "claimed"])
    late = [(dt.datetime.fromisoformat(time) - days(number + 0.25)).total_seconds() for number, time in enumerate(begun[0])]
    assert begun[0] == begun[1]
    assert all(0 <= seconds <= 3630 for seconds in late)
    assert len({round(seconds / 60) for seconds in late}) > 1


def test_a_paused_schedule_begins_nothing_and_a_resumed_one_counts_from_then(store: LocalStore) -> None:
    clock = FakeClock(BEGIN, days(2))
    runs = Runs(clock)
    keeper = scheduler(store, clock, runs, ["0 6 * * *"])
    keeper.begun()
    keeper.log.note("paused", clock.now(), reason="maintenance")
    keeper.forever()
    assert runs.begun == []
    keeper.log.note("resumed", clock.now())
    clock.until = days(4)
    keeper.forever()
    assert [tick.scheduled[8:13] for tick in runs.begun] == ["03T06", "04T06"]


def test_a_failed_run_is_taken_up_again_for_the_same_moment(store: LocalStore) -> None:
    clock = FakeClock(BEGIN, days(1))
    runs = Runs(clock, ends=lambda tick, times: Outcome("failed" if times < 3 else "done", f"run-{times}", "no MLflow"))
    keeper = scheduler(store, clock, runs, ["0 6 * * *"], retries=2, retry_after_s=900)
    keeper.forever()
    assert [(tick.n, tick.attempt) for tick in runs.begun] == [(2, 1), (2, 2), (2, 3)]
    assert kinds(keeper.log) == ["began", "claimed", "attempt", "attempt", "finished"]
    assert keeper.log.last().facts["status"] == "done"


def test_a_run_whose_recipe_is_wrong_is_not_tried_again(store: LocalStore) -> None:
    clock = FakeClock(BEGIN, days(1))
    runs = Runs(clock, ends=lambda tick, times: Outcome("failed", "run", "no such file", hopeless=True))
    keeper = scheduler(store, clock, runs, ["0 6 * * *"], retries=5)
    keeper.forever()
    assert len(runs.begun) == 1
    assert keeper.log.last().facts["status"] == "failed"


def test_a_stopped_scheduler_leaves_its_run_to_the_next_one(store: LocalStore) -> None:
    clock = FakeClock(BEGIN, days(0.255))
    runs = Runs(clock, ends=lambda tick, times: Outcome("stopped", "run-1") if times == 1 else Outcome("done", "run-2"))
    first = scheduler(store, clock, runs, ["0 6 * * *"])
    first.forever()
    assert kinds(first.log) == ["began", "claimed", "stopped"]
    clock.until = days(1)
    second = scheduler(store, clock, runs, ["0 6 * * *"])
    second.forever()
    assert kinds(second.log) == ["began", "claimed", "stopped", "attempt", "finished"]
    assert each_once(second.log, "0 6 * * *", "UTC", BEGIN, days(1)) == []


def test_one_without_patience_says_that_another_is_at_work(store: LocalStore) -> None:
    clock = FakeClock(BEGIN, days(1))
    scheduler(store, clock, Runs(clock), ["0 6 * * *"]).begun()
    clock.at = days(0.3)
    keeper = scheduler(store, clock, Runs(clock), ["0 6 * * *"])
    keeper.patient, keeper.pace = False, Pace(beat_s=0.1, silence_s=2.0, look_s=0.005)
    busy = threading.Event()

    def look() -> None:
        clock.wait(0.1)

    with held(store, "schedule-toy", keeper.pace):
        ticking = threading.Thread(target=lambda: [look() for _ in iter(lambda: busy.wait(0.005), True)])
        ticking.start()
        with pytest.raises(Busy, match="another process is running the schedule 'toy'"):
            keeper.once()
        busy.set()
        ticking.join()


def test_the_triggers_of_a_changed_recipe_begin_anew_and_the_others_go_on(store: LocalStore) -> None:
    clock = FakeClock(BEGIN, days(1))
    scheduler(store, clock, Runs(clock), ["0 6 * * *", "0 7 * * *"]).begun()
    clock.at, runs = days(0.8), Runs(clock)
    keeper = scheduler(store, clock, runs, ["0 6 * * *", "0 8 * * *"])
    keeper.once()
    assert [tick.trigger for tick in runs.begun] == ["cron 0 6 * * * UTC"], "a line that is new has missed nothing"


def test_one_whose_schedule_is_kept_elsewhere_with_other_triggers_ends_and_says_so(store: LocalStore) -> None:
    """A recipe that was changed and started anew, or another one of the same name: else each would begin anew for ever."""
    clock = FakeClock(BEGIN, days(2))
    old, new = (scheduler(store, clock, Runs(clock), [line]) for line in ("0 6 * * *", "0 8 * * *"))
    old.once()
    new.once()
    with pytest.raises(RecipeError, match="is kept elsewhere by now, with other triggers: cron 0 8"):
        old.forever()
    assert kinds(new.log) == ["began", "began"]


def test_who_is_called_by_another_scheduler_counts_the_moment_that_called_it(store: LocalStore) -> None:
    clock = FakeClock(days(0.25) + dt.timedelta(seconds=40), days(1))
    runs = Runs(clock)
    keeper = scheduler(store, clock, runs, ["0 6 * * *"])
    keeper.reach_s = 3600
    keeper.once()
    assert [tick.scheduled[11:16] for tick in runs.begun] == ["06:00"]
    keeper.once()
    assert len(runs.begun) == 1


@dataclass
class Source:
    """A trigger that looks every hour, and whose source may be away."""

    name: str = "new_data"
    dated: bool = False
    looks: list[dt.datetime] = field(default_factory=list)
    due: bool = False
    away: bool = False

    def look(self, account: Account, now: dt.datetime) -> Look:
        self.looks.append(now)
        if self.away:
            raise SourceError("the folder is away")
        return Look([now] if self.due and not account.fired else (), now + dt.timedelta(hours=1), "much is new", {"corpus": "k"})


def test_a_trigger_is_asked_when_it_said_and_fires_once(store: LocalStore) -> None:
    clock, source = FakeClock(BEGIN, days(0.5)), Source()
    runs = Runs(clock)
    keeper = scheduler(store, clock, runs, ["0 11 * * *"], more=[source])
    keeper.forever()
    assert len(runs.begun) == 1
    assert 11 <= len(source.looks) <= 14
    source.due = True
    clock.until = days(0.9)
    keeper.forever()
    assert [tick.trigger for tick in runs.begun[1:]] == ["new_data"]
    assert keeper.log.last().state.accounts["new_data"].seen == {"corpus": "k"}


def test_a_source_that_is_away_is_told_and_keeps_nothing_else_from_running(store: LocalStore) -> None:
    told: list[str] = []
    clock = FakeClock(BEGIN, days(0.5))
    runs = Runs(clock)
    keeper = scheduler(store, clock, runs, ["0 6 * * *"], more=[Source(away=True)], watch=lambda event, facts: told.append(event))
    keeper.forever()
    assert len(runs.begun) == 1
    assert "unseen" in told


def test_a_store_that_is_away_for_a_while_is_waited_for(store: LocalStore, monkeypatch: pytest.MonkeyPatch) -> None:
    told: list[str] = []
    clock = FakeClock(BEGIN, days(1))
    runs = Runs(clock)
    keeper = scheduler(store, clock, runs, ["0 6 * * *"], watch=lambda event, facts: told.append(event))
    keeper.begun()
    read = LocalStore.list

    def away(self: LocalStore, prefix: str) -> list[str]:
        if days(0.2) < clock.now() < days(0.3):
            raise StoreError("away")
        return read(self, prefix)

    monkeypatch.setattr(LocalStore, "list", away)
    keeper.forever()
    assert "trouble" in told
    assert each_once(keeper.log, "0 6 * * *", "UTC", BEGIN, days(1)) == []
    assert accounted(keeper.log)[1] == []
