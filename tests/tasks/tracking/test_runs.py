"""One parent a pipeline run, one child a training, found again by key; its curves whole however often it was interrupted."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import Any

import pytest

from tasks.contracts import TaskContext, Tracking
from tasks.tracking.connect import connect
from tasks.tracking.runs import ensure_curves, open_training_run
from tests.tasks.tracking.mlflow_fixtures import QUIET
from tests.tasks.tracking.toys import SHARDS_KEY, Sink, context, lineage

pytestmark = QUIET

KEY = "m" * 64


def runs(tracking: Tracking, kind: str) -> list[Any]:
    connection = connect(tracking)
    found = connection.client.search_runs(
        [connection.experiment_id], f"tags.`medley.kind` = '{kind}'", order_by=["attributes.start_time ASC"]
    )
    return list(found)


def curve(tracking: Tracking, run_id: str, name: str) -> list[tuple[int, float]]:
    points = connect(tracking).client.get_metric_history(run_id, name)
    return sorted((point.step, point.value) for point in points)


def train(given: TaskContext, steps: range, status: str = "FINISHED") -> None:
    writer = open_training_run(given, {"epochs": 2, "model": {"fusion": {"kind": "attention"}, "sizes": [1, 2]}})
    for step in steps:
        writer.log({"train/loss": 1.0 / (step + 1), "val/accuracy/audio+image": 0.5}, step)
    writer.close(status)  # type: ignore[arg-type]


def test_a_training_is_a_child_of_its_pipeline_run_with_parameters_dataset_and_curves(tmp_path: Path, sqlite_tracking: Tracking) -> None:
    sink = Sink()
    train(context(tmp_path, KEY, "model", sqlite_tracking, sink=sink), range(600))
    assert sink.notes == []
    (parent,), (child,) = runs(sqlite_tracking, "pipeline"), runs(sqlite_tracking, "training")
    assert child.data.tags["mlflow.parentRunId"] == parent.info.run_id
    assert (parent.info.status, child.info.status) == ("FINISHED", "FINISHED")
    assert (child.info.run_name, child.data.tags["medley.key"], child.data.tags["medley.run"]) == ("model", KEY, "run-1")
    assert child.data.tags["medley.shards_key"] == SHARDS_KEY
    assert child.data.params == {"epochs": "2", "model.fusion.kind": "attention", "model.sizes": "[1, 2]"}
    assert curve(sqlite_tracking, child.info.run_id, "train/loss") == [(step, 1.0 / (step + 1)) for step in range(600)]
    assert len(curve(sqlite_tracking, child.info.run_id, "val/accuracy/audio_image")) == 600
    (dataset,) = child.inputs.dataset_inputs
    assert (dataset.dataset.name, dataset.dataset.digest) == ("shards", SHARDS_KEY[:36])
    assert json.loads(dataset.dataset.profile) == {"samples": 12}
    assert {tag.key: tag.value for tag in dataset.tags} == {"mlflow.data.context": "training", "medley.key": SHARDS_KEY}
    recipe = connect(sqlite_tracking).client.download_artifacts(parent.info.run_id, "recipe.yaml", str(tmp_path))
    assert Path(recipe).read_text() == "name: toys\n"


def test_a_training_that_goes_on_in_another_run_continues_the_same_child(tmp_path: Path, sqlite_tracking: Tracking) -> None:
    train(context(tmp_path, KEY, "model", sqlite_tracking), range(10), status="KILLED")
    train(context(tmp_path, KEY, "model", sqlite_tracking, run="run-2"), range(6, 20))
    first, second = runs(sqlite_tracking, "pipeline")
    (child,) = runs(sqlite_tracking, "training")
    assert child.data.tags["mlflow.parentRunId"] == second.info.run_id
    assert (first.info.status, second.info.status, child.info.status) == ("KILLED", "FINISHED", "FINISHED")
    assert [step for step, _ in curve(sqlite_tracking, child.info.run_id, "train/loss")] == list(range(20)), "no step twice"
    assert len(child.inputs.dataset_inputs) == 1


def test_two_trainings_of_one_run_share_the_parent(tmp_path: Path, sqlite_tracking: Tracking) -> None:
    train(context(tmp_path, KEY, "model", sqlite_tracking), range(2))
    train(context(tmp_path, "n" * 64, "other", sqlite_tracking), range(2))
    (parent,) = runs(sqlite_tracking, "pipeline")
    assert {run.data.tags["mlflow.parentRunId"] for run in runs(sqlite_tracking, "training")} == {parent.info.run_id}


def test_curves_that_never_reached_mlflow_are_completed_from_the_model(tmp_path: Path, sqlite_tracking: Tracking) -> None:
    metrics = tmp_path / "metrics.jsonl"
    metrics.write_text("".join(f'{{"step": {step}, "epoch": 0, "train/loss": {step}.5}}\n' for step in range(5)))
    run_id = ensure_curves(sqlite_tracking, lineage(KEY), KEY, metrics)
    assert curve(sqlite_tracking, run_id, "train/loss") == [(step, step + 0.5) for step in range(5)]
    (child,) = runs(sqlite_tracking, "training")
    assert (child.info.run_id, child.info.status, child.info.run_name) == (run_id, "FINISHED", "model")
    assert ensure_curves(sqlite_tracking, lineage(KEY, "run-2"), KEY, metrics) == run_id
    assert len(curve(sqlite_tracking, run_id, "train/loss")) == 5


def test_gaps_in_the_middle_are_filled_and_the_training_stays_where_it_was(tmp_path: Path, sqlite_tracking: Tracking) -> None:
    train(context(tmp_path, KEY, "model", sqlite_tracking), range(3), status="KILLED")
    train(context(tmp_path, KEY, "model", sqlite_tracking), range(7, 10))
    metrics = tmp_path / "metrics.jsonl"
    metrics.write_text("".join(json.dumps({"step": step, "train/loss": 1.0 / (step + 1)}) + "\n" for step in range(10)))
    run_id = ensure_curves(sqlite_tracking, lineage(KEY, "run-9"), KEY, metrics)
    assert [step for step, _ in curve(sqlite_tracking, run_id, "train/loss")] == list(range(10))
    assert [run.data.tags["medley.run"] for run in runs(sqlite_tracking, "pipeline")] == ["run-1"]


def test_a_model_without_curves_still_has_a_run(tmp_path: Path, sqlite_tracking: Tracking) -> None:
    assert ensure_curves(sqlite_tracking, lineage(KEY), KEY, tmp_path / "none.jsonl")


def test_a_database_that_cannot_be_used_does_not_stop_the_training(tmp_path: Path) -> None:
    (tmp_path / "mlflow.db").write_text("this is no database at all")
    sink = Sink()
    train(context(tmp_path, KEY, "model", Tracking(f"sqlite:///{tmp_path}/mlflow.db"), sink=sink), range(3))
    assert "not a sqlite database" in sink.notes[0]
    assert "3 lines of the training curves did not reach MLflow" in sink.notes[1]


def test_an_experiment_that_was_deleted_says_how_to_restore_it(tmp_path: Path, sqlite_tracking: Tracking) -> None:
    connection = connect(sqlite_tracking)
    connection.client.delete_experiment(connection.experiment_id)
    sink = Sink()
    train(context(tmp_path, KEY, "model", sqlite_tracking, sink=sink), range(1))
    assert f"mlflow experiments restore --experiment-id {connection.experiment_id}" in sink.notes[0]


@pytest.mark.parametrize("value", [float("nan"), float("inf"), -float("inf")])
def test_losses_that_are_no_numbers_are_logged_too(tmp_path: Path, sqlite_tracking: Tracking, value: float) -> None:
    writer = open_training_run(context(tmp_path, KEY, "model", sqlite_tracking), {})
    writer.log({"train/loss": value}, 1)
    writer.close()
    assert len(curve(sqlite_tracking, writer.run_id, "train/loss")) == 1


def test_without_tracking_there_is_a_writer_that_does_nothing(tmp_path: Path) -> None:
    given = dataclasses.replace(context(tmp_path, KEY, "model", Tracking()), tracking=Tracking())
    train(given, range(3))
