"""Ctrl-C and SIGTERM: the first asks the steps to stop, the second ends them.

In: signals. Out: a stop file that steps look for, wherever they run. Only the main thread can listen; elsewhere nothing changes.
"""

from __future__ import annotations

import signal
import threading
import time
from collections.abc import Callable
from types import FrameType
from typing import Any

from pipeline.journal import RunDir


class Interrupts:
    """Listens for the length of a block."""

    def __init__(self, run: RunDir, announce: Callable[[], None]) -> None:
        self._run = run
        self._announce = announce
        self._since: float | None = None
        self._again = False
        self._before: dict[signal.Signals, Any] = {}

    def __enter__(self) -> Interrupts:
        self.listen()
        return self

    def listen(self) -> None:
        """Take the signals, again after a library took them: `ray.init` puts a handler of its own on SIGTERM."""
        if threading.current_thread() is threading.main_thread():
            for number in (signal.SIGINT, signal.SIGTERM):
                before = signal.signal(number, self._heard)
                self._before.setdefault(number, before)

    def __exit__(self, *exception: object) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)

    @property
    def stopping(self) -> bool:
        """Someone asked to stop, here or by putting the stop file there."""
        if self._since is None and self._run.stop_file.exists():
            self._since = time.monotonic()
        return self._since is not None

    def overdue(self, grace_s: float) -> bool:
        """Stopping has taken too long, or was asked for twice."""
        return self.stopping and (self._again or (self._since is not None and time.monotonic() - self._since > grace_s))

    def _heard(self, _number: int, _frame: FrameType | None) -> None:
        if self._since is not None:
            self._again = True
            return
        self._since = time.monotonic()
        self._run.ask_to_stop()
        self._announce()
