"""Executes a plan: ready steps side by side, retries, a journal, and an orderly end whatever happens.

In: a Plan. Out: a RunResult; finished steps are in the store even when others failed. Starts Ray only when something has to run.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from graphlib import TopologicalSorter
from typing import Any

from cluster.errors import ClusterError
from pipeline import code, pins, references, shared_runs
from pipeline.errors import RunError
from pipeline.execute import StepJob, StepOutcome
from pipeline.executors import Executor, ProcessDied
from pipeline.heralds import Herald
from pipeline.interrupts import Interrupts
from pipeline.journal import RunDir, new_run_id
from pipeline.plan import Plan, PlannedStep, look_again
from pipeline.sizes import size
from pipeline.tracking import follower, tracking
from tasks.contracts import Artifact, Lineage, Resources, StepRecord, Summary

POLL_S = 0.2
"""How often the runner looks at its steps and at signals."""
GRACE_S = 60.0
"""How long a stopped step may take to write its state."""
UNUSABLE = ("failed", "skipped", "stopped")
"""What nothing can be built on."""


@dataclass
class StepResult:
    """How one step of a run ended."""

    name: str
    status: str
    """ran, cached, failed, skipped, refused or stopped."""
    key: str
    artifact: str = ""
    """Path of the published folder; empty when there is none."""
    seconds: float = 0.0
    summary: Summary = field(default_factory=dict)
    message: str = ""
    bad_input: bool = False
    behind: str = ""
    """For a skipped step: the step that failed."""


@dataclass
class RunResult:
    """How a run ended."""

    run: str
    status: str
    """done, failed, refused or stopped."""
    seconds: float
    steps: dict[str, StepResult]


Watcher = Callable[[str, Mapping[str, Any]], None]
"""Told of events, for a display: run_started, nodes_checked, step_started, step_progress, step_retried, step_finished, stopping,
webhook_failed."""


@dataclass
class Options:
    """What a run may be told beside its plan."""

    command: str = ""
    """The command line that started it, which is also the one that resumes it."""
    data_tasks: int | None = None
    """Caps the data tasks that run at once. Never enters a key."""
    watch: Watcher = lambda _event, _facts: None


def run(plan: Plan, executor: Callable[[], contextlib.AbstractContextManager[Executor]], options: Options) -> RunResult:
    """Run what is not cached. Failures are in the result; raises only when the run itself cannot go on (store, cluster)."""
    begun = time.monotonic()
    results: dict[str, StepResult] = {}
    run_dir = RunDir.create(plan.store.root, new_run_id())
    pin = pins.pinned(plan.store, run_dir.run, plan.stands_on)
    shared = shared_runs.shared(plan.store, run_dir)
    herald = Herald(plan.graph.recipe, run_dir, options.watch)
    options = replace(options, watch=herald.watch)
    with Interrupts(run_dir, lambda: options.watch("stopping", {})) as interrupts, pin, shared, herald:
        plan = look_again(plan)
        recipe = plan.graph.recipe
        run_dir.started(str(recipe.path), recipe.name, options.command)
        run_dir.event("run_planned", steps={name: step.key for name, step in plan.steps.items()}, **follower(plan))
        run_dir.write_plan({name: step.parts for name, step in plan.steps.items()})
        options.watch("run_started", {"run": run_dir.run, "plan": plan})
        status = "failed"
        try:
            _record(results, run_dir, options, *(_from_cache(plan, step) for step in plan.steps.values() if step.cached))
            if plan.to_run:
                with executor() as machine:
                    interrupts.listen()
                    _check(plan, machine, run_dir, options)
                    _Drive(plan, machine, run_dir, results, options, interrupts).to_the_end()
            status = _overall(results)
        except KeyboardInterrupt:
            status = "stopped"
            raise
        finally:
            run_dir.event("run_finished", status=status)
    ordered = {name: results[name] for name in plan.steps if name in results}
    return RunResult(run_dir.run, status, time.monotonic() - begun, ordered)


def _check(plan: Plan, machine: Executor, run_dir: RunDir, options: Options) -> None:
    """Whether the steps to run can run at all; several nodes are named in the journal."""
    begun = time.monotonic()
    nodes = machine.check(plan, tracking(plan))
    if nodes:
        facts = {"nodes": nodes, "seconds": round(time.monotonic() - begun, 3)}
        run_dir.event("nodes_checked", **facts)
        options.watch("nodes_checked", facts)


def _overall(results: Mapping[str, StepResult]) -> str:
    statuses = {result.status for result in results.values()}
    if "failed" in statuses:
        return "failed"
    if statuses & {"stopped", "skipped"}:
        return "stopped"
    return "refused" if "refused" in statuses else "done"


def _from_cache(plan: Plan, step: PlannedStep) -> StepResult:
    status = "refused" if step.summary.get("decision") == "refused" else "cached"
    return StepResult(step.name, status, step.key, str(plan.store.artifact_path(step.key)), 0.0, dict(step.summary))


def _record(results: dict[str, StepResult], run_dir: RunDir, options: Options, *ended: StepResult) -> None:
    results |= {result.name: result for result in ended}
    facts = ("status", "key", "message")
    told = [{"step": each.name, "seconds": round(each.seconds, 3), **{name: getattr(each, name) for name in facts}} for each in ended]
    run_dir.events("step_finished", told)
    for result in ended:
        options.watch("step_finished", {"result": result})


@dataclass
class _Drive:
    """The moving parts of a run: what is ready, what runs, what is done."""

    plan: Plan
    machine: Executor
    run_dir: RunDir
    results: dict[str, StepResult]
    options: Options
    interrupts: Interrupts
    running: dict[str, int] = field(default_factory=dict)
    """step → how often it was tried again."""

    def __post_init__(self) -> None:
        self.order = TopologicalSorter({name: set(self.plan.graph.parents(name).values()) for name in self.plan.steps})
        self.order.prepare()

    def to_the_end(self) -> None:
        while self.order.is_active():
            for name in self.order.get_ready():
                self._begin(name)
            for name, outcome in self.machine.poll(POLL_S).items():
                self._ended(name, outcome)
            for name in self.running:
                self.options.watch("step_progress", {"step": name, "file": self.run_dir.progress_file(name)})
            if self.running and self.interrupts.overdue(GRACE_S):
                self.machine.cancel()
                for name in list(self.running):
                    self._close(name, StepResult(name, "stopped", self.plan.steps[name].key, message="ended at once"))

    def _begin(self, name: str) -> None:
        if name in self.results:
            self.order.done(name)
        elif self.interrupts.stopping or any(self.results[source].status in UNUSABLE for source in self.plan.graph.parents(name).values()):
            self._close(name, _skipped(self.plan, name, self.results))
        else:
            self.running[name] = 0
            self._start(name)

    def _start(self, name: str) -> None:
        planned = self.plan.steps[name]
        self.run_dir.event("step_started", step=name, key=planned.key)
        self.options.watch("step_started", {"step": name, "planned": planned})
        wanted = size(self.plan, name, local=self.machine.local_ray)
        job = _job(self.plan, name, self.run_dir, self.results, self.options, self.machine)
        try:
            self.machine.start(job, wanted.cpus, wanted.gpus)
        except ClusterError as error:
            self._close(name, StepResult(name, "failed", planned.key, message=str(error), bad_input=True))

    def _ended(self, name: str, outcome: StepOutcome | ProcessDied) -> None:
        if isinstance(outcome, ProcessDied):
            if self.running[name] < self.plan.graph.recipe.steps[name].retries and not self.interrupts.stopping:
                self.running[name] += 1
                self.run_dir.event("step_retried", step=name, attempt=self.running[name], reason=outcome.reason)
                self.options.watch("step_retried", {"step": name, "attempt": self.running[name], "reason": outcome.reason})
                self._start(name)
                return
            outcome = StepOutcome("stopped" if self.interrupts.stopping else "failed", 0.0, message=outcome.reason)
        self._close(name, _finished(self.plan, name, outcome))

    def _close(self, name: str, result: StepResult) -> None:
        self.running.pop(name, None)
        _record(self.results, self.run_dir, self.options, result)
        self.order.done(name)


def _finished(plan: Plan, name: str, outcome: StepOutcome) -> StepResult:
    step = plan.steps[name]
    published = str(plan.store.artifact_path(step.key)) if outcome.status in ("ran", "cached", "refused") else ""
    return StepResult(name, outcome.status, step.key, published, outcome.seconds, outcome.summary, outcome.message, outcome.bad_input)


def _skipped(plan: Plan, name: str, results: Mapping[str, StepResult]) -> StepResult:
    for source in plan.graph.parents(name).values():
        if source not in results:
            continue
        if results[source].status in ("failed", "stopped"):
            return StepResult(name, "skipped", plan.steps[name].key, behind=source)
        if results[source].status == "skipped":
            return StepResult(name, "skipped", plan.steps[name].key, behind=results[source].behind)
    return StepResult(name, "skipped", plan.steps[name].key)


def _job(plan: Plan, name: str, run_dir: RunDir, results: Mapping[str, StepResult], options: Options, machine: Executor) -> StepJob:
    recipe, planned = plan.graph.recipe, plan.steps[name]
    wanted = recipe.steps[name].resources
    return StepJob(
        name=name,
        task=planned.task,
        key=planned.key,
        parts=planned.parts,
        inputs=dict(_inputs(plan, name)),
        store=plan.store,
        run=run_dir,
        seed=recipe.seed,
        resources=Resources(
            size(plan, name, local=machine.local_ray).workers, wanted.cpus, wanted.gpus, options.data_tasks, machine.growing
        ),
        tracking=tracking(plan),
        lineage=_lineage(plan, run_dir, results),
        code_dir=recipe.base_dir,
        recipe_name=recipe.name,
        local_ray=machine.local_ray,
    )


def _inputs(plan: Plan, name: str) -> Iterator[tuple[str, Artifact]]:
    for key, source in plan.graph.parents(name).items():
        made = plan.store.artifact(plan.steps[source].key)
        artifact = references.chosen(made and replace(made, step=source), plan.store)
        if artifact is None:
            raise RunError(
                f"the output of step {source!r} vanished from {plan.store.where} while the run went on; run the same command again"
            )
        yield key, artifact
    for key, version in plan.steps[name].versions.items():
        yield key, references.artifact(version, plan.store)


def _lineage(plan: Plan, run_dir: RunDir, results: Mapping[str, StepResult]) -> Lineage:
    recipe = plan.graph.recipe
    steps = []
    for name, planned in plan.steps.items():
        result = results.get(name)
        inputs = recipe.steps[name].inputs
        done = result.artifact if result else ""
        steps.append(
            StepRecord(name, planned.task, planned.key, inputs, done, result.summary if result else {}, result.status if result else "")
        )
    return Lineage(recipe.name, recipe.text, run_dir.run, code.revision(), code.libraries(), tuple(steps))
