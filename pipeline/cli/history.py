"""status, logs, report: what has happened."""

from __future__ import annotations

import json
import time
from argparse import Namespace
from collections import Counter
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any

from pipeline import journal
from pipeline.cli import jobs, output
from pipeline.errors import NotFound
from pipeline.labels import folded
from pipeline.shared_runs import pull
from pipeline.stores import store_at
from tasks.registry import closest


def status(arguments: Namespace) -> int:
    """How a run stands, or all of them."""
    root = _root(arguments, arguments.run)
    if arguments.all:
        return _all(root, arguments)
    run_dir = journal.find(root, arguments.run)
    state = journal.state(run_dir)
    astray = [] if state.status == "running" else _astray(arguments, run_dir)
    if arguments.json:
        output.document(asdict(state) | ({"astray": astray} if astray else {}))
        return 0
    begun = time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(state.started))
    output.say(f"run {state.run}: {state.status} after {output.duration(state.seconds)}, started {begun}")
    output.say(f"recipe {state.recipe}\n")
    rows = [row for shown, names in folded(list(state.steps)) for row in _rows(shown, [state.steps[name] for name in names])]
    output.table(["step", "status", "seconds", "key", ""], rows)
    if state.status in ("failed", "stopped", "killed"):
        output.say(f"\nto go on from there: {state.command}")
    for sentence in astray:
        output.say(f"\n{sentence}")
    return 0


def _astray(arguments: Namespace, run_dir: journal.RunDir) -> list[str]:
    from pipeline.promoting import astray_since  # it knows of planning, which a status can do without

    return astray_since(store_at(arguments.store), journal.events(run_dir.path))


def _root(arguments: Namespace, run: str | None) -> Path:
    """The folder with the journals; those of other machines, and all files of one run, are brought up to date first."""
    store = store_at(arguments.store)
    pull(store, run)
    return store.root


def _rows(shown: str, steps: list[journal.StepState]) -> Iterator[list[str]]:
    """A step's line; a long family is one line, and one for each of it that runs or went wrong."""
    if len(steps) == 1:
        yield _row(steps[0])
        return
    counts = Counter(step.status for step in steps)
    took = sum(step.seconds for step in steps)
    told = ", ".join(f"{number} {status}" for status, number in counts.items()) if len(counts) > 1 else ""
    yield [shown, steps[0].status if len(counts) == 1 else "", f"{took:.1f}" if took else "", "", told]
    if len(counts) > 1:
        yield from (_row(step) for step in steps if step.status not in ("ran", "cached", "waiting", "skipped"))


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
    """A step's log, or the journal; a job's log when it is a job that is asked for."""
    if arguments.step is None and (arguments.address or jobs.is_job(arguments.run)):
        return jobs.logs(arguments)
    run = None if arguments.run == "last" else arguments.run
    run_dir = journal.find(_root(arguments, run), run)
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
    state, store = journal.state(journal.find(_root(arguments, arguments.run), arguments.run)), store_at(arguments.store)
    with_page = [step.key for step in state.steps.values() if "report.html" in (store.manifest(step.key) or {}).get("files", ())]
    pages = [store.bring(key) / "report.html" for key in with_page]
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
