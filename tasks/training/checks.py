"""What must hold before a training starts: does the config fit the shards. Must not import ray or mlflow."""

from __future__ import annotations

from collections.abc import Callable

import torch

from tasks.contracts import SPLITS, Json
from tasks.errors import InputError, LabelError
from tasks.models.fused import build_model
from tasks.models.load import build_readers
from tasks.models.pretrained import load_pretrained
from tasks.models.targets import described, label_of, needs, no_label
from tasks.shards.joined import AnyShards, Joined
from tasks.training import learning
from tasks.training.combinations import batch_normed
from tasks.training.config import TrainConfig
from tasks.training.labels import check_labels, label_entries
from tasks.training.sources import Sources, fits, open_source
from tasks.training.teaching import check_teacher
from tasks.training.transfer import Receiver, transfer


def check_shards(config: TrainConfig, shard_set: AnyShards, workers: int) -> None:
    """Raises InputError or LabelError with what was given, what there is, and what to change."""
    labels = shard_set.meta["labels"]
    for name, head in config.model.heads.items():
        label = label_of(name, head)
        if label is not None and label not in labels:
            raise no_label(name, label, labels)
    for name, objective in config.model.objectives.items():
        if needs(objective) == "label" and objective.label not in labels:
            raise no_label(name, objective.label, labels, "objective")
    there = shard_set.meta["modalities"]
    for modality in config.model.read_modalities:
        part = "an encoder for" if modality in config.model.encoders else "a head that learns to say"
        if modality not in there:
            raise InputError(
                f"the model has {part} {modality}, but no sample in the shards has {modality}; there are {', '.join(there)}: "
                "leave it out, or add the medium to the corpus"
            )
        if modality not in shard_set.meta["fit_files"]:
            elsewhere = [split for split in SPLITS if shard_set.num_samples(split) and any(shard_set.present(split).get(modality, ()))]
            found = f"those of {' and '.join(elsewhere)} alone do" if elsewhere else "nor does one of another split"
            cure = "split the corpus otherwise" if elsewhere else "look at how the ingest step finds it"
            raise InputError(
                f"the model has {part} {modality}, but no sample of the split 'train' has {modality}, {found}; leave it out, or {cure}"
            )
    _check_sizes(config, shard_set, workers)
    _check_policy(config, shard_set)


def _check_policy(config: TrainConfig, shard_set: AnyShards) -> None:
    """Whether the split 'train' has what the policy learns from."""
    policy, labels = config.policy, shard_set.meta["labels"]
    for label in getattr(policy, "looks_at", ()):
        if label not in labels:
            raise no_label(policy.kind, label, labels, "policy")
        if len(labels[label].get("classes", ())) < 2:
            raise LabelError(
                f"policy {policy.kind!r} tells samples apart by the label {label!r}, which has fewer than two categories in the split "
                "'train'; name a label that has more, or split the corpus otherwise"
            )
    if not hasattr(policy, "unlabelled"):
        return
    heads = policy.unlabelled(config.model.heads)
    columns = [label_of(name, config.model.heads[name]) for name in heads]
    known = shard_set.labels("train")
    if not any(value is None for column in columns if column for value in known[column]):
        raise InputError(
            f"policy {policy.kind!r} learns from samples without the label of {', '.join(heads)}, and every sample of the split 'train' "
            "has one; leave the policy out, or add records without the label"
        )


def _check_sizes(config: TrainConfig, shard_set: AnyShards, workers: int) -> None:
    validated = shard_set.validated() if isinstance(shard_set, Joined) else shard_set
    counts = {"train": shard_set.num_samples("train"), "val": validated.num_samples("val")}
    if not counts["train"]:
        raise InputError("the shards have no samples in the split 'train'; look at the split rule of the ingest step")
    if not counts["val"] and config.select == "best":
        raise InputError(
            "the shards have no samples in the split 'val', which `select: best` chooses by; "
            "give the ingest step a `val` share, or set `select: last`"
        )
    if counts["train"] < config.batch_size:
        raise InputError(
            f"batch_size is {config.batch_size}, but the split 'train' has {counts['train']} samples; "
            "lower batch_size, or train on more data"
        )
    if config.batch_size % config.streams:
        raise InputError(
            f"batch_size ({config.batch_size}) is not a multiple of streams ({config.streams}); each stream gives an equal part of a batch"
        )
    if config.streams % workers:
        raise InputError(
            f"streams ({config.streams}) is not a multiple of the {workers} workers, and each worker reads whole streams; "
            "set `resources.workers` to a divisor of streams"
        )
    if workers > 1 and (normed := batch_normed(config)):
        raise InputError(
            f"the encoder of {', '.join(normed)} has `norm: batch`, and each of the {workers} workers would norm its own part of a batch; "
            "set `norm: group`, or train with one worker"
        )
    if config.accumulate > config.batch_size // workers:
        raise InputError(
            f"accumulate is {config.accumulate}, but a worker has only {config.batch_size // workers} samples of a batch; lower it"
        )


def probe_model(
    config: TrainConfig, shard_set: AnyShards, sources: Sources, note: Callable[[str], None]
) -> tuple[dict[str, dict[str, int]], dict[str, dict[str, Json]], int]:
    """Modality → shape, head or objective → what it learns from, and the number of parameters.

    Builds the model once, so that what does not fit is said before workers start. `note` is told what of `init` is taken.
    """
    found = fits(config, shard_set, sources)
    readers = build_readers(config.readers(), found)
    shapes: dict[str, dict[str, Json]] = {
        modality: {name: int(size) for name, size in reader.shape.items()} for modality, reader in readers.items()
    }
    labels = described(config.model.heads, label_entries(config, shard_set), shapes, config.model.objectives)
    check_labels(config, labels, shard_set, note)
    with torch.random.fork_rng(devices=[]):
        model = build_model(config.model, shapes, labels)
        load_pretrained(model, readers)
        count = sum(parameter.numel() for parameter in model.parameters())
        if sources.init:
            transfer(Receiver(model, config, labels, found), sources.init, note)
        learning.add_lora(model, config)
        learning.check(model, config)
    if sources.teacher:
        check_teacher(config, open_source(sources.teacher), sources.teacher, shard_set, Receiver(model, config, labels, found))
    return shapes, labels, count
