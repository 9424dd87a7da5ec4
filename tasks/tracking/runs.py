"""MLflow runs: one parent per pipeline run, one child per training, found again by our own keys.

In: a step's context, its parameters and curves. Out: a child run tagged with the key of the model it trains, below the parent of the
pipeline run at hand. Training the same key again (after a crash, or by another run) continues the same child. MLflow is imported
when it is first needed, never before.
"""

from __future__ import annotations

import json
import time
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tasks.contracts import Json, Lineage, TaskContext, Tracking
from tasks.tracking.connect import Connection, connect, explained
from tasks.tracking.given import allowed, input_keys, log_datasets, log_params
from tasks.tracking.tagged import KEY_TAG, KIND_TAG, PARENT_TAG, RUN_TAG, find, find_or_make, lineage_tags, parent_run
from tasks.tracking.writer import Line, Status, TrainingWriter

if TYPE_CHECKING:
    from mlflow.entities import Metric, Run

CURVES_TAG = "medley.curves"
"""`complete` once every point of the curves is known to be in MLflow."""

_METRICS_PER_BATCH = 1000


def open_training_run(context: TaskContext, params: Mapping[str, Any]) -> TrainingWriter:
    """The writer of this step's curves. Returns at once: MLflow is reached in the background, and its absence stops nothing."""
    if not context.tracking.uri:
        return TrainingWriter(None, context.sink.note)

    def open_destination() -> TrainingRun:
        connection = connect(context.tracking)
        with explained(connection.uri, "opening the training's run"):
            return _open(connection, context.lineage, context.step, context.key, params)

    return TrainingWriter(open_destination, context.sink.note)


def ensure_curves(tracking: Tracking, lineage: Lineage, model_key: str, metrics: Path) -> str:
    """Id of the run of the training that made a model, with its curves whole: made or completed from `metrics.jsonl` when needed.

    A server that was away while the model was trained leaves such gaps. Raises TrackingError.
    """
    connection = connect(tracking)
    with explained(connection.uri, "completing the training's curves"):
        run = find(connection, {KEY_TAG: model_key})
        if run is None:
            step = next((record.name for record in lineage.steps if record.key == model_key), "train")
            training = _open(connection, lineage, step, model_key, {})
        elif run.data.tags.get(CURVES_TAG) == "complete":
            return str(run.info.run_id)
        else:
            training = TrainingRun(connection, run.info.run_id, run.data.tags.get(PARENT_TAG, ""), is_whole=False)
        training.fill(_read_lines(metrics))
        training.finish("FINISHED", complete=True)
        return training.run_id


@dataclass
class TrainingRun:
    """A training's run in MLflow; a `Destination` of the writer."""

    connection: Connection
    run_id: str
    parent_id: str
    is_whole: bool
    """No point was lost so far. Unknown, hence False, for a run that an earlier process began."""
    latest: dict[str, int] = field(default_factory=lambda: defaultdict(lambda: -1))
    """Name of a curve → highest step that MLflow has."""

    def send(self, lines: Sequence[Line]) -> None:
        """Log what MLflow does not have yet; a resumed training repeats steps that were logged before it was stopped."""
        self._log(line for line in _points(lines) if line.step > self.latest[line.name])

    def fill(self, lines: Sequence[Line]) -> None:
        """Log the points that are missing anywhere in the curves."""
        points = list(_points(lines))
        names = {point.name for point in points}
        client = self.connection.client
        have = {(name, known.step) for name in names for known in client.get_metric_history(self.run_id, name)}
        self._log(point for point in points if (point.name, point.step) not in have)
        self.is_whole = True

    def finish(self, status: Status, complete: bool) -> None:
        client = self.connection.client
        with explained(self.connection.uri, "ending the training's run"):
            if complete and self.is_whole and status == "FINISHED":
                client.set_tag(self.run_id, CURVES_TAG, "complete")
            client.set_terminated(self.run_id, status)
            if self.parent_id:
                client.set_terminated(self.parent_id, status)

    def _log(self, points: Iterable[_Point]) -> None:
        from mlflow.entities import Metric

        batch: list[Metric] = []
        for point in points:
            batch.append(Metric(point.name, point.value, point.time_ms, point.step))
            if len(batch) == _METRICS_PER_BATCH:
                self._log_batch(batch)
                batch = []
        if batch:
            self._log_batch(batch)

    def _log_batch(self, batch: list[Metric]) -> None:
        with explained(self.connection.uri, "logging curves"):
            self.connection.client.log_batch(self.run_id, metrics=batch)
        for metric in batch:
            self.latest[metric.key] = max(self.latest[metric.key], metric.step)


@dataclass(frozen=True)
class _Point:
    name: str
    value: float
    step: int
    time_ms: int


def _points(lines: Sequence[Line]) -> Iterable[_Point]:
    return (_Point(allowed(name), value, line.step, line.time_ms) for line in lines for name, value in line.values.items())


def _open(connection: Connection, lineage: Lineage, step: str, key: str, params: Mapping[str, Any]) -> TrainingRun:
    parent_id = parent_run(connection, lineage)
    tags = lineage_tags(lineage) | input_keys(lineage, step) | {"medley.step": step, KIND_TAG: "training", PARENT_TAG: parent_id}
    run, is_new = find_or_make(connection, step, {KEY_TAG: key}, tags)
    training = TrainingRun(connection, run.info.run_id, parent_id, is_whole=is_new)
    if not is_new:
        _take_over(training, run, lineage)
    log_params(connection, run, params)
    log_datasets(connection, run, lineage, step)
    return training


def _take_over(training: TrainingRun, run: Run, lineage: Lineage) -> None:
    """Go on with a run that an earlier process began, below the pipeline run that goes on with it."""
    client = training.connection.client
    former = run.data.tags.get(PARENT_TAG)
    if former and former != training.parent_id:
        client.set_tag(training.run_id, PARENT_TAG, training.parent_id)
        client.set_tag(training.run_id, RUN_TAG, lineage.run)
        if client.get_run(former).info.status == "RUNNING":
            client.set_terminated(former, "KILLED")
    client.update_run(training.run_id, status="RUNNING")
    for name in run.data.metrics:
        training.latest[name] = max(point.step for point in client.get_metric_history(training.run_id, name))


def _read_lines(metrics: Path) -> list[Line]:
    """The curves of a model artifact, one JSON object a step."""
    if not metrics.is_file():
        return []
    now_ms = time.time_ns() // 1_000_000
    documents: list[dict[str, Json]] = [json.loads(text) for text in metrics.read_text("utf-8").splitlines() if text.strip()]
    return [
        Line(
            int(document["step"]), now_ms, {name: float(value) for name, value in document.items() if name != "step" and value is not None}
        )
        for document in documents
    ]
