"""Curves on their way to MLflow: a queue that training never waits for.

In: named values at steps, from the training loop's thread. Out: batches, sent by one thread in the background. A server that goes
away costs one note; lines are kept, tried again ever less often, and the rest goes out at the end. Imports no mlflow: whoever opens
a writer gives it the way there.
"""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from types import TracebackType
from typing import Literal, NamedTuple, Protocol

from tasks.errors import Stopped

Status = Literal["FINISHED", "FAILED", "KILLED"]

SEND_EVERY_S = 2.0
RETRY_AT_MOST_EVERY_S = 60.0
CLOSE_WITHIN_S = 120.0
MAX_KEPT_LINES = 100_000
"""Beyond this the oldest lines are let go: they are in the model's metrics.jsonl, from which `register` fills the gap."""


class Line(NamedTuple):
    """Values of one step."""

    step: int
    time_ms: int
    values: Mapping[str, float]


class Destination(Protocol):
    """A training's run in MLflow. Both methods raise TrackingError when it cannot be reached."""

    run_id: str

    def send(self, lines: Sequence[Line]) -> None: ...

    def finish(self, status: Status, complete: bool) -> None:
        """End the run; `complete` when no line was lost on the way."""


class TrainingWriter:
    """`log` and `close` return at once and never raise for MLflow's sake. `open_destination` is None when nothing is tracked."""

    def __init__(self, open_destination: Callable[[], Destination] | None, note: Callable[[str], None]) -> None:
        self._open = open_destination
        self._note = note
        self._lock = threading.Lock()
        self._lines: deque[Line] = deque()
        self._notes: deque[str] = deque()
        self._dropped = 0
        self._status: Status = "FINISHED"
        self._closing = threading.Event()
        self._finished = False
        self._destination: Destination | None = None
        self._thread: threading.Thread | None = None
        if open_destination is not None:
            self._thread = threading.Thread(target=self._work, name="medley-tracking", daemon=True)
            self._thread.start()

    @property
    def run_id(self) -> str:
        """MLflow's id of the run; empty until it could be opened."""
        return self._destination.run_id if self._destination else ""

    def log(self, values: Mapping[str, float], step: int) -> None:
        """Take the values of one step, to be sent within seconds."""
        self._speak()
        if self._thread is None or self._closing.is_set():
            return
        line = Line(step, time.time_ns() // 1_000_000, {name: float(value) for name, value in values.items()})
        with self._lock:
            self._lines.append(line)
            if len(self._lines) > MAX_KEPT_LINES:
                self._lines.popleft()
                self._dropped += 1

    def close(self, status: Status = "FINISHED") -> None:
        """Send what is left, end the run, and say what could not be sent. May be called more than once."""
        if self._thread is None or self._closing.is_set():
            return
        self._status = status
        self._closing.set()
        self._thread.join(CLOSE_WITHIN_S)
        self._speak()
        left = len(self._lines) + self._dropped
        if left:
            self._note(
                f"{left} lines of the training curves did not reach MLflow; they are kept in the model's metrics.jsonl, and registering "
                "the model sends them"
            )
        elif not self._finished:
            self._note("the training's end did not reach MLflow; registering the model repairs its run there")

    def __enter__(self) -> TrainingWriter:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        if error is None:
            self.close()
        else:
            self.close("KILLED" if isinstance(error, (Stopped, KeyboardInterrupt)) else "FAILED")

    def _speak(self) -> None:
        """Notes are handed on by the caller's thread: a sink need not be thread-safe."""
        while self._notes:
            self._note(self._notes.popleft())

    def _work(self) -> None:
        wait_s, told = 0.0, False
        while True:
            closing = self._closing.wait(wait_s)
            try:
                self._send()
                if closing and not self._lines:
                    self._finish()
                wait_s, told = SEND_EVERY_S, False
            except Exception as error:  # noqa: BLE001  whatever MLflow does, training goes on
                if not told:
                    self._notes.append(f"training goes on without MLflow for now; its curves are kept and sent later. {error}")
                wait_s, told = min(max(2 * wait_s, SEND_EVERY_S), RETRY_AT_MOST_EVERY_S), True
            if closing:
                return

    def _send(self) -> None:
        if self._destination is None:
            assert self._open is not None
            self._destination = self._open()
        with self._lock:
            lines = list(self._lines)
        if not lines:
            return
        self._destination.send(lines)
        with self._lock:
            sent = {id(line) for line in lines}
            while self._lines and id(self._lines[0]) in sent:
                self._lines.popleft()

    def _finish(self) -> None:
        assert self._destination is not None
        self._destination.finish(self._status, complete=not self._dropped)
        self._finished = True
