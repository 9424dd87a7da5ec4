"""The loop in one process: exact resume, equal results however a batch is cut, selection, stop, and losses that are no numbers."""

from __future__ import annotations

import json
import math
from pathlib import Path

import pytest
import torch

from tasks.contracts import Artifact
from tasks.errors import Stopped, TaskError
from tasks.training import state
from tasks.training.channel import METRICS, Journal, request_stop
from tasks.training.config import TrainConfig
from tasks.training.loop import check, end_epoch, step_seed, train_epoch, train_model, train_step
from tasks.training.ranks import Ranks
from tasks.training.run import Job, Taken, start
from tests.tasks.training.example import config, digest, final_weights


def job(shards: Artifact, work_dir: Path, chosen: TrainConfig | None = None, threads: int = 1) -> Job:
    work_dir.mkdir(exist_ok=True)
    return Job(chosen or config(), shards.path, work_dir, seed=7, threads=threads)


def lines(work_dir: Path) -> list[dict[str, float]]:
    """Curves without what depends on the clock."""
    found = [json.loads(line) for line in (work_dir / METRICS).read_text().splitlines()]
    return [{name: value for name, value in line.items() if name != "train/samples_per_s"} for line in found]


@pytest.fixture(scope="module")
def whole(shards: Artifact, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The work folder of a training that nothing interrupted."""
    work_dir = tmp_path_factory.mktemp("whole")
    train_model(job(shards, work_dir), Ranks())
    return work_dir


def test_training_learns_and_keeps_its_curves(whole: Path) -> None:
    curves = lines(whole)
    losses = [line["train/loss"] for line in curves if "train/loss" in line]
    assert len(losses) == 16
    assert sum(losses[-4:]) < 0.8 * sum(losses[:4])
    validations = [line for line in curves if "val/loss" in line]
    assert [line["epoch"] for line in validations] == [0, 1]
    assert {"val/shade/accuracy", "val/height/mae"} < set(validations[0])


def test_the_same_job_gives_the_same_weights_bit_for_bit(shards: Artifact, tmp_path: Path, whole: Path) -> None:
    train_model(job(shards, tmp_path), Ranks())
    assert digest(final_weights(tmp_path)) == digest(final_weights(whole))
    assert lines(tmp_path) == lines(whole)


def test_another_seed_gives_other_weights(shards: Artifact, tmp_path: Path, whole: Path) -> None:
    train_model(Job(config(), shards.path, tmp_path, seed=8), Ranks())
    assert digest(final_weights(tmp_path)) != digest(final_weights(whole))


@pytest.mark.parametrize("step", [1, 5, 8, 11])
def test_a_stopped_run_goes_on_and_ends_with_the_same_weights_and_curves(
    shards: Artifact, tmp_path: Path, whole: Path, step: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = iter(range(1, 1000))
    with monkeypatch.context() as patch:
        patch.setattr(Journal, "stop_requested", lambda self: next(asked) == step)
        with pytest.raises(Stopped, match="run the same recipe again"):
            train_model(job(shards, tmp_path), Ranks())
    assert state.newest(tmp_path / state.FOLDER, pytest.fail) is not None
    train_model(job(shards, tmp_path), Ranks())
    assert digest(final_weights(tmp_path)) == digest(final_weights(whole))
    assert lines(tmp_path) == [pytest.approx(line) for line in lines(whole)]


def test_a_varied_training_goes_on_exactly_and_is_another_one(
    shards: Artifact, tmp_path: Path, whole: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    augment = {"image": {"crop": [0.5, 1], "flip": 0.5}, "audio": {"speeds": [0.9, 1, 1.1], "snr_db": [10, 20], "time_masks": 1}}
    chosen = config(augment=augment, epochs=1)
    train_model(job(shards, tmp_path / "whole", chosen), Ranks())
    asked = iter(range(1, 1000))
    with monkeypatch.context() as patch:
        patch.setattr(Journal, "stop_requested", lambda self: next(asked) == 5)
        with pytest.raises(Stopped):
            train_model(job(shards, tmp_path / "stopped", chosen), Ranks())
    train_model(job(shards, tmp_path / "stopped", chosen), Ranks())
    assert lines(tmp_path / "stopped") == [pytest.approx(line) for line in lines(tmp_path / "whole")]
    assert digest(final_weights(tmp_path / "stopped")) == digest(final_weights(tmp_path / "whole"))
    assert lines(tmp_path / "whole")[0]["train/loss"] != lines(whole)[0]["train/loss"]


def test_the_stop_file_ends_a_run_after_a_checkpoint(shards: Artifact, tmp_path: Path) -> None:
    request_stop(tmp_path)
    with pytest.raises(Stopped, match="epoch 1 of 2, step 1 of 8"):
        train_model(job(shards, tmp_path), Ranks())
    checkpoint = state.newest(tmp_path / state.FOLDER, pytest.fail)
    assert checkpoint is not None
    assert (checkpoint.progress.epoch, checkpoint.progress.step) == (0, 1)


def test_a_torn_checkpoint_falls_back_to_the_one_before_it(shards: Artifact, tmp_path: Path, whole: Path) -> None:
    chosen = config(checkpoint_every={"steps": 3})
    train_model(job(shards, tmp_path, chosen), Ranks())
    root = tmp_path / state.FOLDER
    newest = max(root.glob("step-*"))
    (newest / state.MODEL).write_bytes((newest / state.MODEL).read_bytes()[:-1])
    train_model(job(shards, tmp_path, chosen), Ranks())
    assert digest(final_weights(tmp_path)) == digest(final_weights(whole))
    notes = (tmp_path / "notes.jsonl").read_text()
    assert f"checkpoint {newest.name}: model.safetensors does not have the bytes that were written" in notes
    assert "training goes on at epoch 2" in notes


def test_only_the_newest_two_checkpoints_and_the_best_are_kept(shards: Artifact, tmp_path: Path) -> None:
    train_model(job(shards, tmp_path, config(checkpoint_every={"steps": 1}, epochs=3)), Ranks())
    checkpoint = state.newest(tmp_path / state.FOLDER, pytest.fail)
    assert checkpoint is not None
    assert checkpoint.progress.best is not None
    kept = {path.name for path in (tmp_path / state.FOLDER).iterdir()}
    assert kept == {"step-000000024", "step-000000023", f"step-{checkpoint.progress.best['steps']:09d}"}


def test_the_best_epoch_is_the_one_with_the_lowest_validation_loss(shards: Artifact, tmp_path: Path) -> None:
    train_model(job(shards, tmp_path, config(epochs=4, optimizer={"learning_rate": 0.05})), Ranks())
    losses = [line["val/loss"] for line in lines(tmp_path) if "val/loss" in line]
    checkpoint = state.newest(tmp_path / state.FOLDER, pytest.fail)
    assert checkpoint is not None
    assert checkpoint.progress.best is not None
    assert checkpoint.progress.best["epoch"] == losses.index(min(losses)) + 1
    assert checkpoint.progress.best["loss"] == min(losses)


def test_accumulated_parts_equal_the_whole_batch(shards: Artifact, tmp_path: Path) -> None:
    still = {"dropout": 0.0}
    calm = {
        "encoders": {"image": {"kind": "cnn", "channels": [8, 8], **still}, "text": {"kind": "gru", **still}},
        "fusion": {"kind": "concat", **still},
        "trunk": {"kind": "mlp", **still},
    }
    read = {"image": {"size": [8, 8]}, "text": {"max_tokens": 12}}
    runs = []
    for parts in (1, 3):
        run = start(job(shards, tmp_path / str(parts), config(model=calm, read=read, accumulate=parts)), Ranks())
        for batch in run.train.epoch(0):
            train_step(run, batch)
        runs.append(run.model.state_dict())
    for name, value in runs[0].items():
        torch.testing.assert_close(runs[1][name], value, rtol=1e-4, atol=1e-5)


def test_a_loss_that_is_no_number_names_step_samples_and_checkpoint(shards: Artifact, tmp_path: Path) -> None:
    run = start(job(shards, tmp_path, config(checkpoint_every={"steps": 2})), Ranks())
    batches = list(run.train.epoch(0))
    batches[3].inputs["image"].values[:] = math.nan
    run.train.epoch = lambda epoch, start_step=0: (batch for batch in batches)  # type: ignore[method-assign]
    with pytest.raises(
        TaskError,
        match=r"the loss became nan at epoch 1, step 4, on samples r\d+.*the last checkpoint is step-000000002 in .*precision: float32",
    ):
        train_epoch(run)
    assert {path.name for path in (tmp_path / state.FOLDER).iterdir()} == {"step-000000002"}


def test_a_loss_on_val_that_is_no_number_names_its_head_and_ends_the_training(shards: Artifact, tmp_path: Path) -> None:
    run = start(job(shards, tmp_path, config(epochs=1)), Ranks())
    assert run.val is not None
    batches = list(run.val.evaluation())
    batches[0].labels["height"][0] = 1e300
    run.val.evaluation = lambda: (batch for batch in batches)  # type: ignore[method-assign]
    train_epoch(run)
    with pytest.raises(
        TaskError,
        match=r"the loss on the split 'val' is no number at the end of epoch 1: 'height' \(inf\); no checkpoint.*Look at the labels",
    ):
        end_epoch(run)
    assert not (tmp_path / state.FOLDER).exists()


def test_the_first_step_whose_loss_is_no_number_is_named_however_late_it_is_looked_at(shards: Artifact, tmp_path: Path) -> None:
    run = start(job(shards, tmp_path), Ranks())
    fine, bad = torch.tensor([0.5, 1.0]), torch.tensor([0.5, math.inf])
    run.unchecked = [Taken(1, step, [f"r{step}"], bad if step > 2 else fine) for step in (1, 2, 3, 4)]
    with pytest.raises(
        TaskError, match=r"the gradient became inf \(loss 0.5\) at epoch 2, step 3, on samples r3; no checkpoint was written"
    ):
        check(run)
    check(run)  # what was looked at is gone
    batches = list(run.train.epoch(0))
    batches[1].inputs["image"].values[:] = math.nan
    run.train.epoch = lambda epoch, start_step=0: (batch for batch in batches)  # type: ignore[method-assign]
    with pytest.raises(TaskError, match=f"the loss became nan at epoch 1, step 2, on samples {batches[1].keys[0]}, "):
        train_epoch(run)


def test_bfloat16_trains_too(shards: Artifact, tmp_path: Path) -> None:
    train_model(job(shards, tmp_path, config(precision="bfloat16")), Ranks())
    of_the_label = ("mean", "std")  # in float64, since numbers may be far from zero
    assert {value.dtype for name, value in final_weights(tmp_path).items() if not name.endswith(of_the_label)} == {torch.float32}
    losses = [line["train/loss"] for line in lines(tmp_path) if "train/loss" in line]
    assert sum(losses[-4:]) < 0.8 * sum(losses[:4])


def test_training_leaves_the_process_as_it_was(shards: Artifact, tmp_path: Path) -> None:
    torch.manual_seed(3)
    threads, expected = torch.get_num_threads(), torch.rand(1)
    torch.manual_seed(3)
    request_stop(tmp_path)
    with pytest.raises(Stopped):
        train_model(job(shards, tmp_path, threads=1), Ranks())
    assert torch.equal(torch.rand(1), expected)
    assert torch.get_num_threads() == threads


def test_each_step_and_rank_has_random_numbers_of_its_own() -> None:
    seeds = {step_seed(seed, step, rank) for seed in range(3) for step in range(50) for rank in range(4)}
    assert len(seeds) == 600
