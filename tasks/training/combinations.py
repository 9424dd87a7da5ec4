"""Trainings that cannot work, as a table, as `tasks.models.combinations` is for models. In: a `TrainConfig`. Out: a sentence a row.

Read when a recipe is checked, so it imports no torch.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, NamedTuple

from tasks.models.parts import chosen
from tasks.models.targets import of_classes

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
    Row(
        lambda config: bool(_too_small_for_cca(config)),
        "`batch_size` ({config.batch_size}) is at most twice the `dim` of a head or objective with the loss `cca`, and in so few samples "
        "any two sets of numbers correlate in full, so that nothing would be learned; lower that `dim`, to a tenth of `batch_size` or "
        "less, or give larger batches",
    ),
    Row(
        lambda config: config.policy.kind == "adversarial" and not _fooling(config),
        "policy 'adversarial' moves discriminators and the model in turn, and no objective of this model has a discriminator; add an "
        "`adversarial` or `domain_adversarial` objective, or leave the policy out",
    ),
    Row(
        lambda config: config.policy.kind == "pseudo_labels" and not of_classes(config.model.heads),
        "policy 'pseudo_labels' learns what a head is sure of, and no head of this model chooses a class with a probability; add one such "
        "as a `classification`, or leave the policy out",
    ),
    Row(
        lambda config: config.policy.kind == "pseudo_labels" and not set(config.policy.heads) <= {*of_classes(config.model.heads)},
        "policy 'pseudo_labels': `heads` names one that is not in `model.heads` or chooses no class; name a `classification` of this "
        "model, or leave `heads` out for all of them",
    ),
    Row(
        lambda config: config.policy.kind == "pseudo_labels" and not set(config.policy.strong) <= set(config.model.encoders),
        "policy 'pseudo_labels': `strong` varies a modality that has no encoder, which changes nothing; vary one of those in `encoders`, "
        "or add an encoder for it",
    ),
    Row(
        lambda config: config.policy.kind == "reptile" and any(_of_whole_batches(part) for part in _losses(config)),
        "policy 'reptile' steps on a few samples of one task, and a loss that compares the samples of a batch has too little to compare; "
        "leave that loss out, or take another policy",
    ),
    Row(
        lambda config: config.policy.kind == "reptile" and any(_changed(config, name) for name in ("optimizer", "schedule", "clip")),
        "policy 'reptile' steps by `inner_rate` and `outer_rate` and uses neither `optimizer` nor `schedule` nor `clip`, one of which is "
        "set; leave it out",
    ),
    Row(
        lambda config: config.accumulate > 1 and bool(batch_normed(config)),
        "`accumulate` ({config.accumulate}) cuts a batch into parts, and `norm: batch` of an encoder would norm each part by itself; set "
        "`accumulate: 1`, or `norm: group`",
    ),
    Row(
        lambda config: config.policy.kind == "reptile" and bool(config.fine_tune.rates or config.fine_tune.layer_decay),
        "policy 'reptile' steps by `inner_rate` and `outer_rate`, the same for all parts, and `fine_tune` sets rates of parts or layers; "
        "leave these out, or take another policy",
    ),
    Row(
        lambda config: bool(_adapted_and_frozen(config)),
        "`lora` adapts a part that `fine_tune` freezes, and its own weights are frozen anyway; leave the part out of `freeze` and "
        "`unfreeze`, or out of `lora.parts`",
    ),
    Row(
        lambda config: max(config.fine_tune.unfreeze.values(), default=0) > config.epochs,
        "`fine_tune.unfreeze` names an epoch behind the last one ({config.epochs}), so that the part would never learn; name an earlier "
        "one, or put the part into `freeze`",
    ),
)


def refusals(config: TrainConfig) -> list[str]:
    """Why this training cannot run; empty when it can."""
    return [row.sentence.format(config=config) for row in COMBINATIONS if row.applies(config)]


def _losses(config: TrainConfig) -> list[Any]:
    """Configs of all heads and objectives, and of the losses they choose."""
    parts = [*config.model.heads.values(), *config.model.objectives.values()]
    return [*parts, *(part.loss for part in parts if hasattr(part, "loss"))]


def _too_small_for_cca(config: TrainConfig) -> list[Any]:
    """Heads and objectives that correlate more numbers than a batch can tell apart."""
    parts = (*config.model.heads.values(), *config.model.objectives.values())
    return [part for part in parts if getattr(getattr(part, "loss", None), "kind", "") == "cca" and config.batch_size <= 2 * part.dim]


def _changed(config: TrainConfig, name: str) -> bool:
    return bool(getattr(config, name) != type(config).model_fields[name].default)


def _fooling(config: TrainConfig) -> list[str]:
    """Objectives with a discriminator."""
    return [name for name, objective in config.model.objectives.items() if getattr(objective, "fools", False)]


def batch_normed(config: TrainConfig) -> list[str]:
    """Modalities whose encoder norms over the batch."""
    return [name for name, encoder in config.model.encoders.items() if getattr(encoder, "norm", None) == "batch"]


def _adapted_and_frozen(config: TrainConfig) -> set[str]:
    tuned = config.fine_tune
    adapted = chosen(config.lora.parts, config.model) if config.lora else []
    return set(adapted) & set(chosen([*tuned.freeze, *tuned.unfreeze], config.model))


def _of_whole_batches(part: Any) -> bool:
    return bool(getattr(part, "compares_samples", False))
