"""run and demo."""

from __future__ import annotations

import contextlib
import functools
import os
import shlex
import sys
from argparse import Namespace
from collections.abc import Iterator
from typing import Any

from pipeline.cli import output
from pipeline.cli.display import Display
from pipeline.cli.planning import load_plan
from pipeline.errors import NotFound, RecipeError

EXIT = {"done": 0, "failed": 1, "refused": 3, "stopped": 130}


def run(arguments: Namespace) -> int:
    """Plan, run what is not cached, say how it went."""
    if arguments.workers is not None and arguments.workers < 1:
        raise RecipeError(f"--workers {arguments.workers}: needs a number of data tasks, 1 or more")
    with contextlib.redirect_stdout(sys.stderr) if arguments.json else contextlib.nullcontext():  # Ray says there what its nodes do
        result, plan = _run(arguments)
    notes = list(_afterwards(result, plan))
    if arguments.json:
        output.document(_document(result, plan) | ({"notes": notes} if notes else {}))
    for note in notes:
        sys.stderr.write(f"{note}\n")
    return _ended(result, plan)


def _afterwards(result: Any, plan: Any) -> Iterator[str]:
    """What is to be said about decisions: versions that wait for a person, and aliases that were moved in MLflow since."""
    decisions = {step.name: step for step in result.steps.values() if "decision" in step.summary}
    if not decisions:
        return
    from pipeline import promoting

    cached = {name: step.summary for name, step in decisions.items() if not step.seconds}  # those that ran looked after it
    yield from promoting.tend(plan, cached)
    yield from promoting.approvals(plan, {name: step.summary for name, step in decisions.items()}, output.program("medley"))


def demo(arguments: Namespace) -> int:
    """The digits example, and where to look afterwards."""
    from pipeline.code import ROOT

    arguments.recipe = ROOT / "examples" / "digits" / "recipe.yaml"
    if not arguments.recipe.exists():
        raise NotFound(f"the demo's recipe {arguments.recipe} is not there; run it from a clone of the repository")
    code = run(arguments)
    if not arguments.json:
        from pipeline.cli.tour import tour

        tour(load_plan(arguments))
    return code


def _run(arguments: Namespace) -> tuple[Any, Any]:
    from pipeline import runner

    plan = load_plan(arguments)
    plan.store.ready()
    _check_tracking(plan)
    display = Display(quiet=arguments.json)
    with display:
        options = runner.Options(" ".join(_command()), arguments.workers, display.watch)
        return runner.run(plan, functools.partial(_on_ray, arguments.address), options), plan


def _check_tracking(plan: Any) -> None:
    from pipeline.catalog import CATALOG
    from pipeline.tracking import tracking

    if any(CATALOG[plan.steps[name].task].tracked for name in plan.to_run):
        from tasks.tracking.connect import probe

        probe(tracking(plan).uri)


@contextlib.contextmanager
def _on_ray(address: str | None) -> Iterator[Any]:
    from cluster.connect import connected
    from pipeline.code import ROOT
    from pipeline.executors import OnRay

    with connected(ROOT, address) as connection:
        yield OnRay(connection)


def _command() -> list[str]:
    """What resumes this run: the same command, or the `medley submit` that a job came from."""
    if submitted := os.environ.get("MEDLEY_COMMAND"):
        return shlex.split(submitted)
    return [output.program("medley"), *sys.argv[1:]]


def _document(result: Any, plan: Any) -> dict[str, Any]:
    steps = {
        step.name: {
            "status": step.status,
            "key": step.key,
            "artifact": step.artifact,
            "seconds": round(step.seconds, 3),
            "summary": step.summary,
            **({"message": step.message} if step.message else {}),
        }
        for step in result.steps.values()
    }
    return {"run": result.run, "status": result.status, "seconds": round(result.seconds, 3), "store": plan.store.where, "steps": steps}


def _ended(result: Any, plan: Any) -> int:
    from pipeline.aftermath import failure_report

    if result.status in ("failed", "stopped"):
        sys.stderr.write(failure_report(plan, result, _command()) + "\n")
    if result.status == "refused":
        for step in result.steps.values():
            if step.status == "refused":
                sys.stderr.write(f"step {step.name!r}: the gate said no: {'; '.join(step.summary.get('reasons', []))}\n")
    if result.status == "failed" and all(step.bad_input for step in result.steps.values() if step.status == "failed"):
        return 2
    return EXIT[result.status]
