"""How well pictures, captions and voices find each other after training by one alignment or another: the recipe of `examples/retrieval`.

Reported without a goal. Every method trains the recipe's model from the same five seeds on the same batches, and only the head's `loss`
differs (and its `dim` where the method needs another). Each is then asked on the test split, whose pictures no training saw, for the
partners of all samples in all six directions, by `tasks.evaluation.retrieval`; and for the captions and voices among those of one language,
since telling languages apart is a part of finding a partner that needs no words. A number is the mean over the seeds, its interval from
resampling pictures with the seeds as they are; `seeds` has each by itself. Media are decoded once for all trainings, which changes
nothing but the time. One round is all there is, whatever `--rounds` says.
"""

from __future__ import annotations

import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
import yaml
from numpy.typing import NDArray

from benchmarks import measure
from benchmarks.medley import ROOT
from benchmarks.trainings import Trained, shards, train_config, trained
from tasks.evaluation.intervals import Bootstrap, interval, resampled_sums
from tasks.evaluation.retrieval import PLACES, Direction, directions, median_rank, recalls
from tasks.shards.read import ShardSet
from tasks.training.config import TrainConfig

RECIPE = ROOT / "examples" / "retrieval" / "recipe.yaml"
HEAD = "found"
METHODS: dict[str, dict[str, Any]] = {
    "contrastive": {},
    "siglip": {"loss": "siglip"},
    "margin": {"loss": "margin"},
    "cca": {"loss": "cca", "dim": 16},
    "mmd": {"loss": "mmd"},
    "coral": {"loss": "coral"},
}
"""Method → what differs in the head."""
SEEDS = (0, 1, 2, 3, 4)
LAST = len(PLACES) - 1
"""Of `PLACES`, where methods are compared."""


class Asked(NamedTuple):
    """What a model makes of a split."""

    embeddings_NME: NDArray[Any]
    present_NM: NDArray[np.bool_]


def run(rounds: int, folder: Path | None = None) -> dict[str, Any]:
    """R@K of every method and direction. `folder`: keeps shards and trainings, so that a measurement that was broken off goes on."""
    if folder is None:
        with tempfile.TemporaryDirectory(prefix="medley-retrieval-") as name:
            return run(rounds, Path(name))
    shard_set = ShardSet.open(shards(RECIPE, folder / "store")["shards"])
    step = yaml.safe_load(RECIPE.read_text(encoding="utf-8"))["steps"]["model"]
    contents, language_N = shard_set.contents("test"), shard_set.labels("test")["language"]
    known: dict[tuple[str, str], dict[bytes, Any]] = {}
    found: dict[str, list[list[Direction]]] = {}
    for method, changes in METHODS.items():
        config = config_of(step, changes)
        for seed in SEEDS:
            asked = asked_of(trained(config, shard_set, folder / f"{method}-{seed}", seed, known))
            found.setdefault(method, []).append(searched(asked, config.model.heads[HEAD].modalities, contents, language_N))
    return document(found, np.asarray(shard_set.groups("test")))


def config_of(step: Mapping[str, Any], changes: Mapping[str, Any]) -> TrainConfig:
    """The recipe's train step with another head."""
    return train_config(step, {"heads": {HEAD: {**step["model"]["heads"][HEAD], **changes}}})


def searched(asked: Asked, modalities: Sequence[str], contents: Mapping[str, NDArray[Any]], language_N: NDArray[Any]) -> list[Direction]:
    """All directions among all samples of the split; then those between captions and voices among the samples of one language."""
    whole = directions(asked.embeddings_NME, modalities, asked.present_NM, contents)
    between = [direction for direction in whole if "image" not in (direction.query, direction.candidate)]
    parts = {language: np.flatnonzero(language_N == language) for language in np.unique(language_N.astype(str))}
    inside = [
        directions(asked.embeddings_NME[rows], modalities, asked.present_NM[rows], {name: each[rows] for name, each in contents.items()})
        for rows in parts.values()
    ]
    for direction in between:
        found = {name: np.zeros_like(getattr(direction, name)) for name in ("weight_N", "rank_N", "hit_NK", "reciprocal_N", "chance_NK")}
        sizes = []
        for rows, each in zip(parts.values(), inside, strict=True):
            (part,) = (one for one in each if one.name == direction.name)
            sizes.append(part.num_candidates)
            for name, values in found.items():
                values[rows] = getattr(part, name)
        whole.append(
            Direction(direction.query, f"{direction.candidate} of its language", **found, num_candidates=round(float(np.mean(sizes))))
        )
    return whole


def document(found: Mapping[str, list[list[Direction]]], groups_N: NDArray[Any]) -> dict[str, Any]:
    """The benchmark's last line."""
    bootstrap = Bootstrap()
    methods = list(found)
    columns = [_mean_columns(seeds, at) for seeds in found.values() for at in range(len(seeds[0]))]
    size, count = len(columns[0]), len(next(iter(found.values()))[0])
    points = recalls(np.array([[column.sum() for column in each] for each in columns])).reshape(len(methods), count, -1)
    flat = [column for each in columns for column in each]
    drawn = resampled_sums(flat, groups_N, bootstrap).reshape(bootstrap.resamples, len(methods), count, size)
    draws = recalls(drawn)
    ratios: dict[str, Any] = {}
    for at, direction in enumerate(next(iter(found.values()))[0]):
        for number, place in enumerate(PLACES):
            chance = float(direction.weight_N @ direction.chance_NK[:, number] / direction.weight_N.sum())
            ratios[f"chance.{direction.name}.R@{place}"] = measure.metric(chance, chance, chance)
            for row, method in enumerate(methods):
                low, high = interval(draws[:, row, at, number], groups_N, bootstrap) or (0.0, 1.0)
                ratios[f"{method}.{direction.name}.R@{place}"] = measure.metric(float(points[row, at, number]), low, high)
        for row, method in enumerate(methods[1:], start=1):
            low, high = interval(draws[:, 0, at, LAST] - draws[:, row, at, LAST], groups_N, bootstrap) or (-1.0, 1.0)
            apart = float(points[0, at, LAST] - points[row, at, LAST])
            ratios[f"{methods[0]}_minus_{method}.{direction.name}.R@{PLACES[LAST]}"] = measure.metric(apart, low, high)
    return {"name": "retrieval", "ok": True, "ratios": ratios, "seeds": _seeds(found)}


def _seeds(found: Mapping[str, list[list[Direction]]]) -> dict[str, Any]:
    """Method → direction → of each seed R@1, R@5, R@10 and the median rank; with the numbers of queries and candidates."""
    named: dict[str, Any] = {}
    for method, seeds in found.items():
        for asked in seeds:
            for direction in asked:
                hits = recalls(np.array([column.sum() for column in direction.columns()]))[: len(PLACES)]
                entry = named.setdefault(method, {}).setdefault(
                    direction.name,
                    {"queries": direction.num_queries, "candidates": direction.num_candidates, "recall": [], "median_rank": []},
                )
                entry["recall"].append([round(float(hit), 4) for hit in hits])
                entry["median_rank"].append(median_rank(direction))
    return named


def _mean_columns(seeds: list[list[Direction]], at: int) -> list[NDArray[Any]]:
    """A direction's columns, as the mean over seeds."""
    return [np.mean(each, axis=0) for each in zip(*(asked[at].columns() for asked in seeds), strict=True)]


def asked_of(trained_: Trained) -> Asked:
    """The embeddings of the split."""
    found, present = [], []
    with torch.inference_mode():
        for batch, kept in trained_.batches():
            present_BM = trained_.model.present_BM(batch)
            found.append(trained_.model.predict(trained_.model(batch.inputs, present_BM))[HEAD].numpy()[kept])
            present.append(present_BM.numpy()[kept])
    return Asked(np.concatenate(found), np.concatenate(present))
