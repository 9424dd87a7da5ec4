"""What fusing adds where two people are heard in test alone: the recipe of `examples/spoken_digits`, and each of its modalities alone.

Reported without a goal. From each of five seeds the recipe's model is trained, and the same with one encoder, on the same budget: accuracy
on the test split, of both test speakers and of each. A number is the mean over the seeds, its interval from resampling pictures with seeds
and speakers as they are; differences are paired by picture. One round is all there is, whatever `--rounds` says. FSDD_ZIP in the
environment: where the recordings are.
"""

from __future__ import annotations

import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import yaml
from numpy.typing import NDArray

from benchmarks.adaptation import archive
from benchmarks.answered import accuracies, answers, shares
from benchmarks.medley import ROOT
from benchmarks.trainings import shards, train_config
from tasks.shards.read import ShardSet
from tasks.training.config import TrainConfig

RECIPE = ROOT / "examples" / "spoken_digits" / "recipe.yaml"
HEAD = "digit"
WAYS = {"fused": ("audio", "image"), "sound_alone": ("audio",), "picture_alone": ("image",)}
SEEDS = (0, 1, 2, 3, 4)


def run(rounds: int, folder: Path | None = None) -> dict[str, Any]:
    """Accuracies and differences. `folder`: keeps shards and trainings, so that a measurement that was broken off goes on."""
    if folder is None:
        with tempfile.TemporaryDirectory(prefix="medley-spoken-digits-") as name:
            return run(rounds, Path(name))
    shard_set = ShardSet.open(shards(RECIPE, folder / "store", archive())["shards"])
    return document(answers(WAYS, SEEDS, config_of, shard_set, folder, HEAD), shard_set)


def config_of(way: str) -> TrainConfig:
    """The recipe's train step with these modalities."""
    step = yaml.safe_load(RECIPE.read_text(encoding="utf-8"))["steps"]["model"]
    encoders, read = ({modality: given[modality] for modality in WAYS[way]} for given in (step["model"]["encoders"], step["read"]))
    return train_config(step, {"encoders": encoders}, read=read)


def document(found: Mapping[str, list[NDArray[np.bool_]]], shard_set: ShardSet) -> dict[str, Any]:
    """The benchmark's last line. `found`: way → of each seed which samples are right."""
    groups_N = np.asarray(shard_set.groups("test"))
    speaker_N = np.array([key.partition("-")[0] for key in shard_set.keys("test")])
    ways = {name: np.mean(seeds, axis=0) for name, seeds in found.items()}
    columns = ways | {f"fused_minus_{other}": ways["fused"] - ways[other] for other in ways if other != "fused"}
    ratios = shares(columns, groups_N)
    for speaker in np.unique(speaker_N):
        rows = np.flatnonzero(speaker_N == speaker)
        ratios |= shares({f"{name}.{speaker}": column[rows] for name, column in columns.items()}, groups_N[rows])
    return {"name": "spoken_digits", "ok": True, "ratios": ratios, "seeds": accuracies(found)}
