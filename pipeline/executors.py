"""Where a step's process is: here, or on Ray.

In: a StepJob. Out: its StepOutcome, some time later. An executor is asked with `poll` and never blocks for long.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, Protocol

from cluster.nodes import Need
from pipeline.execute import StepJob, StepOutcome, execute
from tasks.contracts import Tracking

if TYPE_CHECKING:
    from pipeline.plan import Plan


class Executor(Protocol):
    """Runs step jobs."""

    local_ray: bool
    """Ray is our own single node, or is not used: training may happen in the step's own process."""

    growing: bool
    """An autoscaler may bring nodes."""

    def check(self, plan: Plan, tracking: Tracking) -> list[str]:
        """Before the first step: raises when a step to run can never run here. Returns the nodes, when there are several."""

    def start(self, job: StepJob, cpus: int, gpus: int) -> None:
        """Begin a step."""

    def poll(self, timeout_s: float) -> dict[str, StepOutcome | ProcessDied]:
        """Steps that ended since the last look, by name; waits up to `timeout_s` for the first."""

    def cancel(self) -> None:
        """End whatever still runs, at once."""


class ProcessDied:
    """A step's process ended without an outcome: worth another try."""

    def __init__(self, reason: str) -> None:
        self.reason = reason


class InProcess:
    """Runs each step in this process when it is polled. For tests and notebooks, one step at a time."""

    local_ray = True
    growing = False

    def __init__(self) -> None:
        self._waiting: list[StepJob] = []

    def check(self, plan: Plan, tracking: Tracking) -> list[str]:  # noqa: ARG002 - what runs here has what is here
        return []

    def start(self, job: StepJob, cpus: int, gpus: int) -> None:  # noqa: ARG002 - there is one process, of one size
        self._waiting.append(job)

    def poll(self, timeout_s: float) -> dict[str, StepOutcome | ProcessDied]:  # noqa: ARG002 - a step takes as long as it takes
        if not self._waiting:
            return {}
        job = self._waiting.pop(0)
        return {job.name: execute(job)}

    def cancel(self) -> None:
        self._waiting.clear()


@contextlib.contextmanager
def in_process() -> Iterator[Executor]:
    """Steps run here, one after the other; nothing is started."""
    yield InProcess()


class OnRay:
    """Runs each step as a Ray task, side by side where there is room."""

    def __init__(self, connection: Any) -> None:
        self._connection = connection
        self._running: dict[Any, str] = {}
        self.local_ray: bool = connection.local
        self.growing = bool(connection.to_come)

    def check(self, plan: Plan, tracking: Tracking) -> list[str]:
        from pipeline.preflight import check

        check(plan, self._connection, tracking)
        return [str(node) for node in self._connection.nodes] if self._connection.several else []

    def start(self, job: StepJob, cpus: int, gpus: int) -> None:
        import ray

        wanted = min(cpus, self._connection.cpus) if self._connection.local else cpus
        self._connection.check_room(Need(job.name, wanted, gpus))
        task = ray.remote(execute).options(num_cpus=wanted, num_gpus=gpus, max_retries=0, name=f"medley:{job.name}")
        self._running[task.remote(job)] = job.name

    def poll(self, timeout_s: float) -> dict[str, StepOutcome | ProcessDied]:
        import ray
        from ray.exceptions import NodeDiedError, OutOfMemoryError, RayError, WorkerCrashedError

        if not self._running:
            return {}
        done, _ = ray.wait(list(self._running), timeout=timeout_s)
        ended: dict[str, StepOutcome | ProcessDied] = {}
        for reference in done:
            name = self._running.pop(reference)
            try:
                ended[name] = ray.get(reference)
            except OutOfMemoryError as error:
                ended[name] = ProcessDied(f"Ray ended it because the node ran out of memory: {_first(error)}")
            except (WorkerCrashedError, NodeDiedError) as error:
                ended[name] = ProcessDied(f"its process or node died: {_first(error)}")
            except RayError as error:
                ended[name] = StepOutcome("failed", 0.0, message=f"Ray could not run it: {error}", traceback=str(error))
        return ended

    def cancel(self) -> None:
        import ray

        for reference in self._running:
            ray.cancel(reference, force=True)
        self._running.clear()


def _first(error: Exception) -> str:
    return str(error).strip().split("\n", maxsplit=1)[0]
