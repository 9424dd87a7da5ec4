"""Launches a training with Ray Train and stays at its side until it ends. Imports ray when it is needed.

`workers: 0` trains in this process (Ray Train's local mode, which starts no cluster); else Ray Train starts that many processes, on as
many nodes as it takes, joined by gloo on CPUs and nccl on GPUs. Both run the same function and keep the same checkpoints in the work
folder, which all nodes see. Ray Train runs beside the caller, which hands on curves, progress and the wish to stop.
"""

from __future__ import annotations

import contextlib
import json
import logging
import os
import sys
import threading
import uuid
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tasks.contracts import Json, Resources, TaskContext
from tasks.errors import Stopped, TaskError
from tasks.training import channel, rooms
from tasks.training.channel import Tail

POLL_INTERVAL_S = 0.2
RETRIES = 3
"""How often Ray Train starts the workers again after one of them died; they go on from our last checkpoint."""
STOP_GRACE_S = 120
"""How long workers have to answer a stop; those that wait for a place in a full cluster never do, and go with this process."""
CANCEL_S = 10
"""How long Ray may take to end a training that waits for lost nodes."""
COLLECTIVE_TIMEOUT_S = 600
"""How long a rank waits for the others: as long as a slow read of one batch may take."""
RAY_SETTINGS = {
    "RAY_TRAIN_HEALTH_CHECK_INTERVAL_S": "0.5",  # by default 2 s pass before a finished or dead worker is noticed
    "RAY_TRAIN_WORKER_GROUP_START_TIMEOUT_S": "300",  # importing torch in each worker takes longer than the default 60 s on a busy machine
    "RAY_TRAIN_METRICS_ENABLED": "0",
}


def launch(spec: dict[str, Json], context: TaskContext, log: Callable[[dict[str, float], int], None]) -> None:
    """Train until done. `spec` is what `train_worker` takes; `log` gets the curves beside the context's sink.

    Where nodes were lost and did not come back, training goes on with as many workers as there is room for. Raises Stopped after a
    checkpoint when the context's stop signal is set, the worker's own TaskError when it failed by one, and TaskError when workers died
    more often than is retried.
    """
    workers = context.resources.workers or (0 if context.local_ray else 1)
    if workers:
        rooms.check(workers, context.resources, checked=not context.local_ray)
    channel.reset(context.work_dir)
    tail = Tail(context.work_dir, context.sink, log)
    if context.stop.is_set():
        channel.request_stop(context.work_dir)
    while True:
        outcome = _attempt(spec, workers, context, tail)
        if not isinstance(outcome, _Fewer):
            break
        workers = outcome.workers
        if not workers:
            raise TaskError(
                "nodes are missing, none that is left has room for a training process, and none came in time; "
                "the last checkpoint is kept: add a node and run the same recipe again"
            )
        context.sink.note(f"nodes are missing and did not come in time: training goes on with {workers} workers")
    _raise(outcome, context.work_dir)


@dataclass(frozen=True)
class _Fewer:
    """The workers can no longer be held; so many can."""

    workers: int


def _attempt(spec: dict[str, Json], workers: int, context: TaskContext, tail: Tail) -> BaseException | _Fewer | None:
    """One call of Ray Train, watched until it ends. Returns the error it ended with, if any."""
    running = (_Task if workers else _Thread)(spec, workers, context)
    watch = rooms.Watch(workers, context.resources, int(spec["config"]["streams"])) if workers else None
    try:
        while not running.ended(POLL_INTERVAL_S):
            tail.poll()
            if context.stop.is_set():
                break
            if watch is not None and (fewer := watch.fewer()) is not None:
                return _Fewer(fewer)
    finally:
        if not running.ended(0):
            if context.stop.is_set() or sys.exc_info()[0] is not None:
                channel.request_stop(context.work_dir)
                running.ended(STOP_GRACE_S if workers else None)
            if not running.ended(0):  # Ray ends this process when a task is cancelled by force while its answer is on the way
                running.cancel()
    tail.poll()
    if running.outcome is _UNKNOWN:
        raise Stopped(
            f"training was asked to stop, but its workers did not answer within {STOP_GRACE_S} s; "
            "the last checkpoint is kept, run the same recipe again to go on"
        )
    return running.outcome


_UNKNOWN = TaskError("the training has not ended")


class _Thread:
    """Ray Train in a thread of this process, so that it does not replace the process's handler of Ctrl-C."""

    def __init__(self, spec: dict[str, Json], workers: int, context: TaskContext) -> None:
        self.outcome: BaseException | None = _UNKNOWN
        self._thread = threading.Thread(target=self._run, args=(spec, workers, context), name="ray-train", daemon=True)
        self._thread.start()

    def _run(self, spec: dict[str, Json], workers: int, context: TaskContext) -> None:
        self.outcome = fit(spec, workers, context.resources, context.work_dir)

    def ended(self, timeout_s: float | None) -> bool:
        self._thread.join(timeout_s)
        return not self._thread.is_alive()

    def cancel(self) -> None:
        """It ends with this process."""


class _Task:
    """Ray Train in a task of its own beside this process: whatever it waits for, it can be ended, and its workers with it."""

    def __init__(self, spec: dict[str, Json], workers: int, context: TaskContext) -> None:
        import ray
        from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

        here = NodeAffinitySchedulingStrategy(ray.get_runtime_context().get_node_id(), soft=False)
        task = ray.remote(max_calls=1)(fit).options(num_cpus=0, max_retries=0, scheduling_strategy=here, name="medley:training")
        self.outcome: BaseException | None = _UNKNOWN
        self._task = task.remote(spec, workers, context.resources, context.work_dir)

    def ended(self, timeout_s: float | None) -> bool:
        import ray

        done, _ = ray.wait([self._task], timeout=timeout_s)
        if done and self.outcome is _UNKNOWN:
            try:
                self.outcome = ray.get(self._task)
            except Exception as error:  # noqa: BLE001 - raised by the caller, who knows what it means
                self.outcome = error
        return bool(done)

    def cancel(self) -> None:
        import ray

        ray.cancel(self._task, force=True)
        ray.wait([self._task], timeout=CANCEL_S)


def train_worker(spec: dict[str, Json]) -> None:
    """One training process. `spec` is JSON: config, shards (their folders), sources (folders of models), work_dir, seed, threads,
    gpu, code_dir.
    """
    import torch

    from tasks.training.config import TrainConfig
    from tasks.training.loop import train_model
    from tasks.training.ranks import connected
    from tasks.training.run import Job
    from tasks.training.sources import Sources

    work_dir = Path(spec["work_dir"])
    if channel.recorded_failure(work_dir) or channel.confirmed_stop(work_dir):
        return  # started again by Ray after a failure that would only come again
    if spec["code_dir"] and spec["code_dir"] not in sys.path:
        sys.path.append(spec["code_dir"])
    device = torch.device("cuda", torch.cuda.current_device()) if spec["gpu"] else torch.device("cpu")
    shards, *others = map(Path, spec["shards"])
    sources = Sources(**{name: Path(folder) for name, folder in spec.get("sources", {}).items()})
    job = Job(TrainConfig.model_validate(spec["config"]), shards, work_dir, spec["seed"], spec["threads"], tuple(others), sources)
    try:
        train_model(job, connected(device))
    except Stopped as stopped:
        channel.confirm_stop(work_dir, stopped)
    except TaskError as error:
        channel.record_failure(work_dir, error)
        raise


def fit(spec: dict[str, Json], workers: int, resources: Resources, work_dir: Path) -> BaseException | None:
    """One call of Ray Train, to its end. Returns the error it ended with, if any."""
    with _ray_settings():
        try:
            from ray.train import CheckpointConfig, FailureConfig, RunConfig, ScalingConfig
            from ray.train.torch import TorchConfig, TorchTrainer

            per_worker = {"CPU": resources.cpus, **({"GPU": resources.gpus} if resources.gpus else {})}
            TorchTrainer(
                train_worker,
                train_loop_config=spec,
                torch_config=TorchConfig(backend="nccl" if resources.gpus else "gloo", timeout_s=COLLECTIVE_TIMEOUT_S),
                scaling_config=ScalingConfig(
                    num_workers=workers, use_gpu=bool(resources.gpus), resources_per_worker=per_worker if workers else None
                ),
                run_config=RunConfig(
                    name=f"train-{uuid.uuid4().hex[:12]}",
                    storage_path=str(work_dir / "ray"),
                    failure_config=FailureConfig(max_failures=RETRIES),
                    checkpoint_config=CheckpointConfig(),
                ),
            ).fit()
        except BaseException as error:  # noqa: BLE001 - carried to the caller and raised there
            return error
    return None


def _raise(error: BaseException | None, work_dir: Path) -> None:
    """Turn how the workers ended into the error the caller should see."""
    failure = channel.recorded_failure(work_dir)
    if failure is not None:
        raise failure from error
    stopped = channel.confirmed_stop(work_dir)
    if stopped is not None:
        raise stopped
    if error is None:
        return
    if isinstance(error, ImportError | MemoryError | NameError | KeyboardInterrupt) or not _from_ray(error):
        raise error
    raise TaskError(
        f"training failed in its workers, also after {RETRIES} new starts: {_first_line(error)}. "
        "Its last checkpoint is kept: mend the cause and run the same recipe again"
    ) from error


def _from_ray(error: BaseException) -> bool:
    return type(error).__module__.startswith("ray.")


def _first_line(error: BaseException) -> str:
    lines = [line for line in str(error).splitlines() if line.strip()]
    return lines[-1].strip() if lines else type(error).__name__


@contextlib.contextmanager
def _ray_settings() -> Iterator[None]:
    """Ray Train's settings, where the user has not set them, and no remarks about its local mode; taken back afterwards."""
    added = {name: value for name, value in RAY_SETTINGS.items() if name not in os.environ}
    os.environ.update(added)
    remarks = logging.getLogger("ray.train.v2.api.config")
    level = remarks.level
    remarks.setLevel(logging.WARNING)
    try:
        yield
    finally:
        remarks.setLevel(level)
        for name in added:
            os.environ.pop(name, None)


def spec_json(spec: dict[str, Any]) -> dict[str, Json]:
    """The spec as it arrives in a worker: nothing but JSON, so that no object of the user's own code travels."""
    return dict(json.loads(json.dumps(spec)))
