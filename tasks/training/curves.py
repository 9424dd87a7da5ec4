"""Losses on their way to the curves: sums over steps and ranks, means, lines. Must not import ray or mlflow."""

from __future__ import annotations

import time

from tasks.training.run import Run

CURVE_POINTS = 200
"""Metric lines of a whole training, beside one for each validation."""


def collect(run: Run) -> None:
    """Add the ranks' losses since the last time to `progress.window`."""
    names = list(run.policy.factors)
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
        total = sum(run.policy.factors[name] * value for name, value in losses.items())
        run.shown = f", loss {total:.4f}"
        run.journal.metrics(
            progress.steps,
            progress.epoch,
            {
                "train/loss": total,
                **{f"train/{name}/loss": value for name, value in losses.items()},
                "train/learning_rate": run.optimizer.param_groups[0]["lr"] / run.optimizer.param_groups[0].get("rate", 1.0),
                "train/samples_per_s": progress.samples / progress.train_seconds,
            },
        )
    progress.lines = run.journal.lines


def log_validation(run: Run, loss: float) -> None:
    """One line with the metrics of `progress.val`; `loss` is their weighted sum, by which the best epoch is chosen."""
    progress = run.progress
    if run.ranks.rank == 0:
        values = {f"val/{name}/{metric}": value for name, metrics in progress.val.items() for metric, value in metrics.items()}
        run.journal.metrics(progress.steps, progress.epoch, {"val/loss": loss, **values})
    progress.lines = run.journal.lines


def lap(run: Run, *, training: bool = True) -> None:
    """Add the time since the last call to the run's seconds."""
    now = time.monotonic()
    passed, run.clock = now - run.clock, now
    run.progress.seconds += passed
    if training:
        run.progress.train_seconds += passed


def means(sums: dict[str, list[float]]) -> dict[str, float]:
    """Loss → mean of its sum and weight."""
    return {name: mean(total, weight) for name, (total, weight) in sums.items()}


def mean(total: float, weight: float) -> float:
    """0 where nothing was seen."""
    return total / weight if weight else 0.0
