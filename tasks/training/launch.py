"""Launches a training with Ray Train and stays at its side until it ends. The only importer of ray in this package.

`workers: 0` trains in this process (Ray Train's local mode, which starts no cluster); else Ray Train starts that many processes, on as
many nodes as it takes, joined by gloo on CPUs and nccl on GPUs. Both run the same function and keep the same checkpoints in the work
folder, which all nodes see. Ray runs in a thread of its own, while the caller's thread hands on curves, progress and the wish to stop.
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
from pathlib import Path
from typing import Any

from tasks.contracts import Json, TaskContext
from tasks.errors import InputError, Stopped, TaskError
from tasks.training import channel
from tasks.training.channel import Tail

POLL_INTERVAL_S = 0.2
RETRIES = 3
"""How often Ray Train starts the workers again after one of them died; they go on from our last checkpoint."""
STOP_GRACE_S = 120
"""How long workers have to answer a stop; those that wait for a place in a full cluster never do, and go with this process."""
COLLECTIVE_TIMEOUT_S = 600
"""How long a rank waits for the others: as long as a slow read of one batch may take."""
RAY_SETTINGS = {
    "RAY_TRAIN_HEALTH_CHECK_INTERVAL_S": "0.5",  # by default 2 s pass before a finished or dead worker is noticed
    "RAY_TRAIN_WORKER_GROUP_START_TIMEOUT_S": "300",  # importing torch in each worker takes longer than the default 60 s on a busy machine
    "RAY_TRAIN_METRICS_ENABLED": "0",
}


def launch(spec: dict[str, Json], context: TaskContext, log: Callable[[dict[str, float], int], None]) -> None:
    """Train until done. `spec` is what `train_worker` takes; `log` gets the curves beside the context's sink.

    Raises Stopped after a checkpoint when the context's stop signal is set, the worker's own TaskError when it failed by one, and
    TaskError when workers died more often than is retried.
    """
    workers = context.resources.workers or (0 if context.local_ray else 1)
    if workers:
        _check_room(workers, context)
    channel.reset(context.work_dir)
    tail = Tail(context.work_dir, context.sink, log)
    outcome: list[BaseException] = []
    thread = threading.Thread(target=_fit, args=(spec, workers, context, outcome), name="ray-train", daemon=True)
    if context.stop.is_set():
        channel.request_stop(context.work_dir)
    with _ray_settings():
        thread.start()
        try:
            while thread.is_alive():
                thread.join(POLL_INTERVAL_S)
                tail.poll()
                if context.stop.is_set():
                    break
        finally:
            if thread.is_alive():
                channel.request_stop(context.work_dir)
                thread.join(STOP_GRACE_S if workers else None)
    tail.poll()
    if thread.is_alive():
        raise Stopped(
            f"training was asked to stop, but its workers did not answer within {STOP_GRACE_S} s; "
            "the last checkpoint is kept, run the same recipe again to go on"
        )
    _raise(outcome[0] if outcome else None, context.work_dir)


def train_worker(spec: dict[str, Json]) -> None:
    """One training process. `spec` is JSON: config, shards, work_dir, seed, threads, gpu, code_dir."""
    import torch

    from tasks.training.config import TrainConfig
    from tasks.training.loop import train_model
    from tasks.training.ranks import connected
    from tasks.training.run import Job

    work_dir = Path(spec["work_dir"])
    if channel.recorded_failure(work_dir) or channel.confirmed_stop(work_dir):
        return  # started again by Ray after a failure that would only come again
    if spec["code_dir"] and spec["code_dir"] not in sys.path:
        sys.path.append(spec["code_dir"])
    device = torch.device("cuda", torch.cuda.current_device()) if spec["gpu"] else torch.device("cpu")
    job = Job(TrainConfig.model_validate(spec["config"]), Path(spec["shards"]), work_dir, spec["seed"], spec["threads"])
    try:
        train_model(job, connected(device))
    except Stopped as stopped:
        channel.confirm_stop(work_dir, stopped)
    except TaskError as error:
        channel.record_failure(work_dir, error)
        raise


def _fit(spec: dict[str, Json], workers: int, context: TaskContext, outcome: list[BaseException]) -> None:
    """Runs in a thread, so that Ray does not replace the process's handler of Ctrl-C."""
    try:
        from ray.train import CheckpointConfig, FailureConfig, RunConfig, ScalingConfig
        from ray.train.torch import TorchConfig, TorchTrainer

        resources = context.resources
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
                storage_path=str(context.work_dir / "ray"),
                failure_config=FailureConfig(max_failures=RETRIES),
                checkpoint_config=CheckpointConfig(),
            ),
        ).fit()
    except BaseException as error:  # noqa: BLE001 - carried to the caller's thread and raised there
        outcome.append(error)


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


def _check_room(workers: int, context: TaskContext) -> None:
    """Raises InputError when the cluster can never hold the workers; Ray would wait for ever."""
    import ray

    if not ray.is_initialized():
        ray.init(log_to_driver=False)
    there = ray.cluster_resources()
    for name, each in (("CPU", context.resources.cpus), ("GPU", context.resources.gpus)):
        if workers * each > there.get(name, 0):
            raise InputError(
                f"training asks for {workers} workers of {each} {name} each, but the cluster has {there.get(name, 0):g} {name}; "
                f"lower `resources.workers` or `resources.{name.lower()}s`, or add nodes"
            )


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
