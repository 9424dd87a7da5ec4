"""The training loop, plain PyTorch. In: a `Job` and who this process is among others. Out: checkpoints and curves in the work folder.

Whatever happens in a step is a pure function of (weights, epoch, step): samples, hidden modalities, random numbers and learning rate.
So a run that was killed goes on from its last checkpoint and ends with the same weights, bit for bit, on a CPU with as many threads
and ranks. Must not import ray or mlflow.

Shape suffixes: B samples of this rank, M modalities.
"""

from __future__ import annotations

import contextlib
import hashlib
import math
import time
from collections.abc import Generator, Sequence
from dataclasses import replace
from typing import cast

import torch
from torch import Tensor

from tasks.contracts import Batch
from tasks.errors import Stopped, TaskError
from tasks.models.batches import to_device
from tasks.models.dropout import drop_modalities
from tasks.training import state
from tasks.training.average import follow
from tasks.training.curves import CURVE_POINTS, collect, lap, log_losses, log_validation, mean, means
from tasks.training.learning import set_learning, train_mode
from tasks.training.ranks import Ranks
from tasks.training.run import Job, Run, Taken, facts, start, wrap
from tasks.training.step import RunStep

SHOWN_KEYS = 5


def train_model(job: Job, ranks: Ranks) -> None:
    """Train, or go on where the last checkpoint is, until all epochs are done.

    Raises Stopped after a checkpoint when the stop file appears, and TaskError when the loss is no longer a number.
    """
    threads = torch.get_num_threads()
    torch.set_num_threads(job.threads)
    try:
        with torch.random.fork_rng(devices=[ranks.device] if ranks.device.type == "cuda" else []):
            run = start(job, ranks)
            while run.progress.epoch < run.config.epochs:
                train_epoch(run)
                end_epoch(run)
    finally:
        torch.set_num_threads(threads)


def train_epoch(run: Run) -> None:
    """The remaining steps of the epoch that `run.progress` stands in."""
    progress = run.progress
    if set_learning(run.model, run.config, progress.epoch):
        wrap(run)
    train_mode(run.model, run.config, progress.epoch)
    run.clock = time.monotonic()
    if progress.step < run.train.steps_per_epoch:
        batches = cast(Generator[Batch, None, None], run.train.epoch(progress.epoch, progress.step))
        with contextlib.closing(batches):
            for batch in batches:
                train_step(run, batch)
                between_steps(run)
    check(run)


def between_steps(run: Run, *, training: bool = True) -> None:
    """Curves, progress, checkpoints, and the wish to stop. A run stopped while it validates does that again."""
    progress = run.progress
    if training and progress.steps % max(1, run.total_steps // CURVE_POINTS) == 0:
        check(run)
        log_losses(run)
    stop, save = run.ranks.sum(decisions(run))
    if stop or (save and training):
        checkpoint(run)
    if stop:
        raise Stopped(
            f"training was stopped at epoch {progress.epoch + 1} of {run.config.epochs}, step {progress.step} of "
            f"{run.train.steps_per_epoch}; its checkpoint is kept, run the same recipe again to go on"
        )


def train_step(run: Run, batch: Batch) -> None:
    """One optimizer step on this rank's part of the global batch."""
    config, progress = run.config, run.progress
    torch.manual_seed(step_seed(run.job.seed, progress.steps, run.ranks.rank))
    kept_BM = drop_modalities(
        run.model.present_BM(batch), batch.keys, seed=run.job.seed, epoch=batch.epochs, rate=config.model.modality_dropout
    )
    batch = to_device(_showing(batch, run.model.modalities, kept_BM), run.ranks.device)
    run.model.advance(progress.steps / run.total_steps)
    loss, norm = run.policy.step(RunStep(run), batch)
    progress.step += 1
    progress.steps += 1
    if run.average is not None and config.ema is not None:
        follow(run.average, run.model, config.ema, progress.steps)
    progress.samples += config.batch_size
    run.unchecked.append(Taken(progress.epoch, progress.step, batch.keys, torch.stack([loss, norm])))
    if run.ranks.device.type == "cpu":
        check(run)  # there is nobody to wait for


def _showing(batch: Batch, modalities: Sequence[str], kept_BM: Tensor) -> Batch:
    """The batch with what is left of these modalities; what a head learns to say is never hidden."""
    present_BM = batch.present.clone()
    present_BM[:, [batch.modalities.index(modality) for modality in modalities]] = kept_BM
    return replace(batch, present=present_BM)


def check(run: Run) -> None:
    """Whether loss and gradient of each step since the last look were numbers; weights are never saved when not."""
    taken, run.unchecked = run.unchecked, []
    pairs = torch.stack([each.loss_and_norm for each in taken]).tolist() if taken else []
    for each, (loss, norm) in zip(taken, pairs, strict=True):
        if not (math.isfinite(loss) and math.isfinite(norm)):
            raise _no_number(run, each, loss, norm)


def _no_number(run: Run, taken: Taken, loss: float, norm: float) -> TaskError:
    keys = taken.keys
    what = f"the loss became {loss}" if not math.isfinite(loss) else f"the gradient became {norm} (loss {loss:.4g})"
    more = f" and {len(keys) - SHOWN_KEYS} more" if len(keys) > SHOWN_KEYS else ""
    if math.isfinite(loss) and run.ranks.world_size > 1:
        more += " or, since the loss on these is a number, on those of another worker"
    return TaskError(
        f"{what} at epoch {taken.epoch + 1}, step {taken.step}, on samples {', '.join(keys[:SHOWN_KEYS])}{more}; {_kept(run)}. "
        "Look at these samples, lower `optimizer.learning_rate` or `clip`, or set `precision: float32`"
    )


def check_validation(run: Run) -> None:
    """Whether every loss on val is a number: no epoch can be told to be better than another by one that is not."""
    wrong = {name: values["loss"] for name, values in run.progress.val.items() if not math.isfinite(values["loss"])}
    if wrong:
        found = ", ".join(f"{name!r} ({value})" for name, value in wrong.items())
        raise TaskError(
            f"the loss on the split 'val' is no number at the end of epoch {run.progress.epoch + 1}: {found}; {_kept(run)}. Look at the "
            "labels and media of val for values that are far from all others, lower `optimizer.learning_rate`, or set `precision: float32`"
        )


def _kept(run: Run) -> str:
    return f"the last checkpoint is {run.saved.name} in {run.saved.parent}" if run.saved else "no checkpoint was written before"


def decisions(run: Run) -> list[float]:
    """Whether to stop and whether to save, decided by rank 0 and known to all by summing."""
    if run.ranks.rank != 0:
        return [0.0, 0.0]
    every = run.config.checkpoint_every
    by_steps = every.steps is not None and run.progress.steps % every.steps == 0
    by_time = every.seconds is not None and time.monotonic() - run.saved_at >= every.seconds
    run.journal.progress(run.progress.steps, run.total_steps, f"epoch {run.progress.epoch + 1}/{run.config.epochs}{run.shown}")
    return [float(run.journal.stop_requested()), float(by_steps or by_time)]


def end_epoch(run: Run) -> None:
    """Validate, note the best, and write a checkpoint that begins the next epoch."""
    progress = run.progress
    collect(run)
    lap(run)
    progress.val = validate(run) if run.val else {}
    progress.train, progress.running = means(progress.running), {}
    lap(run, training=False)
    if progress.val:
        check_validation(run)
        loss = sum(weight * progress.val[name]["loss"] for name, weight in run.model.judging.items())
        if progress.best is None or loss < progress.best["loss"]:
            progress.best = {"epoch": progress.epoch + 1, "steps": progress.steps, "loss": loss, "val": progress.val}
        log_validation(run, loss)
    progress.epoch, progress.step = progress.epoch + 1, 0
    progress.finished = progress.epoch == run.config.epochs
    checkpoint(run)


def validate(run: Run) -> dict[str, dict[str, float]]:
    """Head or objective → metric → value over the validation split, each sample once."""
    assert run.val is not None
    sums: dict[tuple[str, str], Tensor] = {}
    model = run.average or run.model
    model.eval()
    batches = cast(Generator[Batch, None, None], run.val.evaluation())
    with torch.no_grad(), contextlib.closing(batches):
        for batch in batches:
            between_steps(run, training=False)
            moved = to_device(batch, run.ranks.device)
            with run.autocast():
                outputs = model.outputs(moved.inputs, model.present_BM(moved))
            losses, metrics = model.losses(outputs, moved), model.metrics(outputs, moved)
            for name, loss in losses.items():
                for metric, (total, weight) in {"loss": loss, **metrics.get(name, {})}.items():
                    pair = torch.stack([total, weight]).double()
                    sums[name, metric] = sums[name, metric] + pair if (name, metric) in sums else pair
    flat = run.ranks.sum([number for pair in sums.values() for number in pair.tolist()])
    values: dict[str, dict[str, float]] = {}
    for place, (name, metric) in enumerate(sums):
        values.setdefault(name, {})[metric] = mean(flat[2 * place], flat[2 * place + 1])
    return values


def checkpoint(run: Run) -> None:
    """Write the state as it is; rank 0 does it, the ranks are equal."""
    check(run)
    collect(run)
    lap(run)
    if run.ranks.rank == 0:
        root = run.job.work_dir / state.FOLDER
        run.saved = state.save(root, run.states(), run.optimizer.state_dict(), run.progress, facts(run))
    lap(run, training=False)
    run.saved_at = time.monotonic()


def step_seed(seed: int, step: int, rank: int) -> int:
    """Seed of torch's generator in one step of one rank."""
    return int.from_bytes(hashlib.sha256(f"{seed}/{step}/{rank}".encode()).digest()[:7])
