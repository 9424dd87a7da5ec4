"""The model that a training would begin with, and samples for it: what is looked at before. Must not import ray or mlflow."""

from __future__ import annotations

import contextlib
from collections.abc import Generator, Iterator, Mapping
from typing import cast

import torch

from tasks.contracts import Batch, Fit, Json
from tasks.models.fused import FusedModel, build_model
from tasks.models.load import build_readers, lend_readers
from tasks.shards.joined import AnyShards
from tasks.shards.loader import Loader
from tasks.training.config import TrainConfig


@contextlib.contextmanager
def untrained(
    config: TrainConfig,
    shard_set: AnyShards,
    shapes: Mapping[str, Mapping[str, int]],
    labels: Mapping[str, Mapping[str, Json]],
    fitted: Mapping[str, Fit],
    batch_size: int,
) -> Iterator[tuple[FusedModel, Iterator[Batch]]]:
    """In eval mode and without gradients, with batches of the training split. The training draws the same random numbers afterwards."""
    readers = build_readers(config.readers(), fitted)
    with torch.random.fork_rng(devices=[]), torch.no_grad():
        model = build_model(config.model, shapes, labels).eval()
        lend_readers(model, readers)
        loader = Loader(shard_set, "train", readers, labels, batch_size=batch_size, streams=config.streams)
        batches = cast(Generator[Batch, None, None], loader.epoch(0, 0))
        with contextlib.closing(batches):
            yield model, batches
