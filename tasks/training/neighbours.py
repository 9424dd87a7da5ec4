"""Where a training does not fit the steps before it, seen from the configs alone. In: configs. Out: problems, in words.

Read when a recipe is checked, so it imports no torch.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from tasks.modalities import MODALITIES
from tasks.models.media import misplaced
from tasks.models.targets import label_of, learns_from, needs
from tasks.registry import closest
from tasks.shards.shares import listed
from tasks.sources.promised import promised_labels
from tasks.training.config import TrainConfig


def misfits(config: TrainConfig, inputs: Mapping[str, Any]) -> list[str]:
    """`inputs` may hold the configs of the shard steps and of what is behind them."""
    sets = [given.prepare for given in listed(inputs, "shards") if hasattr(given, "prepare")]
    prepared = {modality for each in sets for modality in each} if sets else config.model.encoders
    problems = _unlabelled(config, inputs)
    problems += [
        f"model.encoders.{modality}: the shards are made without {modality} (they have {', '.join(sorted(prepared))}); "
        f"add `{modality}: {{}}` to the shard step's `prepare`, or leave this encoder out"
        for modality in sorted(config.model.encoders)
        if modality not in prepared
    ]
    problems += [
        f"model.heads.{name}: the shards are made without {head.target}, its `target` (they have {', '.join(sorted(prepared))}); "
        f"add `{head.target}: {{}}` to the shard step's `prepare`, or leave this head out"
        for name, head in sorted(config.model.heads.items())
        if learns_from(head) == "modality" and sets and head.target not in prepared
    ]
    problems += [
        f"{field}.{modality}: no encoder takes {modality}; add one to model.encoders, or leave this out"
        for field in ("read", "augment")
        for modality in getattr(config, field)
        if modality not in (config.model.read_modalities if field == "read" else config.model.encoders)
    ]
    fits = {modality: fit for given in listed(inputs, "shards") for modality, fit in _fits(given).items()}
    problems += misplaced(config.model.encoders, config.readers(), fits)
    problems += [
        f"model.heads.{name}.language_model: none is learned from the {head.target} of the shards; add `language_model: {{}}` to "
        f"`fit.{head.target}` of the shard step, or leave this out"
        for name, head in sorted(config.model.heads.items())
        if getattr(head, "language_model", 0) and head.target in fits and fits[head.target].language_model is None
    ]
    for modality in sorted(config.augment.keys() & config.read.keys()):
        problems += [f"augment.{modality}.{problem}" for problem in config.augment[modality].problems(config.read[modality])]
    for view, changes in getattr(config.policy, "views", {}).items():
        for modality in sorted(changes.keys() & config.read.keys()):
            problems += [f"policy.{view}.{modality}.{problem}" for problem in changes[modality].problems(config.read[modality])]
    if config.batch_size % config.streams:
        problems.append(
            f"batch_size: {config.batch_size} is not a multiple of streams ({config.streams}); each stream gives an equal part of a batch"
        )
    return problems


def _unlabelled(config: TrainConfig, inputs: Mapping[str, Any]) -> list[str]:
    """Labels to learn from that the corpus will not have, where there is one and its source says what it will have."""
    labels = promised_labels(getattr(inputs.get("corpus"), "source", None)) if len(listed(inputs, "shards")) == 1 else None
    if labels is None:
        return []
    learned = {f"model.heads.{name}": label_of(name, head) for name, head in sorted(config.model.heads.items())}
    learned |= {f"model.objectives.{name}": each.label for name, each in sorted(config.model.objectives.items()) if needs(each) == "label"}
    learned |= {f"policy {config.policy.kind!r}": label for label in getattr(config.policy, "looks_at", ())}
    return [
        f"{part}: it learns from the label {label!r}, and the corpus will have "
        f"{', '.join(labels) or 'none'}{closest(label, labels)}; {'name one of these, or ' if labels else ''}let the ingest step "
        "read it"
        for part, label in learned.items()
        if label is not None and label not in labels
    ]


def _fits(shards: Any) -> dict[str, Any]:
    """Modality → how it is fitted, as the config of a shard step says or leaves to the defaults."""
    given = getattr(shards, "fit", None)
    return {} if given is None else {modality: given.get(modality, MODALITIES[modality].fit()) for modality in shards.prepare}
