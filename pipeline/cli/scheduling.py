"""schedule: run a recipe by itself, and see how its schedule stands."""

from __future__ import annotations

import contextlib
import datetime as dt
import json
import signal
import sys
import threading
import zoneinfo
from argparse import Namespace
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict
from types import FrameType
from typing import TYPE_CHECKING, Any

from pipeline.cli import output
from pipeline.errors import Busy, RecipeError

if TYPE_CHECKING:
    from pipeline.steps import Recipe
    from pipeline.store import LocalStore
    from pipeline.ticks import Log

STOPPED = 130


def schedule(arguments: Namespace) -> int:
    """Whatever of it was asked for."""
    from pipeline import graph, recipe
    from pipeline.stores import store_at

    loaded = recipe.load(arguments.recipe, arguments.set, arguments.limit, arguments.store)
    graph.build(loaded)
    if loaded.schedule is None:
        raise RecipeError(
            f'{loaded.document.at(())}: has no `schedule:`; add one beside `steps:`, such as `schedule: {{cron: "0 3 * * *"}}`'
        )
    if arguments.emit:
        from pipeline.cli.emitting import emit

        return emit(arguments, loaded)
    store = store_at(loaded.store)
    if arguments.list or arguments.history is not None:
        return _list(arguments, loaded, store) if arguments.list else _history(arguments, _log(loaded, store))
    store.ready()
    if arguments.pause is not None or arguments.resume:
        return _set(arguments, _log(loaded, store))
    return _keep(arguments, loaded, store)


def _log(loaded: Recipe, store: LocalStore) -> Log:
    from pipeline.ticks import Log

    return Log(store, loaded.name)


def _now() -> dt.datetime:
    return dt.datetime.now(dt.UTC)


# ---- keeping it ----


class SystemClock:
    """The machine's own, until a signal says stop."""

    def __init__(self) -> None:
        self._stop = threading.Event()

    def now(self) -> dt.datetime:
        """UTC."""
        return _now()

    def wait(self, seconds: float) -> None:
        """Sleep; a signal ends it."""
        self._stop.wait(seconds)

    @property
    def stopping(self) -> bool:
        return self._stop.is_set()

    @contextlib.contextmanager
    def listening(self) -> Iterator[None]:
        """Ctrl-C and SIGTERM ask the scheduler to stop; the second time they end it."""

        def heard(number: int, frame: FrameType | None) -> None:
            if self._stop.is_set():
                signal.default_int_handler(number, frame)
            self._stop.set()

        before = {number: signal.signal(number, heard) for number in (signal.SIGINT, signal.SIGTERM)}
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)


def _keep(arguments: Namespace, loaded: Recipe, store: LocalStore) -> int:
    from pipeline import triggers
    from pipeline.announcing import Announcer
    from pipeline.retraining import Retraining
    from pipeline.scheduler import Scheduler

    assert loaded.schedule is not None
    clock, log, watch = SystemClock(), _log(loaded, store), _watcher(as_json=arguments.json)
    failures: list[str] = []

    def watched(event: str, facts: Mapping[str, Any]) -> None:
        if event == "finished" and facts["status"] == "failed":
            failures.append(facts["run"])
        watch(event, facts)

    found = triggers.of(loaded, store, jitter=not arguments.once)
    with clock.listening(), Announcer(loaded.schedule.webhooks, log, watch) as announcer:
        keeper = Scheduler(
            loaded.schedule,
            found,
            log,
            clock,
            Retraining(_words(arguments, loaded)),
            announcer.tell,
            watched,
            patient=not arguments.once,
            reach_s=loaded.schedule.misfire_grace_s if arguments.once else 0.0,
        )
        watch("keeping", {"schedule": loaded.name, "store": store.where, "triggers": [trigger.name for trigger in found]})
        paused = log.last().state.paused
        if paused is not None:
            watch("paused", {"reason": paused})
        if arguments.once:
            try:
                keeper.once()
            except Busy as error:
                watch("busy", {"why": str(error)})
        else:
            keeper.forever()
    if clock.stopping:
        watch("ended", {"why": "it was asked to stop; a run that was going is taken up when the schedule is started again"})
        return STOPPED
    return 1 if failures else 0


def _words(arguments: Namespace, loaded: Recipe) -> list[str]:
    """Of the `medley run` that a moment is."""
    words = ["run", str(loaded.path), "--store", str(loaded.store)]
    words += [word for assignment in arguments.set for word in ("--set", assignment)]
    options = {"--limit": arguments.limit, "--workers": arguments.workers, "--address": arguments.address}
    return words + [str(word) for option, value in options.items() if value is not None for word in (option, value)]


def _watcher(*, as_json: bool) -> Any:
    def line(event: str, facts: Mapping[str, Any]) -> None:
        now = _now().isoformat(timespec="seconds")
        if as_json:
            sys.stdout.write(json.dumps({"time": now, "event": event, **facts}, default=str) + "\n")
        else:
            sys.stdout.write(f"{now} {told(event, facts)}\n")
        sys.stdout.flush()

    return line


def told(event: str, facts: Mapping[str, Any]) -> str:
    """An event in a sentence."""
    trigger, moment = facts.get("trigger", ""), facts.get("scheduled", "")
    of = f"{trigger} of {moment}"
    sentences: dict[str, Callable[[], str]] = {
        "keeping": lambda: f"keeping the schedule {facts['schedule']} in {facts['store']}: {', '.join(facts['triggers'])}",
        "began": lambda: f"counting from now: {', '.join(facts['triggers'])}",
        "waiting": lambda: "another process is running this schedule; waiting for it",
        "claimed": lambda: f"{of} is to be run: {facts['why']}{_also(facts)}",
        "started": lambda: f"{of}: run begins ({facts['why']}){_again(facts)}",
        "attempt": lambda: f"its run is taken up again{': ' if facts['reason'] else ''}{facts['reason']}",
        "retrying": lambda: f"{of}: run {facts['run'] or ''} failed ({facts['message']}); again in {facts['in_s']:g} s",
        "finished": lambda: f"{of}: run {facts['run']} {facts['status']} after {output.duration(facts['seconds'])}{_result(facts)}",
        "stopped": lambda: "the run was stopped in the middle; it goes on when the schedule is started again",
        "lost": lambda: "the store was out of reach for too long, so another may have taken over; a run that went on was ended",
        "skipped": lambda: f"{trigger}: {facts['count']} passed while nothing could run, {facts['first']} to {facts['last']}; skipped",
        "unseen": lambda: f"{trigger}: cannot look now: {facts['problem']}",
        "trouble": lambda: f"cannot go on now: {facts['problem']}; trying again",
        "undelivered": lambda: f"webhook {facts['to']} was not told of {facts['of']}: {facts['problem']}",
        "clock_back": lambda: _clock_back(facts),
        "paused": lambda: f"paused: {facts['reason'] or 'no reason given'}",
        "resumed": lambda: "resumed; counting from now",
        "busy": lambda: str(facts["why"]),
        "ended": lambda: f"ended: {facts['why']}",
    }
    return sentences[event]()


def _also(facts: Mapping[str, Any]) -> str:
    spans = {"folded": "stands for {count} earlier as well", "skipped": "{count} came too late and were skipped"}
    return "".join(
        f"; {text.format(**facts[name])}, {facts[name]['first']} to {facts[name]['last']}" for name, text in spans.items() if facts[name]
    )


def _again(facts: Mapping[str, Any]) -> str:
    return f", attempt {facts['attempt']}" if facts.get("attempt", 1) > 1 else ""


def _result(facts: Mapping[str, Any]) -> str:
    decision = f", version {facts['version']} {facts['decision']}" if facts["decision"] else ""
    return f"{decision}{': ' if facts['message'] else ''}{facts['message']}"


def _clock_back(facts: Mapping[str, Any]) -> str:
    return (
        f"the clock went back by {output.duration(facts['by_s'])}. What was run is not run again: moments up to {facts['until']} are "
        "accounted for. If the clock was wrong before and is right now, `medley schedule RECIPE --resume` counts from now"
    )


# ---- looking and setting ----


def _list(arguments: Namespace, loaded: Recipe, store: LocalStore) -> int:
    from pipeline import triggers
    from pipeline.ticks import Account, written

    last, now = _log(loaded, store).last(), _now()
    accounts, fresh = last.state.accounts, Account(written(now))
    looks = {trigger.name: trigger.look(accounts.get(trigger.name, fresh), now) for trigger in triggers.of(loaded, store)}
    if arguments.json:
        shown = [
            {"trigger": name, "due": bool(look.times), "next": written(look.again) if look.again else None, "why": look.why}
            for name, look in looks.items()
        ]
        running = asdict(last.state.open) if last.state.open else None
        output.document({"schedule": loaded.name, "begun": last.n > 0, "paused": last.state.paused, "open": running, "triggers": shown})
        return 0
    assert loaded.schedule is not None
    zone = zoneinfo.ZoneInfo(loaded.schedule.timezone)
    rows = [
        [name, "now" if look.times else look.again.astimezone(zone).isoformat(" ", "minutes") if look.again else "never", look.why]
        for name, look in looks.items()
    ]
    output.table(["trigger", "due, or looks again", "why"], rows)
    if last.n == 0:
        output.say(f"\nnobody keeps it yet; `medley schedule {arguments.recipe}` does")
    if last.state.paused is not None:
        output.say(f"\n{told('paused', {'reason': last.state.paused})}; `medley schedule {arguments.recipe} --resume` goes on")
    if last.state.open:
        output.say(f"\nbegun and not finished: {last.state.open.trigger} of {last.state.open.scheduled}, attempt {last.state.open.attempt}")
    return 0


def _history(arguments: Namespace, log: Log) -> int:
    if arguments.history < 1:
        raise RecipeError(f"--history {arguments.history}: needs a number of entries, 1 or more")
    entries = list(log.entries(arguments.history))
    if arguments.json:
        output.document([{"n": entry.n, "time": entry.time, "event": entry.kind, **entry.facts} for entry in entries])
    elif not entries:
        output.say(f"nothing yet; `medley schedule {arguments.recipe}` keeps the schedule")
    else:
        output.table(["", "time", ""], [[str(entry.n), entry.time, told(entry.kind, entry.facts)] for entry in entries])
    return 0


def _set(arguments: Namespace, log: Log) -> int:
    """Pause or resume; what a run that goes on is not touched by."""
    last = log.last()
    if arguments.pause is not None and last.state.paused is not None:
        output.say("it is paused already") if not arguments.json else output.document({"event": "paused", "n": last.n})
        return 0
    kind, facts = ("paused", {"reason": arguments.pause}) if arguments.pause is not None else ("resumed", {})
    entry = log.note(kind, _now(), **facts)
    if arguments.json:
        output.document({"event": kind, "n": entry.n, **facts})
    else:
        output.say(told(kind, facts))
    return 0
