"""Many trainings on the same samples, each as the train step would do it, with every medium decoded once: shared by several benchmarks.

Loaders, loop, checkpoints and the choice of an epoch are those of `tasks.training`. A training whose folder holds its last checkpoint is
not done again, so a measurement that was broken off goes on.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from benchmarks import measure
from benchmarks.medley import ROOT, medley
from tasks.contracts import Batch, ModalityBatch, Reader
from tasks.models.fused import FusedModel
from tasks.models.load import build_readers
from tasks.models.targets import described
from tasks.shards.loader import Loader
from tasks.shards.read import ShardSet
from tasks.training import state
from tasks.training.config import TrainConfig
from tasks.training.loop import end_epoch, train_epoch
from tasks.training.ranks import Ranks
from tasks.training.run import Job, start

THREADS = 1
NO_CONFIG = ("task", "shards", "matrix", "resources")
"""What of a recipe's train step is no part of `TrainConfig`."""


def shards(recipe: Path, store: Path, options: Sequence[str] = ()) -> dict[str, Path]:
    """Run a recipe up to its shards with a store of its own. Name of each shard step or variant → its artifact."""
    outcome = measure.run([medley(), "run", recipe, "--store", store, "--until", "shards", "--json", *options], cwd=ROOT)
    measure.check(outcome)
    made = json.loads(outcome.stdout)["steps"]
    return {name: Path(step["artifact"]) for name, step in sorted(made.items()) if name == "shards" or name.startswith("shards[")}


def train_config(step: Mapping[str, Any], model: Mapping[str, Any] | None = None, **changes: Any) -> TrainConfig:
    """The config of a recipe's train step, with other entries of its `model` and of itself."""
    given = {name: value for name, value in step.items() if name not in NO_CONFIG}
    return TrainConfig.model_validate({**given, **changes, "model": {**step["model"], **(model or {})}})


@dataclass(frozen=True)
class Trained:
    """A model in eval mode, and the samples it is asked about."""

    model: FusedModel
    loader: Loader

    def batches(self) -> Iterator[tuple[Batch, NDArray[np.bool_]]]:
        """The split in its order, with which rows of each batch are no padding."""
        for batch in self.loader.evaluation():
            yield batch, (batch.weight > 0).numpy()


def trained(
    config: TrainConfig, shard_set: ShardSet, folder: Path, seed: int, known: dict[tuple[str, str], dict[bytes, Any]], split: str = "test"
) -> Trained:
    """Train, and take the epoch that the config selects. `known`: what was decoded so far, one for all trainings."""
    folder.mkdir(parents=True, exist_ok=True)
    torch.set_num_threads(THREADS)
    plain = build_readers(config.readers(), {name: shard_set.fit(name) for name in config.readers()})
    shapes = {name: reader.shape for name, reader in plain.items()}
    labels = described(config.model.heads, shard_set.meta["labels"], shapes, config.model.objectives)
    readers = {
        name: Remembering(reader, known.setdefault((name, config.readers()[name].model_dump_json()), {})) for name, reader in plain.items()
    }

    def loader(of: str) -> Loader:
        return Loader(shard_set, of, readers, labels, batch_size=config.batch_size, streams=config.streams, seed=seed)

    with torch.random.fork_rng():
        run = start(Job(config, shard_set.path, folder, seed, THREADS), Ranks())
        run.train, run.val = loader("train"), loader("val")
        while run.progress.epoch < config.epochs:
            train_epoch(run)
            end_epoch(run)
    if config.select == "best":
        assert run.progress.best is not None
        run.model.load_state_dict(state.read(state.at(folder / state.FOLDER, run.progress.best["steps"])).model())
    return Trained(run.model.eval(), loader(split))


@dataclass
class Remembering:
    """A reader that reads the same bytes once."""

    reader: Reader
    known: dict[bytes, Any]
    """Digest of the bytes → what it made of them."""
    shape: Mapping[str, int] = field(init=False)

    def __post_init__(self) -> None:
        self.shape = self.reader.shape

    def read(self, data: bytes) -> Any:
        digest = hashlib.blake2b(data).digest()
        found = self.known.get(digest)
        if found is None:
            found = self.known[digest] = np.ascontiguousarray(self.reader.read(data))
        return found

    def collate(self, values: Iterable[Any | None]) -> ModalityBatch:
        return self.reader.collate(list(values))  # a reader that lays out a batch first would decode into it anew
