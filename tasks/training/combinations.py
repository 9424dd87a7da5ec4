"""Trainings that cannot work, as a table, as `tasks.models.combinations` is for models. In: a `TrainConfig`. Out: a sentence a row.

Read when a recipe is checked, so it imports no torch.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from tasks.models.parts import chosen, places
from tasks.models.policies.config_teacher import COMPARED
from tasks.models.rows import Row, listed, told
from tasks.models.targets import of_classes

if TYPE_CHECKING:
    from tasks.training.config import TrainConfig

COMBINATIONS: tuple[Row[TrainConfig], ...] = (
    Row(
        lambda config: config.accumulate > 1 and _comparing(config),
        "`accumulate` ({config.accumulate}) cuts a batch into parts, and the loss of {name!r} compares the samples of a batch and would "
        "see each part alone; set `accumulate: 1`, lower `batch_size` to save memory, or leave that loss out",
    ),
    Row(
        lambda config: config.accumulate > config.batch_size,
        "`accumulate` ({config.accumulate}) cuts a batch into more parts than it has samples, `batch_size` ({config.batch_size}); lower it",
    ),
    Row(
        lambda config: config.batch_size == 1 and _comparing(config),
        "the loss of {name!r} compares the samples of a batch, and `batch_size` is 1; give larger batches, of tens of samples, or leave "
        "that loss out",
    ),
    Row(
        lambda config: config.batch_size > 1 and _too_small_for_cca(config),
        "`batch_size` ({config.batch_size}) is at most twice the `dim` ({part.dim}) of {name!r}, whose loss is `cca`, and in so few "
        "samples any two sets of numbers correlate in full, so that nothing would be learned; lower that `dim`, to a tenth of `batch_size` "
        "or less, or give larger batches",
    ),
    Row(
        lambda config: config.accumulate > 1 and [{"modality": modality} for modality in batch_normed(config)],
        "`accumulate` ({config.accumulate}) cuts a batch into parts, and `norm: batch` of the encoder of {modality} would norm each part "
        "by itself; set `accumulate: 1`, or `norm: group`",
    ),
    Row(
        lambda config: config.policy.kind == "adversarial" and not _fooling(config),
        "policy 'adversarial' moves discriminators and the model in turn, and no objective of this model has a discriminator; add an "
        "`adversarial` or `domain_adversarial` objective, or leave the policy out",
    ),
    Row(
        lambda config: config.policy.kind == "adversarial" and _still_discriminators(config),
        "policy 'adversarial' moves the discriminator of objective {name!r}, and `{field}` names {part}, which holds its weights still; "
        "leave it out there, or take another policy",
    ),
    Row(
        lambda config: config.policy.kind == "pseudo_labels" and not of_classes(config.model.heads),
        "policy 'pseudo_labels' learns what a head is sure of, and no head of this model chooses a class with a probability; add one such "
        "as a `classification`, or leave the policy out",
    ),
    Row(
        lambda config: (
            config.policy.kind == "pseudo_labels"
            and [
                {"name": name, "others": listed(can)}
                for can in [of_classes(config.model.heads)]
                for name in config.policy.heads
                if name not in can
            ]
        ),
        "policy 'pseudo_labels': `heads` names {name!r}, which is not in `model.heads` or chooses no class; name those of this model that "
        "do ({others}), or leave `heads` out for all of them",
    ),
    Row(
        lambda config: (
            config.policy.kind == "pseudo_labels"
            and [
                {"modality": modality, "others": listed(sorted(config.model.encoders))}
                for modality in sorted(set(config.policy.strong) - set(config.model.encoders))
            ]
        ),
        "policy 'pseudo_labels': `strong` varies {modality}, which has no encoder, so that it changes nothing; vary one of those in "
        "`encoders` ({others}), or add an encoder for it",
    ),
    Row(
        lambda config: config.policy.kind == "distillation" and not _compared(config),
        "policy 'distillation' brings heads near to the teacher's, and no head of this model can be compared; those that can are of the "
        "kinds {compared}: add one that the teacher has too, or leave the policy out",
    ),
    Row(
        lambda config: (
            config.policy.kind == "distillation"
            and [
                {"name": name, "others": listed(can)}
                for can in [_compared(config)]
                for name in config.policy.heads
                if can and name not in can
            ]
        ),
        "policy 'distillation': `heads` names {name!r}, which is not in `model.heads` or not of the kinds that can be compared, "
        "{compared}; name those of this model that are ({others}), or leave `heads` out for all of them",
    ),
    Row(
        lambda config: config.policy.kind == "reptile" and _comparing(config),
        "policy 'reptile' steps on a few samples of one task, and the loss of {name!r} compares the samples of a batch, of which there are "
        "too few; leave that loss out, or take another policy",
    ),
    Row(
        lambda config: config.policy.kind == "reptile" and [{"modality": modality} for modality in batch_normed(config)],
        "policy 'reptile' steps on a few samples of one task, and `norm: batch` of the encoder of {modality} would norm by these alone; "
        "set `norm: group`, or take another policy",
    ),
    Row(
        lambda config: (
            config.policy.kind == "reptile" and [{"field": name} for name in ("optimizer", "schedule", "clip") if _changed(config, name)]
        ),
        "policy 'reptile' steps by `inner_rate` and `outer_rate` and does not use `{field}`, which is set; leave it out",
    ),
    Row(
        lambda config: config.policy.kind == "reptile" and bool(config.fine_tune.rates or config.fine_tune.layer_decay),
        "policy 'reptile' steps by `inner_rate` and `outer_rate`, the same for all parts, and `fine_tune` sets rates of parts or layers; "
        "leave these out, or take another policy",
    ),
    Row(
        lambda config: [{"parts": listed(both)} for both in [_adapted_and_frozen(config)] if both],
        "`lora` adapts what `fine_tune` freezes ({parts}), and its own weights are frozen anyway; leave it out of `freeze` and `unfreeze`, "
        "or out of `lora.parts`",
    ),
    Row(
        lambda config: [
            {"part": part, "epoch": epoch} for part, epoch in sorted(config.fine_tune.unfreeze.items()) if epoch > config.epochs
        ],
        "`fine_tune.unfreeze` lets {part} learn from epoch {epoch} on, and the last one is {config.epochs}, so that it would never learn; "
        "name an earlier one, or put the part into `freeze`",
    ),
    Row(
        lambda config: _at_rest(config) == set(places(config.model)),
        "`fine_tune` freezes every part of the model, so that nothing would learn in the first epoch; leave one out of `freeze` and "
        "`unfreeze`",
    ),
)
"""The second half of the table of docs/losses.md."""


def refusals(config: TrainConfig) -> list[str]:
    """Why this training cannot run; empty when it can."""
    return told(COMBINATIONS, config, config=config, compared=listed(f"`{kind}`" for kind in COMPARED))


def _comparing(config: TrainConfig) -> list[dict[str, Any]]:
    """Heads and objectives that compare the samples of a batch, by themselves or by the loss that they choose."""
    return [
        {"name": name}
        for name, part in _learning(config)
        if any(getattr(each, "compares_samples", False) for each in (part, getattr(part, "loss", None)))
    ]


def _too_small_for_cca(config: TrainConfig) -> list[dict[str, Any]]:
    """Heads and objectives that correlate more numbers than a batch can tell apart."""
    return [
        {"name": name, "part": part}
        for name, part in _learning(config)
        if getattr(getattr(part, "loss", None), "kind", "") == "cca" and config.batch_size <= 2 * part.dim
    ]


def _learning(config: TrainConfig) -> list[tuple[str, Any]]:
    """Heads and objectives."""
    return [*config.model.heads.items(), *config.model.objectives.items()]


def _compared(config: TrainConfig) -> list[str]:
    """Heads that can learn from a teacher's."""
    return sorted(name for name, head in config.model.heads.items() if head.kind in COMPARED)


def _changed(config: TrainConfig, name: str) -> bool:
    return bool(getattr(config, name) != type(config).model_fields[name].default)


def _fooling(config: TrainConfig) -> list[str]:
    """Objectives with a discriminator."""
    return [name for name, objective in config.model.objectives.items() if getattr(objective, "fools", False)]


def _still_discriminators(config: TrainConfig) -> list[dict[str, Any]]:
    """Objectives whose discriminator a setting keeps from learning, or lets learn by thin matrices alone."""
    tuned = config.fine_tune
    fields = {
        "fine_tune.freeze": tuned.freeze,
        "fine_tune.unfreeze": tuned.unfreeze,
        "lora.parts": config.lora.parts if config.lora else (),
    }
    return [
        {"name": name, "field": field, "part": part}
        for name in _fooling(config)
        for field, parts in fields.items()
        for part in parts
        if f"objectives.{name}" in chosen([part], config.model)
    ]


def batch_normed(config: TrainConfig) -> list[str]:
    """Modalities whose encoder norms over the batch."""
    return [name for name, encoder in config.model.encoders.items() if getattr(encoder, "norm", None) == "batch"]


def _at_rest(config: TrainConfig) -> set[str]:
    """Parts that do not learn in the first epoch."""
    return set(chosen([*config.fine_tune.freeze, *config.fine_tune.unfreeze], config.model))


def _adapted_and_frozen(config: TrainConfig) -> list[str]:
    resting = _at_rest(config)
    return [part for part in chosen(config.lora.parts, config.model) if part in resting] if config.lora else []
