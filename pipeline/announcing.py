"""Webhooks of a schedule: told in the background, so that no run waits for a receiver.

In: events of a scheduler. Out: POSTs, and for each that was not delivered an entry of the schedule's log. What was not sent when the
process is killed is not sent later: the log has it all the same. Must not import ray, torch or mlflow.
"""

from __future__ import annotations

import contextlib
import datetime as dt
import queue
import threading
import time
from collections.abc import Mapping, Sequence
from typing import Any

from pipeline.errors import StoreError
from pipeline.scheduler import Watch
from pipeline.ticks import Log
from tasks.notify import WebhookConfig, notify

LAST_S = 60.0
"""How long the end of the process waits for what is on its way."""


class Announcer:
    """Tells webhooks, one event after the other, until its block ends."""

    def __init__(self, webhooks: Sequence[WebhookConfig], log: Log, watch: Watch) -> None:
        self._webhooks, self._log, self._watch = webhooks, log, watch
        self._waiting: queue.Queue[tuple[str, str, Mapping[str, Any]] | None] = queue.Queue()
        self._thread = threading.Thread(target=self._work, name="webhooks", daemon=True)

    def __enter__(self) -> Announcer:
        self._thread.start()
        return self

    def __exit__(self, *exception: object) -> None:
        self._waiting.put(None)
        self._thread.join(LAST_S)

    def tell(self, event: str, identity: str, facts: Mapping[str, Any]) -> None:
        """Queue an event."""
        if self._webhooks:
            self._waiting.put((event, identity, {"schedule": self._log.name, **facts}))

    def _work(self) -> None:
        while (waiting := self._waiting.get()) is not None:
            event, identity, facts = waiting
            name = f"schedule.{event}"
            for webhook in self._webhooks:
                for sent in notify([webhook], name, facts, lambda _note: None, f"{self._log.name}-{identity}-{event}"):
                    if not sent.delivered:
                        self._undelivered({"tick": facts.get("tick"), "of": name, "to": sent.to, "problem": sent.problem})

    def _undelivered(self, facts: dict[str, Any]) -> None:
        self._watch("undelivered", facts)
        with contextlib.suppress(StoreError):  # told above
            self._log.note("undelivered", dt.datetime.fromtimestamp(time.time(), dt.UTC), **facts)
