"""A training between two steps: what each of its processes holds, and how it is built anew or from a checkpoint.

In: a `Job`. Out: a `Run`, which `loop` drives. Must not import ray or mlflow.
"""

from __future__ import annotations

import functools
import gc
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple, cast

import torch
from torch import Tensor, nn

from tasks.contracts import Augmenter, Reader
from tasks.modalities import MODALITIES
from tasks.models.compiled import compile_parts
from tasks.models.contracts import Setting
from tasks.models.fused import FusedModel, build_model
from tasks.models.load import build_readers, load_weights
from tasks.models.policies import POLICIES
from tasks.models.policies.supervised import Supervised
from tasks.models.pretrained import load_pretrained
from tasks.models.recompute import recompute_layers
from tasks.models.targets import beside, described
from tasks.models.tokens import WeightedSum
from tasks.registry import Config, implementation, load
from tasks.shards.joined import AnyShards, Joined, open_shards
from tasks.shards.loader import Loader
from tasks.training import learning, state
from tasks.training.average import begin_average
from tasks.training.channel import Journal
from tasks.training.config import TrainConfig
from tasks.training.labels import label_entries
from tasks.training.ranks import Ranks
from tasks.training.sources import Sources, open_source
from tasks.training.sources import fits as fits_of
from tasks.training.state import Progress
from tasks.training.transfer import Receiver, transfer

MODEL_PREFIX = "model."
"""Where a policy's state dict has the model."""


@dataclass(frozen=True)
class Job:
    """What every process of a training must know."""

    config: TrainConfig
    shards: Path
    work_dir: Path
    seed: int
    threads: int = 1
    """CPU threads of this process; other counts give other last bits."""
    others: tuple[Path, ...] = ()
    """The sets after the first, where several are mixed."""
    sources: Sources = field(default_factory=Sources)
    """The models it takes from."""


class Taken(NamedTuple):
    """A step that was taken, for the watch over NaN."""

    epoch: int
    step: int
    """Of the epoch, counted from 1."""
    keys: list[str]
    loss_and_norm: Tensor


@dataclass
class Run:
    """A training in one process, between two steps."""

    job: Job
    ranks: Ranks
    model: FusedModel
    policy: Supervised
    """Holds the model."""
    forward: Callable[..., dict[str, WeightedSum]]
    """The policy, or the wrapper that averages its gradients over ranks."""
    optimizer: torch.optim.Optimizer
    train: Loader
    val: Loader | None
    journal: Journal
    average: FusedModel | None = None
    """The moving average of the weights, in eval mode, where the recipe asks for one."""
    progress: Progress = field(default_factory=Progress)
    local: dict[str, Tensor] = field(default_factory=dict)
    """Loss → its sum and weight (float64) of this rank since they were last added to `progress.window`."""
    unchecked: list[Taken] = field(default_factory=list)
    """Steps that nobody has looked at yet: a GPU is not waited for in each."""
    shown: str = ""
    """The last logged losses, for the progress line."""
    saved: Path | None = None
    """The last checkpoint."""
    saved_at: float = field(default_factory=time.monotonic)
    clock: float = field(default_factory=time.monotonic)

    @property
    def config(self) -> TrainConfig:
        return self.job.config

    def autocast(self) -> torch.autocast:
        """Around what the model computes: the number format of `precision`."""
        return _autocast(self.config, self.ranks)

    def states(self) -> dict[str, dict[str, Tensor]]:
        """What checkpoints hold beside the optimizer: the weights, and what the policy has of its own."""
        own = {name: value for name, value in self.policy.state_dict().items() if not name.startswith(MODEL_PREFIX)}
        average = {state.AVERAGE: self.average.state_dict()} if self.average is not None else {}
        return {state.MODEL: self.model.state_dict(), **({state.POLICY: own} if own else {}), **average}

    @property
    def total_steps(self) -> int:
        return self.config.epochs * int(self.train.steps_per_epoch)


def start(job: Job, ranks: Ranks) -> Run:
    """Build everything, and load the newest checkpoint that is whole."""
    config = job.config
    shard_set = open_shards([job.shards, *job.others], config.mixture)
    validated = shard_set.validated() if isinstance(shard_set, Joined) else shard_set
    fits = fits_of(config, shard_set, job.sources)
    readers = build_readers(config.readers(), fits)
    shapes = {modality: reader.shape for modality, reader in readers.items()}
    labels = described(config.model.heads, label_entries(config, shard_set), shapes, config.model.objectives)

    teacher = open_source(job.sources.teacher, str(ranks.device)) if job.sources.teacher else None
    taught = {**{name: teacher.readers[name] for name in teacher.model.modalities}, **readers} if teacher else readers

    def loader(shard_set: AnyShards, split: str, readers: Mapping[str, Reader], **varied: Any) -> Loader:
        return Loader(
            shard_set,
            split,
            readers,
            {**labels, **beside(config.policy, shard_set.meta["labels"])},
            batch_size=config.batch_size,
            streams=config.streams,
            seed=job.seed,
            rank=ranks.rank,
            world_size=ranks.world_size,
            **varied,
        )

    torch.manual_seed(job.seed)
    model = build_model(config.model, shapes, labels)
    load_pretrained(model, readers)
    if job.sources.init:
        transfer(Receiver(model, config, labels, fits), job.sources.init, lambda _: None)
    learning.add_lora(model, config)
    average = begin_average(model).to(ranks.device) if config.ema else None
    if config.gradient_checkpointing:
        recompute_layers(model, compiled=config.compile)
    if config.compile:
        compile_parts(model)
    val = loader(validated, "val", readers) if validated.num_samples("val") else None
    views = {view: build_augmenters(each, readers) for view, each in getattr(config.policy, "views", {}).items()}
    train = loader(shard_set, "train", taught, augmenters=build_augmenters(config.augment, readers), views=views)
    setting = Setting(functools.partial(_autocast, config, ranks), job.seed, config.epochs * train.steps_per_epoch, teacher)
    policy = implementation(POLICIES, config.policy.kind)(config.policy, model, setting).to(ranks.device)
    optimizer = torch.optim.AdamW(
        learning.optimizer_groups(policy, model, config),
        lr=config.optimizer.learning_rate,
        betas=config.optimizer.betas,
        eps=config.optimizer.eps,
    )
    run = Run(job, ranks, model, policy, policy, optimizer, train, val, Journal(job.work_dir), average)
    resume(run)
    learning.set_learning(model, config, run.progress.epoch)
    wrap(run)
    return run


def wrap(run: Run) -> None:
    """Put what averages gradients over ranks around the policy; anew when other weights learn, since it looks only once which do."""
    if run.ranks.world_size > 1:
        run.forward = run.policy
        gc.collect()  # the wrapper before must be gone: it listens to the same weights
        searching = not run.policy.uses_all_parameters
        run.forward = cast(Any, nn.parallel.DistributedDataParallel(run.policy, find_unused_parameters=searching))


def build_augmenters(augment: Mapping[str, Config], readers: Mapping[str, Reader]) -> dict[str, Augmenter]:
    """Modality → what reads it in training."""
    found = {}
    for modality, config in sorted(augment.items()):
        entry = MODALITIES[modality].augment
        assert entry is not None, "OfModalities lets in what has one"
        found[modality] = load(entry.target)(config, readers[modality])
    return found


def resume(run: Run) -> None:
    """Load the newest whole checkpoint, the same one on every rank."""
    root = run.job.work_dir / state.FOLDER
    found = state.newest(root, run.journal.note) if run.ranks.rank == 0 else None
    (steps,) = run.ranks.sum([found.progress.steps if found else 0])
    if steps:
        checkpoint = found or state.read(state.at(root, int(steps)))
        load_weights(run.model, checkpoint.model(), f"checkpoint {checkpoint.path.name}")
        average = checkpoint.average()
        if run.average is not None and average is not None:
            load_weights(run.average, average, f"average of checkpoint {checkpoint.path.name}")
        run.policy.load_state_dict(checkpoint.policy(), strict=False)
        run.optimizer.load_state_dict(checkpoint.optimizer())
        run.progress, run.saved = checkpoint.progress, checkpoint.path
    if run.ranks.rank == 0:
        run.journal.rewind(run.progress.lines)
        if steps and not run.progress.finished:
            now = facts(run)
            changed = [f"{name} {then} → {now[name]}" for name, then in (found.facts if found else {}).items() if now[name] != then]
            difference = f"; {', '.join(changed)}, so that last bits may differ from an uninterrupted run" if changed else ""
            run.journal.note(f"training goes on at epoch {run.progress.epoch + 1}, step {run.progress.step}{difference}")


def _autocast(config: TrainConfig, ranks: Ranks) -> torch.autocast:
    return torch.autocast(ranks.device.type, dtype=torch.bfloat16, enabled=config.precision == "bfloat16")


def facts(run: Run) -> dict[str, int]:
    """What a checkpoint says about the processes that made it."""
    return {"threads": run.job.threads, "world_size": run.ranks.world_size}
