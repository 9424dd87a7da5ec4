"""status, logs, report: what has happened."""

from __future__ import annotations

import json
import time
from argparse import Namespace
from dataclasses import asdict
from typing import Any

from pipeline import journal
from pipeline.cli import output
from pipeline.errors import NotFound
from pipeline.store import LocalStore
from tasks.registry import closest


def status(arguments: Namespace) -> int:
    """How a run stands, or all of them."""
    root = arguments.store.absolute()
    if arguments.all:
        return _all(root, arguments)
    state = journal.state(journal.find(root, arguments.run))
    if arguments.json:
        output.document(asdict(state))
        return 0
    begun = time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(state.started))
    output.say(f"run {state.run}: {state.status} after {output.duration(state.seconds)}, started {begun}")
    output.say(f"recipe {state.recipe}\n")
    output.table(["step", "status", "seconds", "key", ""], [_row(step) for step in state.steps.values()])
    if state.status in ("failed", "stopped", "killed"):
        output.say(f"\nto go on from there: {state.command}")
    return 0


def _row(step: journal.StepState) -> list[str]:
    took = f"{step.seconds:.1f}" if step.status not in ("waiting", "skipped", "running") else ""
    about = step.message.partition("\n")[0]
    if step.progress.get("unit"):
        done, total = step.progress["done"], step.progress.get("total")
        of = f" of {output.count(total)}" if total else ""
        about = f"{output.count(done)}{of} {step.progress['unit']} {step.progress.get('detail', '')}".strip()
    return [step.name, step.status, took, step.key[:12], about]


def _all(root: Any, arguments: Namespace) -> int:
    states = [journal.state(journal.find(root, run)) for run in journal.runs(root)]
    if arguments.json:
        output.document([asdict(state) for state in states])
        return 0
    rows = [[state.run, state.name, state.status, output.duration(state.seconds)] for state in states]
    output.table(["run", "recipe", "status", "took"], rows)
    return 0


def logs(arguments: Namespace) -> int:
    """A step's log, or the journal."""
    run_dir = journal.find(arguments.store.absolute(), None if arguments.run == "last" else arguments.run)
    if arguments.step is None:
        for event in journal.events(run_dir.path):
            output.say(json.dumps(event))
        return 0
    path = run_dir.log_file(arguments.step)
    if not path.exists():
        steps = journal.state(run_dir).steps
        if arguments.step not in steps:
            raise NotFound(
                f"run {run_dir.run} has no step {arguments.step!r}; steps: {', '.join(steps)}{closest(arguments.step, list(steps))}"
            )
        raise NotFound(f"step {arguments.step!r} of run {run_dir.run} said nothing: it was {steps[arguments.step].status}")
    text = path.read_text(encoding="utf-8")
    if arguments.json:
        output.document({"run": run_dir.run, "step": arguments.step, "lines": text.splitlines()})
    else:
        output.say(text.rstrip("\n"))
    return 0


def report(arguments: Namespace) -> int:
    """The report page of a run."""
    root = arguments.store.absolute()
    state = journal.state(journal.find(root, arguments.run))
    store = LocalStore(root)
    pages = [store.artifact_path(step.key) / "report.html" for step in state.steps.values()]
    pages = [page for page in pages if page.exists()]
    if not pages:
        raise NotFound(f"run {state.run} has no report; it is {state.status}, `medley status {state.run}` says more")
    if arguments.json:
        output.document({"run": state.run, "pages": [str(page) for page in pages]})
    else:
        output.say("\n".join(map(str, pages)))
    if arguments.open:
        import webbrowser

        webbrowser.open(pages[-1].as_uri())
    return 0
