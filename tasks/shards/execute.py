"""Where units are built: Ray Data, one unit a task, or a few processes of our own when there is next to nothing to do.

In: a job. Out: outcomes as they come, in any order; a unit whose worker dies is taken up again. Only row numbers and outcomes travel
between processes. Ray is imported when it is needed.
"""

from __future__ import annotations

import multiprocessing
import multiprocessing.connection
import pickle
import queue
import signal
import sys
import threading
import time
import traceback
from collections.abc import Generator, Iterator, Sequence
from contextlib import closing
from multiprocessing.process import BaseProcess
from typing import Any

from tasks.contracts import StopSignal
from tasks.errors import TaskError
from tasks.shards.write import Job, Outcome, build, check_stop

FEW_UNITS = 4
"""Up to here processes of our own are done before a Ray that is not up yet has started."""
_NUM_PROCESSES = 2

Result = Outcome | Exception
_POLL_S = 0.1
_GRACE_S = 3.0
_MAX_FRUITLESS_ROUNDS = 3
_MAX_DEATHS = 30
"""Of processes at one unit: more than its own verdicts and limits need to end it."""


def run_units(job: Job, *, limit: int | None, stop: StopSignal) -> Iterator[tuple[int, Result]]:
    """Build all units of a job, at most `limit` at once. Yields (unit, outcome or the error that failed it) as units end.

    Raises Stopped soon after `stop` is set, and TaskError when workers die again and again without any unit getting done.
    """
    remaining = set(range(job.num_units))
    fruitless = 0
    while remaining:
        before = len(remaining)
        rounds = _in_processes if before <= FEW_UNITS and not _ray_is_up() else _on_ray
        with closing(rounds(job, sorted(remaining), limit, stop)) as results:
            for index, result in results:
                remaining.discard(index)
                yield index, result
        fruitless = fruitless + 1 if len(remaining) == before else 0
        if fruitless == _MAX_FRUITLESS_ROUNDS:
            raise TaskError(
                f"workers died {fruitless} times in a row and none of the {before} shards that are left got done; "
                "look for memory or disk that runs out, then run the same command again: finished shards are kept"
            )


def guarded(job: Job, index: int) -> bytes:
    """Build a unit; what comes back is a pickled outcome or exception, with the worker's trace as a note."""
    try:
        return pickle.dumps(build(job, index))
    except Exception as error:  # noqa: BLE001  carried to the driver, which raises it
        error.add_note(f"in the worker that built unit {index}:\n{traceback.format_exc()}")
        return _portable(error)


def _portable(error: Exception) -> bytes:
    try:
        packed = pickle.dumps(error)
        pickle.loads(packed)  # noqa: S301  our own bytes
    except Exception:  # noqa: BLE001  an exception that cannot travel is replaced by its text
        return pickle.dumps(RuntimeError("".join(traceback.format_exception(error))))
    return packed


def _request_stop(job: Job) -> None:
    job.stop_file.touch()


# ---- Ray Data -----------------------------------------------------------------------------------------------------------


def _ray_is_up() -> bool:
    ray = sys.modules.get("ray")
    return bool(ray is not None and ray.is_initialized())


def _on_ray(job: Job, indices: Sequence[int], limit: int | None, stop: StopSignal) -> Generator[tuple[int, Result]]:
    import ray

    results: queue.Queue[tuple[int, Result] | BaseException | None] = queue.Queue()
    ended = threading.Event()
    dataset = _dataset(job, indices, limit)
    pump = threading.Thread(target=_pump, args=(dataset, results, ended), name="shard-units", daemon=True)
    pump.start()
    try:
        while True:
            item = _next(results, job, stop)
            if item is None:
                return
            if isinstance(item, ray.exceptions.RayError) and not isinstance(item, ray.exceptions.RayTaskError):
                return  # workers or nodes died more often than Ray takes; the caller goes on with what is left
            if isinstance(item, BaseException):
                raise item  # noqa: TRY301
            yield item
    except BaseException:
        _request_stop(job)
        raise
    finally:
        ended.set()
        pump.join(_GRACE_S)


class UnitBuilder:
    """What each process of the pool runs: a row with the number of a unit in, a row with its result out."""

    def __init__(self, job: Job, indices: Sequence[int]) -> None:
        self._job, self._indices = job, indices

    def __call__(self, row: dict[str, Any]) -> dict[str, Any]:
        index = self._indices[row["id"]]
        return {"index": index, "result": guarded(self._job, index)}


def _dataset(job: Job, indices: Sequence[int], limit: int | None) -> Any:
    """One row and one task a unit. Processes have a second unit waiting: Ray Data hands out work ten times a second, so that without
    one each would idle for 0.1 to 0.2 s after a unit that took one or two. Where each process gets one unit at most, none waits: it
    would wait behind another in the process that is up first.
    """
    import ray.data

    cpus = int(ray.cluster_resources().get("CPU", 1))
    size = max(1, min(limit or cpus, cpus, len(indices)))
    pool = ray.data.ActorPoolStrategy(size=size, max_tasks_in_flight_per_actor=2 if len(indices) > size else 1)
    dataset = ray.data.range(len(indices), override_num_blocks=len(indices))
    dataset = dataset.map(UnitBuilder, fn_constructor_args=(job, indices), compute=pool, num_cpus=1)
    dataset.context.enable_progress_bars = False
    dataset.context.print_on_execution_start = False
    return dataset


def _pump(dataset: Any, results: queue.Queue[Any], ended: threading.Event) -> None:
    try:
        for batch in dataset.iter_batches(batch_size=None, prefetch_batches=0, batch_format="pyarrow"):
            for row in batch.to_pylist():
                results.put((row["index"], pickle.loads(row["result"])))  # noqa: S301  from our own workers
            if ended.is_set():
                break
    except BaseException as error:  # noqa: BLE001  raised in the thread that waits
        results.put(error)
    finally:
        results.put(None)


def _next(results: queue.Queue[Any], job: Job, stop: StopSignal) -> Any:
    """The next item; asks workers to stop and raises Stopped when the run is to end."""
    while True:
        try:
            return results.get(timeout=_POLL_S)
        except queue.Empty:
            if stop.is_set():
                _request_stop(job)
                check_stop(job)


# ---- processes of our own ----------------------------------------------------------------------------------------------


def _in_processes(job: Job, indices: Sequence[int], limit: int | None, stop: StopSignal) -> Generator[tuple[int, Result]]:
    waiting = list(indices)
    deaths = dict.fromkeys(indices, 0)
    running: dict[Any, tuple[int, BaseProcess]] = {}
    try:
        while waiting or running:
            while waiting and len(running) < (limit or _NUM_PROCESSES):
                index = waiting.pop(0)
                receiver, process = _start(job, index)
                running[receiver] = (index, process)
            if stop.is_set():
                _request_stop(job)
                check_stop(job)
            for receiver in multiprocessing.connection.wait(list(running), timeout=_POLL_S):
                index, process = running.pop(receiver)
                packed = _received(receiver)
                process.join()
                if packed is not None:
                    yield index, pickle.loads(packed)  # noqa: S301  from our own workers
                elif deaths[index] < _MAX_DEATHS:
                    deaths[index] += 1
                    waiting.append(index)  # its worker died; the attempt's file knows where
    except BaseException:
        _request_stop(job)
        raise
    finally:
        _end([process for _, process in running.values()])


def _start(job: Job, index: int) -> tuple[Any, BaseProcess]:
    spawn = multiprocessing.get_context("spawn")
    receiver, sender = spawn.Pipe(duplex=False)
    process = spawn.Process(target=_child, args=(sender, job, index), name=f"shard-unit-{index}", daemon=True)
    process.start()
    sender.close()
    return receiver, process


def _child(sender: Any, job: Job, index: int) -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the driver hears of it and asks for an orderly end
    sender.send_bytes(guarded(job, index))
    sender.close()


def _received(receiver: Any) -> bytes | None:
    try:
        packed: bytes = receiver.recv_bytes()
    except EOFError:
        return None
    finally:
        receiver.close()
    return packed


def _end(processes: Sequence[BaseProcess]) -> None:
    deadline = time.monotonic() + _GRACE_S
    for process in processes:
        process.join(max(0.0, deadline - time.monotonic()))
        if process.is_alive():
            process.kill()
            process.join()
