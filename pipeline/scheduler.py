"""Keeps a schedule: looks what is due, claims it, runs it, writes down what came of it.

In: triggers, the log of the schedule, a clock, and a function that runs the recipe. Out: entries of the log. Many may keep one schedule,
on many machines: each looks by itself, one at a time acts (a lease), and a moment is claimed by whoever appends first (`ticks`). One that
is killed leaves its moment claimed and its lease silent; the next one that looks waits out the silence and takes the same run up, which
finds in the store what is finished. Must not import ray, torch or mlflow.

What comes due while a run goes on is seen after it, and `misfire` says what becomes of it.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

from pipeline import leases
from pipeline.errors import Busy, PipelineError, RecipeError
from pipeline.schedule import ScheduleConfig
from pipeline.ticks import Entry, Log, Tick, read, written
from pipeline.triggers import Look, Trigger
from tasks.errors import TaskError

LONGEST_WAIT_S = 30.0
"""Between two looks at the clock and the log, so that a clock that was set, a pause or another's death is noticed."""
BACK_S = 60.0
"""A clock that is behind the last entry by more has gone back; less is what clocks of machines differ by."""


class Clock(Protocol):
    def now(self) -> dt.datetime:
        """UTC."""

    def wait(self, seconds: float) -> None:
        """Let time pass, less of it when the scheduler is asked to stop."""

    @property
    def stopping(self) -> bool:
        """The scheduler was asked to stop."""


@dataclass(frozen=True)
class Outcome:
    """How the run of a moment ended."""

    status: str
    """done, refused, failed, or stopped when it was asked to."""
    run: str = ""
    message: str = ""
    decision: str = ""
    """promoted or refused, when one was made; empty for a run that found it made before."""
    version: str = ""
    hopeless: bool = False
    """The recipe or the data are wrong: the same would come of trying again."""


Launch = Callable[[Tick, Callable[[], str]], Outcome]
"""Run the recipe for a moment. The second argument says, asked again and again, why to end early: `stop`, `lost`, or nothing."""
Tell = Callable[[str, str, Mapping[str, Any]], None]
"""An event, what identifies it, and its facts: for webhooks."""
Watch = Callable[[str, Mapping[str, Any]], None]
"""An event and its facts, for whoever looks on."""


@dataclass
class Scheduler:
    """One process that keeps a schedule."""

    config: ScheduleConfig
    triggers: list[Trigger]
    log: Log
    clock: Clock
    launch: Launch
    tell: Tell = lambda _event, _id, _facts: None
    watch: Watch = lambda _event, _facts: None
    pace: leases.Pace = field(default_factory=leases.Pace)
    patient: bool = True
    """Waits for another that acts; else gives up on it once its lease has been seen to live."""
    longest_wait_s: float = LONGEST_WAIT_S
    reach_s: float = 0.0
    """A trigger that is new counts from so long ago: whoever is called by another scheduler is called for a moment that has just passed."""
    _looks: dict[str, tuple[dt.datetime, Look]] = field(default_factory=dict)
    """What each trigger saw, and when."""
    _asked: dt.datetime | None = None
    """When `once` began."""
    _begun: bool = False
    """The log had these triggers."""

    def forever(self) -> None:
        """Until the clock says stop. A store that is away is waited for. Raises RecipeError when another keeps it otherwise."""
        while not self.clock.stopping:
            wait_s = self.longest_wait_s
            try:
                self.once()
            except RecipeError:
                raise
            except PipelineError as error:
                self.watch("trouble", {"problem": str(error)})
            else:
                again = [look.again for _, look in self._looks.values() if look.again]
                if again:
                    wait_s = min(wait_s, max(1.0, (min(again) - self.clock.now()).total_seconds()))
            self.clock.wait(wait_s)

    def once(self) -> None:
        """Run what is due now, and what another left unfinished; what comes due meanwhile is left for the next time.

        Raises Busy when another acts and this one has no patience.
        """
        self._asked = self.clock.now()
        entry = self.begun()
        if entry.state.paused is not None:
            self._looks.clear()
        elif entry.state.open or self._due(entry):
            try:
                while not self._acted():
                    self.watch("lost", {})
            except Busy:
                if not self.clock.stopping:
                    raise

    def _acted(self) -> bool:
        """All that is due, one after the other, under the lease. False when that was lost meanwhile."""
        with leases.held(self.log.store, f"schedule-{self.log.name}", self.pace, self._waiting()) as lease:
            while lease.is_held and not self.clock.stopping:
                if not self._act(lease):
                    return True
            return lease.is_held or self.clock.stopping

    def begun(self) -> Entry:
        """The end of the log, with these triggers in it, by a clock that does not go back. Raises RecipeError."""
        while True:
            last, now = self.log.last(), self.clock.now()
            back_s = (read(last.state.latest) - now).total_seconds() if last.n else 0.0
            if back_s > BACK_S:
                until = max((account.since for account in last.state.accounts.values()), default="")
                facts = {"by_s": round(back_s), "until": until}
                if self.log.append(last, "clock_back", now, **facts):
                    self.watch("clock_back", facts)
                    self._looks.clear()
            elif set(last.state.accounts) == {trigger.name for trigger in self.triggers}:
                self._begun = True
                return last
            else:
                names = [trigger.name for trigger in self.triggers]
                if self._begun:
                    raise RecipeError(
                        f"the schedule {self.log.name!r} is kept elsewhere by now, with other triggers: {', '.join(last.state.accounts)}; "
                        f"here they are {', '.join(names)}. Start this one anew if it is the one that counts, or rename one of the recipes"
                    )
                since = written(now - dt.timedelta(seconds=self.reach_s))
                if self.log.append(last, "began", now, triggers=names, since=since):
                    self.watch("began", {"triggers": names})

    def _waiting(self) -> Callable[[], None]:
        """What to do while another holds the lease."""
        begun = self.clock.now()
        told: list[str] = []

        def waiting() -> None:
            waited = (self.clock.now() - begun).total_seconds()
            if self.clock.stopping or (not self.patient and waited > 2 * self.pace.silence_s):
                raise Busy(f"another process is running the schedule {self.log.name!r}, and does what is due; --history shows it")
            if not told:
                told.append("waiting")
                self.watch("waiting", {})

        return waiting

    # ---- what is due ----

    def _due(self, entry: Entry) -> bool:
        return any(self._look(trigger, entry).times for trigger in self.triggers)

    def _look(self, trigger: Trigger, entry: Entry) -> Look:
        """What a trigger sees; asked anew when it is worth it. One whose source or store is away says so and is asked later."""
        now = self.clock.now()
        looked, known = self._looks.get(trigger.name, (now, Look()))
        if known.again and not known.times and not trigger.dated and looked <= now < known.again:
            return known
        account, asked = entry.state.accounts[trigger.name], self._asked or now
        try:
            if not trigger.dated and account.fired and read(account.since) >= asked:
                look = Look((), now)  # it had its run: whether that was enough is for the next time
            else:
                look = trigger.look(account, min(now, asked) if trigger.dated else now)
        except (TaskError, PipelineError) as error:
            self.watch("unseen", {"trigger": trigger.name, "problem": str(error)})
            look = Look((), now + dt.timedelta(seconds=self.longest_wait_s))
        self._looks[trigger.name] = (now, look)
        return look

    def _claimed(self, entry: Entry) -> Entry | None:
        """The log with the next moment claimed; None when nothing is due, or somebody else was first."""
        now = self.clock.now()
        for trigger in self.triggers:
            look = self._look(trigger, entry)
            times = [written(moment) for moment in look.times]
            late = [moment for moment in times if (now - read(moment)).total_seconds() > self._grace_s(trigger)]
            fresh = times[len(late) :]
            if late and not fresh:
                facts = {"trigger": trigger.name, "count": len(late), "first": late[0], "last": late[-1]}
                skipped = self.log.append(entry, "skipped", now, **facts)
                self.watch("skipped", facts)
                if skipped is None:
                    return None
                entry = skipped
            elif fresh:
                run, folded = (fresh[0], []) if self.config.misfire == "all" else (fresh[-1], fresh[:-1])
                facts = {"trigger": trigger.name, "scheduled": run, "why": look.why, "seen": dict(look.seen)}
                facts |= {"folded": _span(folded), "skipped": _span(late)}
                self._looks.pop(trigger.name)
                return self.log.append(entry, "claimed", now, **facts)
        return None

    def _grace_s(self, trigger: Trigger) -> float:
        if self.config.misfire == "skip" and trigger.dated:
            return self.config.misfire_grace_s + self.config.jitter_s
        return float("inf")

    # ---- running it ----

    def _act(self, lease: leases.Lease) -> bool:
        """The next thing that is due, if any: what was left unfinished, else a moment that is claimed now."""
        entry = self.begun()
        if entry.state.paused is not None:
            return False
        if entry.state.open:
            taken = self.log.append(entry, "attempt", self.clock.now(), tick=entry.state.open.n, reason="")
        else:
            taken = self._claimed(entry)
            if taken is None and self.log.last().n == entry.n:
                return False
        if taken and taken.state.open:  # else the log grew meanwhile: look again
            self._run(taken.state.open, lease)
        return True

    def _run(self, tick: Tick, lease: leases.Lease) -> None:
        """Run a claimed moment to its end, with retries, and write that down."""
        facts = {"tick": tick.n, "trigger": tick.trigger, "scheduled": tick.scheduled, "why": tick.why}
        self.watch("started", {**facts, "attempt": tick.attempt})
        if tick.attempt == 1:
            self.tell("started", f"{tick.n}", facts)
        tries = 0
        while True:
            begun = self.clock.now()
            outcome = self.launch(tick, lambda: "stop" if self.clock.stopping else "" if lease.is_held else "lost")
            seconds = round((self.clock.now() - begun).total_seconds(), 3)
            if not lease.is_held:
                return  # whoever has it by now takes the run up
            if outcome.status == "stopped":
                self.log.note("stopped", self.clock.now(), tick=tick.n, run=outcome.run)
                self.watch("stopped", {**facts, "run": outcome.run})
                return
            if outcome.status != "failed" or outcome.hopeless or tries >= self.config.retries:
                break
            tries += 1
            entry = self.log.note("attempt", self.clock.now(), tick=tick.n, reason=outcome.message, run=outcome.run)
            self.watch("retrying", {**facts, "run": outcome.run, "message": outcome.message, "in_s": self.config.retry_after_s})
            assert entry.state.open is not None
            tick = entry.state.open
            if not self._rested(lease):
                return
        self._finish(tick, outcome, seconds)

    def _rested(self, lease: leases.Lease) -> bool:
        """Wait before trying again; False when the process is to stop or lost its lease meanwhile."""
        until = self.clock.now() + dt.timedelta(seconds=self.config.retry_after_s)
        while (left := (until - self.clock.now()).total_seconds()) > 0 and lease.is_held and not self.clock.stopping:
            self.clock.wait(min(left, self.longest_wait_s, self.config.retry_after_s))
        return lease.is_held and not self.clock.stopping

    def _finish(self, tick: Tick, outcome: Outcome, seconds: float) -> None:
        facts = {"tick": tick.n, "trigger": tick.trigger, "scheduled": tick.scheduled, "run": outcome.run, "seconds": seconds}
        facts |= {"status": outcome.status, "decision": outcome.decision, "version": outcome.version, "message": outcome.message}
        while True:
            last = self.log.last()
            if last.state.open is None or last.state.open.n != tick.n:
                return  # another that took over wrote it down
            if self.log.append(last, "finished", self.clock.now(), **facts):
                break
        self.watch("finished", facts)
        self.tell("failed" if outcome.status == "failed" else "finished", f"{tick.n}", facts)
        if outcome.decision:
            self.tell(outcome.decision, f"{tick.n}", facts)


def _span(moments: list[str]) -> dict[str, Any] | None:
    """Many moments in one line."""
    return {"count": len(moments), "first": moments[0], "last": moments[-1]} if moments else None
