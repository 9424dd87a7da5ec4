"""Files in the work folder through which training processes and the launching process talk, whoever of them dies.

Rank 0 writes with `Journal`: `metrics.jsonl` (curves), `progress.json`, `notes.jsonl`. The launching process reads with `Tail` and
asks for a stop by the file `stop`, answered by `stopped`. A failure that no retry can mend stands in `failure.json`. Must not
import ray or mlflow.
"""

from __future__ import annotations

import json
import os
import time
import uuid
from collections.abc import Callable, Mapping
from pathlib import Path

from tasks import errors
from tasks.contracts import Json, Sink
from tasks.errors import Stopped, TaskError

METRICS, PROGRESS, NOTES = "metrics.jsonl", "progress.json", "notes.jsonl"
STOP, STOPPED, FAILURE = "stop", "stopped", "failure.json"
PROGRESS_INTERVAL_S = 0.5
STOP_INTERVAL_S = 0.1


class Journal:
    """Rank 0's side. `lines` is the number of metric lines; a resumed run rewinds to the number its checkpoint holds."""

    def __init__(self, work_dir: Path) -> None:
        self.work_dir = work_dir
        self.lines = 0
        self._stop_seen = False
        self._next_progress = 0.0
        self._next_look = 0.0

    def rewind(self, lines: int) -> None:
        """Drop what was written after the checkpoint that training goes on from."""
        path = self.work_dir / METRICS
        kept = path.read_bytes().splitlines(keepends=True)[:lines] if path.exists() else []
        replace(path, b"".join(kept))
        self.lines = len(kept)

    def metrics(self, step: int, epoch: int, values: Mapping[str, float]) -> None:
        """Append one line of curves."""
        _append(self.work_dir / METRICS, {"step": step, "epoch": epoch, **values})
        self.lines += 1

    def progress(self, done: int, total: int, detail: str) -> None:
        """Replace the progress; at most every half second, and when all is done."""
        now = time.monotonic()
        if now >= self._next_progress or done == total:
            self._next_progress = now + PROGRESS_INTERVAL_S
            replace(self.work_dir / PROGRESS, json.dumps({"done": done, "total": total, "unit": "steps", "detail": detail}).encode())

    def note(self, message: str) -> None:
        _append(self.work_dir / NOTES, {"note": message})

    def stop_requested(self) -> bool:
        """Whether the stop file is there; looks at most ten times a second."""
        now = time.monotonic()
        if not self._stop_seen and now >= self._next_look:
            self._next_look = now + STOP_INTERVAL_S
            self._stop_seen = (self.work_dir / STOP).exists()
        return self._stop_seen


class Tail:
    """The launching process's side: hands on what is new since the last `poll`."""

    def __init__(self, work_dir: Path, sink: Sink, log: Callable[[dict[str, float], int], None]) -> None:
        self.work_dir = work_dir
        self.sink = sink
        self.log = log
        self._metrics = _Lines(work_dir / METRICS)
        self._notes = _Lines(work_dir / NOTES)
        self._progress = b""

    def poll(self) -> None:
        for line in self._metrics.new():
            step = int(line.pop("step"))
            self.sink.metrics(line, step)
            self.log(line, step)
        for line in self._notes.new():
            self.sink.note(line["note"])
        path = self.work_dir / PROGRESS
        state = path.read_bytes() if path.exists() else b""
        if state and state != self._progress:
            self._progress = state
            self.sink.progress(**json.loads(state))


class _Lines:
    """New whole lines of a JSON-lines file. After the file was replaced by a shorter one, what was handed on before is skipped."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.count = 0
        self.offset = 0
        self.inode = 0

    def new(self) -> list[dict[str, Json]]:
        try:
            file = self.path.open("rb")
        except FileNotFoundError:
            return []
        with file:
            inode = os.fstat(file.fileno()).st_ino
            skip = 0
            if inode != self.inode:
                self.inode, self.offset, skip = inode, 0, self.count
            file.seek(self.offset)
            whole = [line for line in file.read().splitlines(keepends=True) if line.endswith(b"\n")]
        if len(whole) < skip:
            self.inode = 0
            return []
        self.offset += sum(len(line) for line in whole)
        self.count += len(whole) - skip
        return [json.loads(line) for line in whole[skip:]]


def reset(work_dir: Path) -> None:
    """Before a launch: forget an earlier stop, failure and progress. Curves stay: training rewinds them itself."""
    for name in (STOP, STOPPED, FAILURE, PROGRESS, NOTES):
        (work_dir / name).unlink(missing_ok=True)


def request_stop(work_dir: Path) -> None:
    """Ask the training processes to write a checkpoint and end."""
    (work_dir / STOP).touch()


def confirm_stop(work_dir: Path, error: Stopped) -> None:
    """Answer a stop: the checkpoint is written."""
    replace(work_dir / STOPPED, str(error).encode())


def confirmed_stop(work_dir: Path) -> Stopped | None:
    """The answer to a stop, if there is one."""
    path = work_dir / STOPPED
    return Stopped(path.read_text()) if path.exists() else None


def record_failure(work_dir: Path, error: TaskError) -> None:
    """Keep a failure that would come again, so that nobody retries it."""
    replace(work_dir / FAILURE, json.dumps({"error": type(error).__name__, "message": str(error)}).encode())


def recorded_failure(work_dir: Path) -> TaskError | None:
    """The failure that stands in the work folder, of its own class."""
    try:
        failure = json.loads((work_dir / FAILURE).read_bytes())
    except FileNotFoundError:
        return None
    kind = getattr(errors, failure["error"], None)
    return (kind if isinstance(kind, type) and issubclass(kind, TaskError) else TaskError)(failure["message"])


def replace(path: Path, data: bytes) -> None:
    """Write a file so that a reader sees the old or the new one, never half of it."""
    scratch = path.with_name(f".{path.name}.{uuid.uuid4().hex}")  # processes of different machines may have one number
    scratch.write_bytes(data)
    scratch.replace(path)


def _append(path: Path, line: Mapping[str, Json]) -> None:
    with path.open("ab") as file:
        file.write(json.dumps(line).encode() + b"\n")
