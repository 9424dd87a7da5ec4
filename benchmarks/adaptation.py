"""Whether recordings without labels help with a new voice: the recipe of `examples/adaptation`, each speaker being the new one in turn.

Reported without a goal. For each of six speakers the recipe's model is trained without an objective, with `domain_adversarial` and with
`domain_coral`, from the same seeds on the same batches, to the end of its steps. Each is then asked for the digits of the new speaker's
recordings that no training saw. A number is the mean over speakers of the mean over seeds; its interval is Student's over the speakers,
since another voice is what one wants to know about. `speakers` has each by itself. Recordings are decoded once for all trainings, which
changes nothing but the time. One round is all there is, whatever `--rounds` says. FSDD_ZIP in the environment: where the recordings are.
"""

from __future__ import annotations

import json
import math
import os
import tempfile
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
import yaml
from numpy.typing import NDArray
from scipy import stats

from benchmarks import measure
from benchmarks.medley import ROOT, medley
from benchmarks.retrieval import Remembering
from tasks.contracts import Batch
from tasks.models.fused import FusedModel
from tasks.models.load import build_readers
from tasks.models.targets import described
from tasks.shards.loader import Loader
from tasks.shards.read import ShardSet
from tasks.training.config import TrainConfig
from tasks.training.loop import end_epoch, train_epoch
from tasks.training.ranks import Ranks
from tasks.training.run import Job, start

RECIPE = ROOT / "examples" / "adaptation" / "recipe.yaml"
HEAD = "digit"
THREADS = 1


def run(rounds: int, folder: Path | None = None) -> dict[str, Any]:  # noqa: ARG001  one round: see above
    """Accuracy on new voices of each method. `folder`: keeps shards and trainings, so that a measurement that was broken off goes on."""
    if folder is None:
        with tempfile.TemporaryDirectory(prefix="medley-adaptation-") as name:
            return run(1, Path(name))
    steps = yaml.safe_load(RECIPE.read_text(encoding="utf-8"))["steps"]
    shards = _shards(folder / "store")
    known: dict[bytes, Any] = {}
    found: dict[str, dict[str, list[float]]] = {}
    for seed in steps["model"]["matrix"]["seed"]:
        for speaker, path in shards.items():
            for objectives in steps["model"]["matrix"]["model.objectives"]:
                config, method = train_config(steps["model"], objectives), method_of(objectives)
                accuracy = adapted(config, ShardSet.open(path), folder / f"{speaker}-{method}-{seed}", seed, known)
                found.setdefault(method, {}).setdefault(speaker, []).append(accuracy)
    return document(found)


def method_of(objectives: Mapping[str, Any]) -> str:
    return next((objective["kind"] for objective in objectives.values()), "none")


def train_config(step: Mapping[str, Any], objectives: Mapping[str, Any]) -> TrainConfig:
    """The recipe's train step with these objectives."""
    given = {name: value for name, value in step.items() if name not in ("task", "shards", "matrix", "resources")}
    return TrainConfig.model_validate({**given, "model": {**step["model"], "objectives": objectives}})


def adapted(config: TrainConfig, shard_set: ShardSet, folder: Path, seed: int, known: dict[bytes, Any]) -> float:
    """Train to the end, and the accuracy on the test split."""
    folder.mkdir(parents=True, exist_ok=True)
    torch.set_num_threads(THREADS)
    readers = build_readers(config.readers(), {name: shard_set.fit(name) for name in config.readers()})
    shapes = {name: reader.shape for name, reader in readers.items()}
    labels = described(config.model.heads, shard_set.meta["labels"], shapes, config.model.objectives)
    remembering = {name: Remembering(reader, known) for name, reader in readers.items()}

    def loader(split: str) -> Loader:
        return Loader(shard_set, split, remembering, labels, batch_size=config.batch_size, streams=config.streams, seed=seed)

    with torch.random.fork_rng():
        run = start(Job(config, shard_set.path, folder, seed, THREADS), Ranks())
        run.train, run.val = loader("train"), loader("val")
        while run.progress.epoch < config.epochs:
            train_epoch(run)
            end_epoch(run)
    return _accuracy(run.model.eval(), loader("test").evaluation())


def document(found: Mapping[str, Mapping[str, list[float]]]) -> dict[str, Any]:
    """The benchmark's last line. `found`: method → speaker → the accuracy from each seed."""
    means = {method: np.array([np.mean(each) for each in speakers.values()]) for method, speakers in found.items()}
    ratios = {f"{method}_accuracy": _over_speakers(values) for method, values in means.items()}
    ratios |= {f"{method}_minus_none": _over_speakers(values - means["none"]) for method, values in means.items() if method != "none"}
    return {"name": "adaptation", "ok": True, "ratios": ratios, "speakers": found}


def _over_speakers(values: NDArray[Any]) -> dict[str, Any]:
    """Mean, and its 95 % interval where speakers are drawn from all there are."""
    middle = float(values.mean())
    reach = float(stats.t.ppf(0.975, len(values) - 1) * values.std(ddof=1) / math.sqrt(len(values)))
    return measure.metric(middle, middle - reach, middle + reach)


def _accuracy(model: FusedModel, batches: Iterable[Batch]) -> float:
    right, count = 0.0, 0.0
    with torch.inference_mode():
        for batch in batches:
            answer_B = model(batch.inputs, model.present_BM(batch))[HEAD].argmax(-1)
            right += float(((answer_B == batch.labels[HEAD]) * batch.weight).sum())
            count += float(batch.weight.sum())
    return right / count


def _shards(store: Path) -> dict[str, Path]:
    """New speaker → the shards."""
    archive = ["--set", f"steps.corpus.source.archive={Path(os.environ['FSDD_ZIP']).absolute()}"] if "FSDD_ZIP" in os.environ else []
    outcome = measure.run([medley(), "run", RECIPE, "--store", store, "--until", "shards", "--json", *archive], cwd=ROOT)
    measure.check(outcome)
    made = {name: step for name, step in json.loads(outcome.stdout)["steps"].items() if name.startswith("shards[")}
    return {name.removeprefix("shards[source.new=").removesuffix("]"): Path(step["artifact"]) for name, step in sorted(made.items())}
