"""What a person sees while a run goes on: live bars on a terminal, one line an event elsewhere. All of it on stderr."""

from __future__ import annotations

import sys
import time
from collections import Counter
from collections.abc import Mapping
from typing import Any

from pipeline.cli.output import count, duration
from pipeline.journal import read_progress
from pipeline.labels import folded

MARKS = {"ran": "✓", "cached": "=", "failed": "✗", "skipped": "-", "refused": "!", "stopped": "■"}


class Display:
    """Draws the events of a run. `quiet` keeps failures and retries only."""

    def __init__(self, *, quiet: bool) -> None:
        self._quiet = quiet
        self._live: Any = None
        self._bars: dict[str, Any] = {}
        self._noted: dict[str, list[str]] = {}
        self._width = 0
        self._begun = time.monotonic()
        self._families: dict[str, str] = {}
        """Member of a long family → how the family is shown in one line."""
        self._cached: Counter[str] = Counter()

    def __enter__(self) -> Display:
        return self

    def __exit__(self, *exception: object) -> None:
        if self._live is not None:
            self._live.stop()
            self._live = None

    def watch(self, event: str, facts: Mapping[str, Any]) -> None:
        """A `runner.Watcher`."""
        getattr(self, f"_{event}")(facts)

    def _run_started(self, facts: Mapping[str, Any]) -> None:
        plan = facts["plan"]
        self._families = {name: shown for shown, names in folded(list(plan.steps)) if len(names) > 1 for name in names}
        self._cached = Counter(self._families[name] for name in plan.steps if plan.steps[name].cached and name in self._families)
        self._width = max(len(name if not plan.steps[name].cached else self._families.get(name, name)) for name in plan.steps)
        waiting = f"{len(plan.to_run)} of {len(plan.steps)} steps to run" if plan.to_run else "everything is cached"
        self._line(f"run {facts['run']}: {waiting}; store {plan.store.where}")
        if plan.to_run and sys.stderr.isatty() and not self._quiet:
            self._start_live()

    def _start_live(self) -> None:
        from rich.console import Console
        from rich.progress import BarColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn, TimeRemainingColumn

        columns = (
            SpinnerColumn(),
            TextColumn("{task.description}", markup=False),
            BarColumn(bar_width=28),
            TextColumn("{task.fields[amount]}"),
            TimeElapsedColumn(),
            TextColumn("ETA"),
            TimeRemainingColumn(),
        )
        self._live = Progress(*columns, console=Console(stderr=True), transient=True)
        self._live.start()

    def _nodes_checked(self, facts: Mapping[str, Any]) -> None:
        self._line(f"  {count(len(facts['nodes']))} nodes checked in {duration(facts['seconds'])}: {', '.join(facts['nodes'])}")

    def _step_started(self, facts: Mapping[str, Any]) -> None:
        name = facts["step"]
        if self._live is not None and name not in self._bars:
            self._bars[name] = self._live.add_task(name, total=None, amount="starting")
        elif self._live is None:
            self._line(f"  {name:<{self._width}}  starts: {facts['planned'].why or 'not cached'}")

    def _step_progress(self, facts: Mapping[str, Any]) -> None:
        if self._quiet:
            return
        name, state = facts["step"], read_progress(facts["file"])
        for note in state.get("notes", []):
            if note not in self._noted.setdefault(name, []):
                self._noted[name].append(note)
                self._line(f"  {name:<{self._width}}  {note}")
        if self._live is None or name not in self._bars or "done" not in state:
            return
        total = state.get("total")
        amount = f"{count(state['done'])}{f'/{count(total)}' if total else ''} {state['unit']}"
        bar = self._bars[name]
        speed = next(task.speed for task in self._live.tasks if task.id == bar)
        rate = f" · {speed:.3g}/s" if speed else ""
        detail = f" · {state['detail']}" if state.get("detail") else ""
        self._live.update(bar, completed=state["done"], total=total, amount=amount + rate + detail)

    def _step_retried(self, facts: Mapping[str, Any]) -> None:
        self._line(f"  {facts['step']:<{self._width}}  again (attempt {facts['attempt'] + 1}): {facts['reason']}", always=True)

    def _step_finished(self, facts: Mapping[str, Any]) -> None:
        result = facts["result"]
        if result.status == "cached" and (family := self._families.get(result.name)):
            if num := self._cached.pop(family, 0):
                self._line(f"= {family:<{self._width}}  cached  {'':>8}  {num} variants")
            return
        if self._live is not None and result.name in self._bars:
            self._live.remove_task(self._bars.pop(result.name))
        took = duration(result.seconds) if result.status not in ("cached", "skipped") else ""
        about = result.message.partition("\n")[0] if result.message else headline(result.summary)
        line = f"{MARKS[result.status]} {result.name:<{self._width}}  {result.status:<7} {took:>8}  {about}"
        self._line(line.rstrip(), always=result.status == "failed")

    def _webhook_failed(self, facts: Mapping[str, Any]) -> None:
        self._line(f"  webhook {facts['to']} was not told of {facts['of']}: {facts['problem']}", always=True)

    def _stopping(self, _facts: Mapping[str, Any]) -> None:
        self._line("stopping: steps write their state; press Ctrl-C again to end at once", always=True)

    def _line(self, text: str, *, always: bool = False) -> None:
        if self._quiet and not always:
            return
        if self._live is not None:
            self._live.console.print(text, highlight=False, markup=False, soft_wrap=True)
        else:
            sys.stderr.write(text + "\n")
            sys.stderr.flush()


def headline(summary: Mapping[str, Any]) -> str:
    """The few numbers of a step's summary that one wants to see at once."""
    if "ledger" in summary:
        ledger = summary["ledger"]
        rest = ", ".join(f"{count(ledger[name])} {name}" for name in ("filtered", "duplicate", "quarantined", "forgotten") if ledger[name])
        return f"{count(summary['samples'])} samples in {count(summary['shards'])} shards{f'; {rest}' if rest else ''}"
    if "heads" in summary:
        return "; ".join(_head(name, head) for name, head in summary["heads"].items())
    if "chosen" in summary:
        group = summary["group"]
        mean = f" (mean of its {group['num']}: {group['mean']:.4g})" if group["num"] > 1 else ""
        return f"{summary['step']}: {summary['metric']} {summary['value']:.4g}{mean}, of {len(summary['variants'])} variants"
    if "decision" in summary:
        return f"{summary['name']} version {summary['version']} {summary['decision']} as {summary['alias']}"
    if "version" in summary:
        return f"{summary['name']} version {summary['version']}"
    if "epochs" in summary:
        return f"{summary['epochs']} epochs, {count(summary['num_parameters'])} parameters, {count(summary['samples_per_s'])} samples/s"
    if "records" in summary:
        return f"{count(summary['records'])} records ({', '.join(f'{name} {count(number)}' for name, number in summary['splits'].items())})"
    return ""


def _head(name: str, head: Mapping[str, Any]) -> str:
    metric = head.get("metric") or next((each for each in ("accuracy", "rmse") if each in head), "loss")
    interval, value = head.get("interval"), head.get(metric)
    shown = f" [{interval[0]:.3f}, {interval[1]:.3f}]" if interval else ""
    return f"{name} {metric} {value:.3f}{shown}" if value is not None else f"{name} {metric} not known"
