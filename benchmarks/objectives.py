"""What an objective brings beside a head: pictures, captions and voices of `examples/retrieval`, asked for the category of the picture.

Reported without a goal. One model with one head of classes is trained on the same batches from the same seeds, without an objective and
with each of those that make media alike, tell pairs from strangers, or generate: `alignment`, `matching`, `multimodal_vae`, `adversarial`.
Each is asked on the test split, whose pictures no training saw, given all media and each alone, since a space that media share should help
where one is missing. A number is the mean over the seeds, its interval from resampling pictures with the seeds as they are; differences are
paired by picture. Factors of the objectives were chosen on val with another seed, by accuracy given all media. One round is all there is,
whatever `--rounds` says.
"""

from __future__ import annotations

import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import yaml
from numpy.typing import NDArray

from benchmarks.answered import accuracies, right, shares
from benchmarks.retrieval import RECIPE
from benchmarks.trainings import shards, train_config, trained
from tasks.shards.read import ShardSet
from tasks.training.config import TrainConfig

HEAD = "category"
OBJECTIVES: dict[str, dict[str, Any]] = {
    "none": {},
    "alignment": {"weight": 3.0},
    "matching": {"weight": 10.0},
    "multimodal_vae": {"weight": 100.0},
    "adversarial": {"weight": 3.0},
}
"""Kind → its settings. A bound in nats is divided by the numbers that are said, so its factor is large."""
SEEDS = (0, 1, 2)
GIVEN = {"all": ("audio", "image", "text"), "picture": ("image",), "caption": ("text",), "voice": ("audio",)}
CHANGES = {"epochs": 12, "batch_size": 128, "select": "last"}
HIDDEN = 0.2
"""Chance that training hides a medium, so that a model that is given one alone has seen that before."""


def run(rounds: int, folder: Path | None = None) -> dict[str, Any]:
    """Accuracy of each objective. `folder`: keeps shards and trainings, so that a measurement that was broken off goes on."""
    if folder is None:
        with tempfile.TemporaryDirectory(prefix="medley-objectives-") as name:
            return run(rounds, Path(name))
    shard_set = ShardSet.open(shards(RECIPE, folder / "store")["shards"])
    known: dict[tuple[str, str], dict[bytes, Any]] = {}
    found: dict[str, dict[str, list[NDArray[np.bool_]]]] = {}
    for kind in OBJECTIVES:
        for seed in SEEDS:
            model = trained(config_of(kind), shard_set, folder / f"{kind}-{seed}", seed, known)
            for given, modalities in GIVEN.items():
                found.setdefault(kind, {}).setdefault(given, []).append(right(model, HEAD, modalities))
    return document(found, np.asarray(shard_set.groups("test")))


def config_of(kind: str) -> TrainConfig:
    """The recipe's encoders with a head of classes, and one objective."""
    step = yaml.safe_load(RECIPE.read_text(encoding="utf-8"))["steps"]["model"]
    objectives = {} if kind == "none" else {"shared": {"kind": kind, **OBJECTIVES[kind]}}
    model = {"heads": {HEAD: "classification"}, "fusion": "concat", "objectives": objectives, "modality_dropout": HIDDEN}
    return train_config(step, model, **CHANGES)


def document(found: Mapping[str, Mapping[str, list[NDArray[np.bool_]]]], groups_N: NDArray[Any]) -> dict[str, Any]:
    """The benchmark's last line. `found`: objective → media given → of each seed which samples are right."""
    ways = {f"{kind}.{given}": np.mean(seeds, axis=0) for kind, asked in found.items() for given, seeds in asked.items()}
    less = {f"{name}_minus_none": each - ways[f"none.{name.split('.')[1]}"] for name, each in ways.items() if not name.startswith("none.")}
    seeds = {kind: accuracies(asked) for kind, asked in found.items()}
    return {"name": "objectives", "ok": True, "ratios": shares({**ways, **less}, groups_N), "seeds": seeds}
