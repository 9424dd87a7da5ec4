"""What picture and question are worth, together and alone: the recipe of `examples/questions`.

Reported without a goal. From each of five seeds four models are trained on the same budget: the recipe's two heads, `question_answering`
and `classification`, given picture and question, and a head of classes given the question alone or the picture alone. Accuracy on the test
split, by kind of question and by whether training asked in these words. A number is the mean over the seeds, its interval from resampling
pictures with the seeds as they are; differences are paired by picture. One round is all there is, whatever `--rounds` says.
"""

from __future__ import annotations

import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import yaml
from numpy.typing import NDArray

from benchmarks.answered import accuracies, answers, shares
from benchmarks.medley import ROOT
from benchmarks.trainings import shards, train_config
from tasks.shards.read import ShardSet
from tasks.training.config import TrainConfig

RECIPE = ROOT / "examples" / "questions" / "recipe.yaml"
HEAD = "answer"
WAYS: dict[str, tuple[str, tuple[str, ...]]] = {
    "question_answering": ("question_answering", ("image", "text")),
    "classification": ("classification", ("image", "text")),
    "question_alone": ("classification", ("text",)),
    "picture_alone": ("classification", ("image",)),
}
"""Name → head and modalities."""
FUSED, ALONE = ("question_answering", "classification"), ("question_alone", "picture_alone")
SEEDS = (0, 1, 2, 3, 4)
SLICES = ("partition", "kind")
"""Columns of the table of labels; a partition is the wordings of a question."""


def run(rounds: int, folder: Path | None = None) -> dict[str, Any]:
    """Accuracies and differences. `folder`: keeps shards and trainings, so that a measurement that was broken off goes on."""
    if folder is None:
        with tempfile.TemporaryDirectory(prefix="medley-questions-") as name:
            return run(rounds, Path(name))
    shard_set = ShardSet.open(shards(RECIPE, folder / "store")["shards"])
    return document(answers(WAYS, SEEDS, config_of, shard_set, folder, HEAD), shard_set)


def config_of(way: str) -> TrainConfig:
    """The recipe's train step with one head and these modalities."""
    kind, modalities = WAYS[way]
    step = yaml.safe_load(RECIPE.read_text(encoding="utf-8"))["steps"]["model"]
    encoders, read = ({name: given[name] for name in modalities} for given in (step["model"]["encoders"], step["read"]))
    return train_config(step, {"encoders": encoders, "heads": {HEAD: {**step["model"]["heads"][HEAD], "kind": kind}}}, read=read)


def document(found: Mapping[str, list[NDArray[np.bool_]]], shard_set: ShardSet) -> dict[str, Any]:
    """The benchmark's last line. `found`: way → of each seed which samples are right."""
    groups_N = np.asarray(shard_set.groups("test"))
    rows_of = {row["key"]: row for row in pq.read_table(shard_set.path / "labels.parquet").to_pylist()}
    asked = [rows_of[key] for key in shard_set.keys("test")]
    ways = {name: np.mean(seeds, axis=0) for name, seeds in found.items()}
    columns = ways | {f"{one}_minus_{other}": ways[one] - ways[other] for one in FUSED for other in ALONE}
    columns["classification_minus_question_answering"] = ways["classification"] - ways["question_answering"]
    ratios = shares(columns, groups_N)
    for label in SLICES:
        values_N = np.array([row[label] for row in asked])
        for value in np.unique(values_N):
            rows = np.flatnonzero(values_N == value)
            of_slice = {f"{name}.{value}": column[rows] for name, column in columns.items() if "alone" not in name}
            ratios |= shares(of_slice, groups_N[rows])
    return {"name": "questions", "ok": True, "ratios": ratios, "seeds": accuracies(found)}
