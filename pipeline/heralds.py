"""Webhooks of a recipe: told of each decision that a run makes, in the background, so that no step waits for a receiver.

In: a run's events, or an entry that a person made. Out: POSTs (`tasks.notify`), one for each decision: `promotion.promoted`,
`promotion.refused`, `promotion.pending` or `promotion.rollback`. Whoever was not reached is named, at the end of the run and in its journal
too; nothing fails for it. What was not sent when the process is killed is not sent later: the promotion log has it all the same. Must not
import ray, torch or mlflow.
"""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict
from typing import Any

from pipeline.journal import RunDir
from pipeline.steps import Recipe
from tasks.promotions import Entry

LAST_S = 90.0
"""How long the end of a run waits for what is on its way: more than all attempts of one notification take."""
TOLD = ("name", "version", "alias", "decision", "entry", "reasons", "numbers", "baseline")
"""What of a decision's summary is sent."""

Watch = Callable[[str, Mapping[str, Any]], None]


class Herald:
    """Tells a recipe's webhooks, one decision after the other, until its block ends."""

    def __init__(self, recipe: Recipe, run_dir: RunDir, watch: Watch) -> None:
        self._recipe, self._run_dir, self._watch = recipe, run_dir, watch
        self._started: set[str] = set()
        self._waiting: queue.Queue[Mapping[str, Any] | None] = queue.Queue()
        self._unheard: list[dict[str, Any]] = []
        self._thread = threading.Thread(target=self._work, name="webhooks", daemon=True)

    def __enter__(self) -> Herald:
        if self._recipe.webhooks:
            self._thread.start()
        return self

    def __exit__(self, *exception: object) -> None:
        if not self._recipe.webhooks:
            return
        self._waiting.put(None)
        self._thread.join(LAST_S)
        for facts in self._unheard:
            self._run_dir.event("webhook_failed", **facts)
            self._watch("webhook_failed", facts)

    def watch(self, event: str, facts: Mapping[str, Any]) -> None:
        """A `runner.Watcher`: hands everything on, and queues the decisions of steps that this run started."""
        self._watch(event, facts)
        if event == "step_started":
            self._started.add(facts["step"])
        elif event == "step_finished" and facts["result"].name in self._started and "decision" in facts["result"].summary:
            result = facts["result"]
            about = {"recipe": self._recipe.name, "run": self._run_dir.run, "step": result.name}
            self._waiting.put({**about, **{name: result.summary[name] for name in TOLD if name in result.summary}})

    def _work(self) -> None:
        while (decision := self._waiting.get()) is not None:
            self._unheard.extend(_unheard(self._recipe, decision))


def tell(recipe: Recipe, entry: Entry) -> Iterator[str]:
    """Tell a recipe's webhooks of an entry that a person made. A sentence for each that was not reached."""
    numbers = {name: value for name, value in asdict(entry).items() if name in TOLD}
    decision = {"recipe": recipe.name, "by": entry.by, **numbers, "decision": entry.action, "entry": entry.n}
    for facts in _unheard(recipe, decision):
        yield f"webhook {facts['to']} was not told of {facts['of']}: {facts['problem']}"


def _unheard(recipe: Recipe, decision: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    """Send it; who was not reached."""
    from tasks.notify import notify

    event = f"promotion.{decision['decision']}"
    identity = f"{decision['name']}-{decision['entry']}-{decision['decision']}"
    for sent in notify(recipe.webhooks, event, decision, lambda _note: None, identity):
        if not sent.delivered:
            yield {"to": sent.to, "of": event, "problem": sent.problem}
