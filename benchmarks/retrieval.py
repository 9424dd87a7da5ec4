"""How well pictures, captions and voices find each other after training by one alignment or another: the recipe of `examples/retrieval`.

Reported without a goal. Every method trains the recipe's model from the same two seeds on the same batches, and only the head's `loss`
differs (and its `dim` where the method needs another). Each is then asked on the test split, whose pictures no training saw, for the
partners of all samples in all six directions, by `tasks.evaluation.retrieval`; and for the captions and voices among those of one language,
since telling languages apart is a part of finding a partner that needs no words. A number is the mean over the seeds, its interval from
resampling pictures with the seeds as they are; `seeds` has each by itself. Media are decoded once for all trainings, which changes
nothing but the time. One round is all there is, whatever `--rounds` says.
"""

from __future__ import annotations

import hashlib
import json
import tempfile
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
import yaml
from numpy.typing import NDArray

from benchmarks import measure
from benchmarks.medley import ROOT, medley
from tasks.contracts import Batch, ModalityBatch, Reader
from tasks.evaluation.intervals import Bootstrap, interval, resampled_sums
from tasks.evaluation.retrieval import PLACES, Direction, directions, median_rank, recalls
from tasks.models.fused import FusedModel
from tasks.models.load import build_readers
from tasks.shards.loader import Loader
from tasks.shards.read import ShardSet
from tasks.training import state
from tasks.training.config import TrainConfig
from tasks.training.loop import end_epoch, train_epoch
from tasks.training.ranks import Ranks
from tasks.training.run import Job, start

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
SEEDS = (0, 1)
THREADS = 1
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
    shard_set = ShardSet.open(_shards(folder / "store"))
    step = yaml.safe_load(RECIPE.read_text(encoding="utf-8"))["steps"]["model"]
    contents, language_N = shard_set.contents("test"), shard_set.labels("test")["language"]
    known: dict[str, dict[bytes, Any]] = {}
    found: dict[str, list[list[Direction]]] = {}
    for method, changes in METHODS.items():
        config = train_config(step, changes)
        for seed in SEEDS:
            asked = trained(config, shard_set, folder / f"{method}-{seed}", seed, known)
            found.setdefault(method, []).append(searched(asked, config.model.heads[HEAD].modalities, contents, language_N))
    return document(found, np.asarray(shard_set.groups("test")))


def train_config(step: Mapping[str, Any], changes: Mapping[str, Any]) -> TrainConfig:
    """The recipe's train step with another head."""
    head = {**step["model"]["heads"][HEAD], **changes}
    given = {name: value for name, value in step.items() if name not in ("task", "shards")}
    return TrainConfig.model_validate({**given, "model": {**step["model"], "heads": {HEAD: head}}})


def trained(config: TrainConfig, shard_set: ShardSet, folder: Path, seed: int, known: dict[str, dict[bytes, Any]]) -> Asked:
    """Train, take the best epoch as the train step does, and embed the test split."""
    folder.mkdir(parents=True, exist_ok=True)
    torch.set_num_threads(THREADS)

    def loader(split: str) -> Loader:
        return Loader(shard_set, split, readers, {}, batch_size=config.batch_size, streams=config.streams, seed=seed)

    with torch.random.fork_rng():
        run = start(Job(config, shard_set.path, folder, seed, THREADS), Ranks())
        readers = build_readers(config.readers(), {name: shard_set.fit(name) for name in config.readers()})
        readers = {name: Remembering(reader, known.setdefault(name, {})) for name, reader in readers.items()}
        run.train, run.val = loader("train"), loader("val")
        while run.progress.epoch < config.epochs:
            train_epoch(run)
            end_epoch(run)
    assert run.progress.best is not None
    run.model.load_state_dict(state.read(state.at(folder / state.FOLDER, run.progress.best["steps"])).model())
    return _embedded(run.model.eval(), loader("test").evaluation())


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
        found = {name: np.zeros_like(getattr(direction, name)) for name in ("weight_N", "rank_N", "hit_NK", "chance_NK")}
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


def _embedded(model: FusedModel, batches: Iterable[Batch]) -> Asked:
    found, present = [], []
    with torch.inference_mode():
        for batch in batches:
            kept = (batch.weight > 0).numpy()
            predicted = model.predict(model(batch.inputs, model.present_BM(batch)))
            found.append(predicted[HEAD].numpy()[kept])
            present.append(model.present_BM(batch).numpy()[kept])
    return Asked(np.concatenate(found), np.concatenate(present))


def _shards(store: Path) -> Path:
    outcome = measure.run([medley(), "run", RECIPE, "--store", store, "--until", "shards", "--json"], cwd=ROOT)
    measure.check(outcome)
    return Path(json.loads(outcome.stdout)["steps"]["shards"]["artifact"])


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
