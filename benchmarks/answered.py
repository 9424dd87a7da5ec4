"""Which samples a model answers rightly, and their share with its interval: for benchmarks that train from several seeds."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from benchmarks import measure
from benchmarks.trainings import Trained, trained
from tasks.evaluation.intervals import Bootstrap, interval, resampled_sums
from tasks.shards.read import ShardSet
from tasks.training.config import TrainConfig

Shares = Mapping[str, NDArray[Any]]
"""Name → N numbers, one a sample: right or not, the share of seeds that are right, or a difference of shares."""


def right(of: Trained, head: str, given: Sequence[str] | None = None) -> NDArray[np.bool_]:
    """Of each sample of the split whether the head tells its class. `given`: the modalities that the model may see; none = all."""
    shown = torch.tensor([given is None or modality in given for modality in of.model.modalities])
    found = []
    with torch.inference_mode():
        for batch, kept in of.batches():
            answer_B = of.model.predict(of.model(batch.inputs, of.model.present_BM(batch) & shown))[head].argmax(-1)
            found.append((answer_B == batch.labels[head]).numpy()[kept])
    return np.concatenate(found)


def answers(
    ways: Iterable[str], seeds: Iterable[int], config_of: Callable[[str], TrainConfig], shard_set: ShardSet, folder: Path, head: str
) -> dict[str, list[NDArray[np.bool_]]]:
    """Way → of each seed which samples of test are right, of a model trained this way."""
    known: dict[tuple[str, str], dict[bytes, Any]] = {}
    return {way: [right(trained(config_of(way), shard_set, folder / f"{way}-{seed}", seed, known), head) for seed in seeds] for way in ways}


def accuracies(found: Mapping[str, Sequence[NDArray[np.bool_]]]) -> dict[str, list[float]]:
    """Way → the share of each seed."""
    return {way: [round(float(each.mean()), 4) for each in every] for way, every in found.items()}


def shares(columns: Shares, groups_N: NDArray[Any]) -> dict[str, Any]:
    """The mean of each column and its 95 % interval, groups resampled: the same resamples for all."""
    bootstrap = Bootstrap()
    sums = resampled_sums([np.ones(len(groups_N)), *columns.values()], groups_N, bootstrap)
    entries = {}
    for at, (name, each_N) in enumerate(columns.items(), start=1):
        low, high = interval(sums[:, at] / sums[:, 0], groups_N, bootstrap) or (float("-inf"), float("inf"))
        entries[name] = measure.metric(float(each_N.mean()), low, high)
    return entries
