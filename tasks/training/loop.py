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
from collections.abc import Callable, Generator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, cast

import torch
from torch import Tensor, nn

from tasks.contracts import Batch
from tasks.errors import Stopped, TaskError
from tasks.models.dropout import drop_modalities
from tasks.models.fused import FusedModel, build_model
from tasks.models.load import build_readers, load_weights
from tasks.shards.loader import Loader
from tasks.shards.read import ShardSet
from tasks.training import state
from tasks.training.batches import split, to_device
from tasks.training.channel import Journal
from tasks.training.config import TrainConfig
from tasks.training.ranks import Ranks
from tasks.training.schedule import share
from tasks.training.state import Progress
from tasks.training.steady import SteadyReader

CURVE_POINTS = 200
"""Metric lines of a whole training, beside one for each validation."""
SHOWN_KEYS = 5


@dataclass(frozen=True)
class Job:
    """What every process of a training must know."""

    config: TrainConfig
    shards: Path
    work_dir: Path
    seed: int
    threads: int = 1
    """CPU threads of this process; other counts give other last bits."""


@dataclass
class Run:
    """A training in one process, between two steps."""

    job: Job
    ranks: Ranks
    model: FusedModel
    forward: Callable[..., dict[str, Tensor]]
    """The model, or the wrapper that averages gradients over ranks."""
    optimizer: torch.optim.Optimizer
    train: Loader
    val: Loader | None
    journal: Journal
    progress: Progress = field(default_factory=Progress)
    local: dict[str, Tensor] = field(default_factory=dict)
    """Head → loss sum and weight (float64) of this rank since they were last added to `progress.window`."""
    unchecked: tuple[list[str], Tensor] | None = None
    """Keys, loss and gradient norm of the last step: looked at one step later, so that a GPU is never waited for."""
    shown: str = ""
    """The last logged losses, for the progress line."""
    saved: Path | None = None
    """The last checkpoint."""
    saved_at: float = field(default_factory=time.monotonic)
    clock: float = field(default_factory=time.monotonic)

    @property
    def config(self) -> TrainConfig:
        return self.job.config

    @property
    def total_steps(self) -> int:
        return self.config.epochs * int(self.train.steps_per_epoch)


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


def start(job: Job, ranks: Ranks) -> Run:
    """Build everything, and load the newest checkpoint that is whole."""
    config = job.config
    shard_set = ShardSet.open(job.shards)
    labels = {name: shard_set.meta["labels"][name] for name in config.model.heads}
    fits = {modality: shard_set.fit(modality) for modality in config.readers()}
    readers = {modality: SteadyReader(reader) for modality, reader in build_readers(config.readers(), fits).items()}

    def loader(split: str) -> Loader:
        return Loader(
            shard_set,
            split,
            readers,
            labels,
            batch_size=config.batch_size,
            streams=config.streams,
            seed=job.seed,
            rank=ranks.rank,
            world_size=ranks.world_size,
        )

    torch.manual_seed(job.seed)
    model = build_model(config.model, {modality: reader.shape for modality, reader in readers.items()}, labels).to(ranks.device)
    optimizer = torch.optim.AdamW(
        state.parameter_groups(model, config.optimizer.weight_decay),
        lr=config.optimizer.learning_rate,
        betas=config.optimizer.betas,
        eps=config.optimizer.eps,
    )
    val = loader("val") if shard_set.num_samples("val") else None
    run = Run(job, ranks, model, model, optimizer, loader("train"), val, Journal(job.work_dir))
    resume(run)
    if ranks.world_size > 1:
        run.forward = cast(Any, nn.parallel.DistributedDataParallel(model))
    return run


def resume(run: Run) -> None:
    """Load the newest whole checkpoint, the same one on every rank."""
    root = run.job.work_dir / state.FOLDER
    found = state.newest(root, run.journal.note) if run.ranks.rank == 0 else None
    (steps,) = run.ranks.sum([found.progress.steps if found else 0])
    if steps:
        checkpoint = found or state.read(state.at(root, int(steps)))
        load_weights(run.model, checkpoint.model(), f"checkpoint {checkpoint.path.name}")
        run.optimizer.load_state_dict(checkpoint.optimizer())
        run.progress, run.saved = checkpoint.progress, checkpoint.path
    if run.ranks.rank == 0:
        run.journal.rewind(run.progress.lines)
        if steps and not run.progress.finished:
            now = facts(run)
            changed = [f"{name} {then} → {now[name]}" for name, then in (found.facts if found else {}).items() if now[name] != then]
            difference = f"; {', '.join(changed)}, so that last bits may differ from an uninterrupted run" if changed else ""
            run.journal.note(f"training goes on at epoch {run.progress.epoch + 1}, step {run.progress.step}{difference}")


def facts(run: Run) -> dict[str, int]:
    """What a checkpoint says about the processes that made it."""
    return {"threads": run.job.threads, "world_size": run.ranks.world_size}


def train_epoch(run: Run) -> None:
    """The remaining steps of the epoch that `run.progress` stands in."""
    progress = run.progress
    run.model.train()
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
        run.model.present_BM(batch), batch.keys, seed=run.job.seed, epoch=progress.epoch, rate=config.model.modality_dropout
    )
    batch = to_device(replace(batch, present=kept_BM, modalities=run.model.modalities), run.ranks.device)
    weights = global_weights(run, batch)
    parts = split(batch, config.accumulate)
    loss = torch.zeros((), device=run.ranks.device)
    for place, part in enumerate(parts):
        with contextlib.nullcontext() if place == len(parts) - 1 else no_sync(run):
            with autocast(run):
                outputs = run.forward(part.inputs, part.present)
            sums = run.model.losses(outputs, part)
            named = {name: total / weights[name] for name, (total, _) in sums.items()}
            part_loss = torch.stack([run.model.loss_weights[name] * value for name, value in named.items()]).sum()
            (part_loss * run.ranks.world_size).backward()  # the wrapper divides by the number of ranks
        loss += part_loss.detach()
        for name, sum_ in sums.items():
            pair = torch.stack([sum_.total.detach(), sum_.weight]).double()
            run.local[name] = run.local[name] + pair if name in run.local else pair
    check(run)
    norm = nn.utils.clip_grad_norm_(run.model.parameters(), config.clip if config.clip is not None else math.inf)
    for group in run.optimizer.param_groups:
        group["lr"] = config.optimizer.learning_rate * share(config.schedule, progress.steps, run.total_steps)
    run.optimizer.step()
    run.optimizer.zero_grad(set_to_none=True)
    progress.step += 1
    progress.steps += 1
    progress.samples += config.batch_size
    run.unchecked = (batch.keys, torch.stack([loss, norm]))


def global_weights(run: Run, batch: Batch) -> dict[str, Tensor]:
    """Head → weight of its loss over the whole global batch, never zero: dividing by it makes any number of ranks and parts equal one."""
    weights = run.model.loss_weight(batch)
    total = run.ranks.sum_tensor(torch.stack(list(weights.values())))
    return {name: torch.where(value > 0, value, 1.0) for name, value in zip(weights, total, strict=True)}


def check(run: Run) -> None:
    """Whether the last step's loss and gradient were numbers; its weights are never saved when not."""
    if run.unchecked is None:
        return
    keys, pair = run.unchecked
    loss, norm = pair.tolist()
    run.unchecked = None
    if math.isfinite(loss) and math.isfinite(norm):
        return
    what = f"the loss became {loss}" if not math.isfinite(loss) else f"the gradient became {norm} (loss {loss:.4g})"
    more = f" and {len(keys) - SHOWN_KEYS} more" if len(keys) > SHOWN_KEYS else ""
    kept = f"the last checkpoint is {run.saved.name} in {run.saved.parent}" if run.saved else "no checkpoint was written before"
    raise TaskError(
        f"{what} at epoch {run.progress.epoch + 1}, step {run.progress.step}, on samples {', '.join(keys[:SHOWN_KEYS])}{more}; {kept}. "
        "Look at these samples, lower `optimizer.learning_rate` or `clip`, or set `precision: float32`"
    )


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
        loss = sum(run.model.loss_weights[name] * values["loss"] for name, values in progress.val.items())
        if progress.best is None or loss < progress.best["loss"]:
            progress.best = {"epoch": progress.epoch + 1, "steps": progress.steps, "loss": loss, "val": progress.val}
        if run.ranks.rank == 0:
            curves = {f"val/{name}/{metric}": value for name, values in progress.val.items() for metric, value in values.items()}
            run.journal.metrics(progress.steps, progress.epoch, {"val/loss": loss, **curves})
    progress.lines = run.journal.lines
    progress.epoch, progress.step = progress.epoch + 1, 0
    progress.finished = progress.epoch == run.config.epochs
    checkpoint(run)


def validate(run: Run) -> dict[str, dict[str, float]]:
    """Head → metric → value over the validation split, each sample once."""
    assert run.val is not None
    sums: dict[tuple[str, str], Tensor] = {}
    run.model.eval()
    batches = cast(Generator[Batch, None, None], run.val.evaluation())
    with torch.no_grad(), contextlib.closing(batches):
        for batch in batches:
            between_steps(run, training=False)
            moved = to_device(batch, run.ranks.device)
            with autocast(run):
                outputs = run.model(moved.inputs, run.model.present_BM(moved))
            losses, metrics = run.model.losses(outputs, moved), run.model.metrics(outputs, moved)
            for name, loss in losses.items():
                for metric, (total, weight) in {"loss": loss, **metrics[name]}.items():
                    pair = torch.stack([total, weight]).double()
                    sums[name, metric] = sums[name, metric] + pair if (name, metric) in sums else pair
    run.model.train()
    flat = run.ranks.sum([number for pair in sums.values() for number in pair.tolist()])
    values: dict[str, dict[str, float]] = {}
    for place, (name, metric) in enumerate(sums):
        values.setdefault(name, {})[metric] = mean(flat[2 * place], flat[2 * place + 1])
    return values


def collect(run: Run) -> None:
    """Add the ranks' losses since the last time to `progress.window`."""
    names = list(run.model.loss_weights)
    flat = run.ranks.sum([number for name in names for number in (run.local[name].tolist() if name in run.local else (0.0, 0.0))])
    run.local = {}
    for place, name in enumerate(names):
        pair = flat[2 * place : 2 * place + 2]
        for sums in (run.progress.window, run.progress.running):
            sums[name] = [a + b for a, b in zip(sums.get(name, [0.0, 0.0]), pair, strict=True)]


def log_losses(run: Run) -> None:
    """One line of curves: mean losses since the line before."""
    collect(run)
    lap(run)
    progress = run.progress
    losses = means(progress.window)
    progress.window = {}
    if run.ranks.rank == 0:
        total = sum(run.model.loss_weights[name] * value for name, value in losses.items())
        run.shown = f", loss {total:.4f}"
        run.journal.metrics(
            progress.steps,
            progress.epoch,
            {
                "train/loss": total,
                **{f"train/{name}/loss": value for name, value in losses.items()},
                "train/learning_rate": run.optimizer.param_groups[0]["lr"],
                "train/samples_per_s": progress.samples / progress.train_seconds,
            },
        )
    progress.lines = run.journal.lines


def checkpoint(run: Run) -> None:
    """Write the state as it is; rank 0 does it, the ranks are equal."""
    check(run)
    collect(run)
    lap(run)
    if run.ranks.rank == 0:
        root = run.job.work_dir / state.FOLDER
        run.saved = state.save(root, run.model.state_dict(), run.optimizer.state_dict(), run.progress, facts(run))
    lap(run, training=False)
    run.saved_at = time.monotonic()


def lap(run: Run, *, training: bool = True) -> None:
    """Add the time since the last call to the run's seconds."""
    now = time.monotonic()
    passed, run.clock = now - run.clock, now
    run.progress.seconds += passed
    if training:
        run.progress.train_seconds += passed


def means(sums: dict[str, list[float]]) -> dict[str, float]:
    """Head → mean of its sum and weight."""
    return {name: mean(total, weight) for name, (total, weight) in sums.items()}


def mean(total: float, weight: float) -> float:
    """0 where nothing was seen."""
    return total / weight if weight else 0.0


def step_seed(seed: int, step: int, rank: int) -> int:
    """Seed of torch's generator in one step of one rank."""
    return int.from_bytes(hashlib.sha256(f"{seed}/{step}/{rank}".encode()).digest()[:7])


def no_sync(run: Run) -> contextlib.AbstractContextManager[Any]:
    """No exchange of gradients: more parts of the batch follow."""
    return cast(Any, run.forward).no_sync() if run.ranks.world_size > 1 else contextlib.nullcontext()


def autocast(run: Run) -> torch.autocast:
    return torch.autocast(run.ranks.device.type, dtype=torch.bfloat16, enabled=run.config.precision == "bfloat16")
