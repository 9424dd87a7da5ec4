"""Trainings that cannot work, as a table, as `tasks.models.combinations` is for models. In: a `TrainConfig`. Out: a sentence a row.

Read when a recipe is checked, so it imports no torch.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from tasks.training.config import TrainConfig


class Row(NamedTuple):
    """One combination."""

    applies: Callable[[TrainConfig], bool]
    sentence: str
    """What is wrong and what to do; `{config}` is the config."""


COMBINATIONS: tuple[Row, ...] = (
    Row(
        lambda config: config.accumulate > 1 and any(_of_whole_batches(part) for part in _losses(config)),
        "`accumulate` ({config.accumulate}) cuts a batch into parts, and a loss that compares the samples of a batch would see each part "
        "alone; set `accumulate: 1`, lower `batch_size` to save memory, or leave that loss out",
    ),
)


def refusals(config: TrainConfig) -> list[str]:
    """Why this training cannot run; empty when it can."""
    return [row.sentence.format(config=config) for row in COMBINATIONS if row.applies(config)]


def _losses(config: TrainConfig) -> list[Any]:
    """Configs of all heads and objectives, and of the losses they choose."""
    parts = [*config.model.heads.values(), *config.model.objectives.values()]
    return [*parts, *(part.loss for part in parts if hasattr(part, "loss"))]


def _of_whole_batches(part: Any) -> bool:
    return bool(getattr(part, "compares_samples", False))
