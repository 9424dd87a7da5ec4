"""Ray Train: local mode in this process, and workers for real."""

from __future__ import annotations

import json
import os
import signal
import threading
from pathlib import Path
from typing import Any

import pytest

from tasks.contracts import Artifact, TaskContext
from tasks.errors import InputError, LabelError, Stopped, TaskError
from tasks.training import channel, state
from tasks.training.config import TrainConfig
from tasks.training.launch import launch, spec_json, train_worker
from tests.tasks.shards.corpora import Recorder
from tests.tasks.training.example import config, context, digest, final_weights, mortal
from tests.tasks.training.test_processes import forked

pytestmark = pytest.mark.filterwarnings("ignore::ResourceWarning", "ignore::DeprecationWarning", "ignore::FutureWarning")


class Remembering(Recorder):
    """A sink that also keeps curves."""

    def __init__(self) -> None:
        super().__init__()
        self.curves: list[int] = []

    def metrics(self, values: Any, step: int) -> None:
        self.curves.append(step)


def spec(shards: Artifact, chosen: TrainConfig, around: TaskContext) -> dict[str, Any]:
    around.work_dir.mkdir(parents=True, exist_ok=True)
    return spec_json(
        {
            "config": chosen.model_dump(mode="json"),
            "shards": [str(shards.path)],
            "work_dir": str(around.work_dir),
            "seed": 7,
            "threads": 1,
            "gpu": False,
            "code_dir": str(around.code_dir),
        }
    )


def unlogged(values: dict[str, float], step: int) -> None: ...


def test_local_mode_trains_in_this_process_and_reports_as_it_goes(shards: Artifact, tmp_path: Path) -> None:
    import ray

    was_up, handler = ray.is_initialized(), signal.getsignal(signal.SIGINT)
    sink, logged = Remembering(), []
    around = context(tmp_path, sink=sink)
    launch(spec(shards, config(), around), around, lambda values, step: logged.append(step))
    assert final_weights(around.work_dir)
    assert sink.curves == sorted(sink.curves) == logged
    assert len(sink.curves) == 16 + 2
    assert sink.done[-1] == (16, 16, "steps")
    assert ray.is_initialized() == was_up
    assert signal.getsignal(signal.SIGINT) is handler
    assert not [name for name in os.environ if name == "RAY_TRAIN_HEALTH_CHECK_INTERVAL_S"]


def test_the_stop_signal_ends_a_training_after_a_checkpoint(shards: Artifact, tmp_path: Path) -> None:
    stop = threading.Event()
    stop.set()
    around = context(tmp_path, stop=stop)
    with pytest.raises(Stopped, match="its checkpoint is kept"):
        launch(spec(shards, config(), around), around, unlogged)
    assert state.newest(around.work_dir / state.FOLDER, pytest.fail) is not None


def test_an_error_in_training_arrives_as_itself(shards: Artifact, tmp_path: Path) -> None:
    around = context(tmp_path)
    chosen = config(model={"heads": {"shade": "regression"}})
    with pytest.raises(LabelError, match="use `kind: classification`"):
        launch(spec(shards, chosen, around), around, unlogged)


def test_a_failure_that_would_come_again_is_not_tried_again(shards: Artifact, tmp_path: Path) -> None:
    around = context(tmp_path)
    hopeless = spec(shards, config(model={"heads": {"shade": "regression"}}), around)
    with pytest.raises(LabelError):
        train_worker(hopeless)
    train_worker(hopeless)  # what Ray does next; nothing happens
    assert type(channel.recorded_failure(around.work_dir)) is LabelError
    assert not (around.work_dir / state.FOLDER).exists()


def test_a_worker_confirms_a_stop_and_does_not_begin_again(shards: Artifact, tmp_path: Path) -> None:
    around = context(tmp_path)
    given = spec(shards, config(), around)
    channel.request_stop(around.work_dir)
    train_worker(given)
    assert "epoch 1 of 2, step 1" in str(channel.confirmed_stop(around.work_dir))
    (around.work_dir / channel.STOP).unlink()
    train_worker(given)
    checkpoint = state.newest(around.work_dir / state.FOLDER, pytest.fail)
    assert checkpoint is not None
    assert checkpoint.progress.steps == 1


UNDISTURBED = """
children = [fork(lambda: rank("undisturbed", number, lambda name, ranks: train(name, 0, ranks=ranks))) for number in range(2)]
assert [ended(child) for child in children] == [0, 0]
"""


@pytest.fixture(scope="module")
def two_workers(
    shards: Artifact, tmp_path_factory: pytest.TempPathFactory, ray_session: None
) -> tuple[TaskContext, Remembering, TrainConfig]:
    """A training with two workers, one of which was killed on the way."""
    folder, sink = tmp_path_factory.mktemp("workers"), Remembering()
    around = context(folder, sink=sink, workers=2)
    chosen = config(**mortal(folder / "died", 11), checkpoint_every={"steps": 3})
    launch(spec(shards, chosen, around), around, unlogged)
    return around, sink, chosen


@pytest.mark.ray
def test_two_workers_train_and_survive_the_death_of_one(two_workers: tuple[TaskContext, Remembering, TrainConfig]) -> None:
    around, sink, _ = two_workers
    assert (around.work_dir.parent / "died").exists()
    assert any("training goes on at epoch 2" in note for note in sink.notes)
    assert sink.curves == sorted(sink.curves)
    assert len(sink.curves) == 16 + 2
    checkpoint = state.newest(around.work_dir / state.FOLDER, pytest.fail)
    assert checkpoint is not None
    assert checkpoint.facts == {"threads": 1, "world_size": 2}


@pytest.mark.ray
def test_the_death_of_a_worker_changes_no_bit_of_the_weights(
    two_workers: tuple[TaskContext, Remembering, TrainConfig], shards: Artifact, tmp_path: Path
) -> None:
    """Beside two ranks without Ray that nothing disturbed."""
    forked(UNDISTURBED, shards, tmp_path)
    assert digest(final_weights(tmp_path / "undisturbed")) == digest(final_weights(two_workers[0].work_dir))


@pytest.mark.ray
@pytest.mark.slow
def test_an_error_in_a_worker_arrives_as_itself_and_is_not_retried(shards: Artifact, tmp_path: Path, ray_session: None) -> None:
    around = context(tmp_path, workers=1)
    with pytest.raises(LabelError, match="use `kind: classification`"):
        launch(spec(shards, config(model={"heads": {"shade": "regression"}}), around), around, unlogged)
    assert json.loads((around.work_dir / channel.FAILURE).read_bytes())["error"] == "LabelError"


@pytest.mark.ray
def test_workers_answer_the_stop_signal(shards: Artifact, tmp_path: Path, ray_session: None) -> None:
    stop = threading.Event()
    around = context(tmp_path, workers=1, stop=stop)
    stop.set()
    with pytest.raises(Stopped, match="epoch 1 of 2, step 1"):
        launch(spec(shards, config(), around), around, unlogged)


@pytest.mark.ray
def test_more_workers_than_the_cluster_holds_are_refused_at_once(shards: Artifact, tmp_path: Path, ray_session: None) -> None:
    around = context(tmp_path, workers=4, cpus=8)
    with pytest.raises(InputError, match="4 workers of 8 CPU and 0 GPU each, but the cluster has room for 0"):
        launch(spec(shards, config(), around), around, unlogged)


def test_a_failure_of_ray_itself_names_its_cause() -> None:
    from ray.exceptions import RayError

    from tasks.training.launch import _raise

    with pytest.raises(TaskError, match="after 3 new starts: the node went away"):
        _raise(RayError("long story\n\nthe node went away\n"), Path("/nonexistent"))
