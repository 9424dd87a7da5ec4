"""One evaluation from artifacts to files: `report.json`, `predictions.parquet`, `report.html`.

In: model, shards and optionally a baseline model. The baseline is loaded from its own artifact, so it reads the same tars with its own
readers and fits. Order: labels are checked before anything is predicted; the page is written last.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow.parquet as pq
import torch
from numpy.typing import NDArray

from tasks.contracts import FORMAT_VERSION, Artifact, Inputs, Summary, TaskContext
from tasks.errors import CorruptArtifact, InputError, Stopped
from tasks.evaluation.facts import data_facts
from tasks.evaluation.intervals import Bootstrap
from tasks.evaluation.labels import true_labels
from tasks.evaluation.page.render import write_page
from tasks.evaluation.predict import Predictions, predict_split
from tasks.evaluation.report import baseline_facts, finite, lineage_facts, notes, score_heads, summarised
from tasks.evaluation.subsets import all_subsets, subset_members, subset_name
from tasks.evaluation.table import predictions_table
from tasks.models.load import LoadedModel, load_model
from tasks.shards.loader import Loader
from tasks.shards.read import ShardSet

if TYPE_CHECKING:
    from tasks.evaluate import EvaluateConfig


def run(config: EvaluateConfig, inputs: Inputs, output_dir: Path, context: TaskContext) -> Summary:
    """See `tasks.evaluate.evaluate`."""
    model, shards, baseline = inputs["model"], inputs["shards"], inputs.get("baseline")
    torch.set_num_threads(context.resources.cpus)  # last bits of sounds depend on it
    shard_set = ShardSet.open(shards.path)
    num_samples = shard_set.num_samples(config.split)
    if not num_samples:
        there = ", ".join(f"{split} ({shard_set.num_samples(split)})" for split in shard_set.splits) or "none"
        raise InputError(
            f"split {config.split!r} of the shards is empty; samples there are: {there}. Choose another `split:`, or split the corpus anew"
        )
    loaded = _load(model, context)
    labels = {head: true_labels(head, info, shard_set.labels(config.split), config.split) for head, info in loaded.labels.items()}
    progress = _Progress(context, num_samples * (1 if baseline is None else 2))
    candidate = _predict(loaded, shard_set, config, progress.candidate, subsets=all_subsets(_readable(loaded, shard_set)))
    other = None
    if baseline is not None:
        rival = _load(baseline, context)
        other = _predict(rival, shard_set, config, progress.baseline, subsets=[subset_name(_readable(rival, shard_set))])
    groups_N = np.asarray(shard_set.groups(config.split), dtype=str)
    bootstrap = Bootstrap(config.resamples, config.confidence, context.seed)
    context.sink.progress(progress.total, progress.total, "samples", "intervals")
    heads = score_heads(candidate, labels, groups_N, other, bootstrap)
    said = notes(heads, _asked_baseline(context), baseline, model, _comparable(candidate, other))
    if unseen := sorted(set(loaded.modalities) - set(candidate.modalities)):
        said.append(f"The shards have no {', '.join(unseen)}, which the model could use too: it is shown as missing in every sample.")
    report = finite(_report(config, inputs, context, candidate, groups_N, heads, said))
    (output_dir / "report.json").write_text(json.dumps(report, indent=1, ensure_ascii=False, allow_nan=False) + "\n", encoding="utf-8")
    pq.write_table(predictions_table(candidate, labels, groups_N, other), output_dir / "predictions.parquet")
    write_page(output_dir / "report.html", report, model.path, shard_set, candidate, labels, context.lineage.recipe_text)
    for note in said:
        context.sink.note(note)
    return summarised(report)


def _report(
    config: EvaluateConfig,
    inputs: Inputs,
    context: TaskContext,
    candidate: Predictions,
    groups_N: NDArray[Any],
    heads: dict[str, Any],
    said: list[str],
) -> dict[str, Any]:
    model, shards = inputs["model"], inputs["shards"]
    described = json.loads((model.path / "model.json").read_bytes())
    return {
        "format": FORMAT_VERSION,
        "split": config.split,
        "samples": len(candidate.keys),
        "groups": int(np.unique(groups_N).size),
        "confidence": config.confidence,
        "resamples": config.resamples,
        "seed": context.seed,
        "modalities": list(candidate.modalities),
        "model": {"key": model.key, "step": model.step, "num_parameters": described.get("num_parameters")},
        "shards": {"key": shards.key, "step": shards.step},
        "baseline": baseline_facts(inputs.get("baseline")),
        "heads": heads,
        "notes": said,
        "data": data_facts(shards.path),
        "lineage": lineage_facts(context),
    }


class _Progress:
    """Counts samples over both models, and stops when the run was asked to."""

    def __init__(self, context: TaskContext, total: int) -> None:
        self.context = context
        self.total = total

    def candidate(self, done: int) -> None:
        self._tell(done, "candidate")

    def baseline(self, done: int) -> None:
        self._tell(self.total // 2 + done, "baseline")

    def _tell(self, done: int, detail: str) -> None:
        if self.context.stop.is_set():
            raise Stopped(f"evaluation stopped after {done} of {self.total} samples; run again to start it over, finished steps are kept")
        self.context.sink.progress(done, self.total, "samples", detail)


def _load(artifact: Artifact, context: TaskContext) -> LoadedModel:
    return load_model(artifact.path, "cuda" if context.resources.gpus and torch.cuda.is_available() else "cpu")


def _readable(loaded: LoadedModel, shard_set: ShardSet) -> list[str]:
    """The model's modalities that the shards hold."""
    readable = [name for name in loaded.modalities if name in shard_set.modalities]
    if not readable:
        raise InputError(
            f"the model reads {', '.join(loaded.modalities)}, the shards hold {', '.join(shard_set.modalities)}: nothing in common; "
            "evaluate on shards that were prepared for this model"
        )
    return readable


def _predict(
    loaded: LoadedModel, shard_set: ShardSet, config: EvaluateConfig, tick: Callable[[int], None], subsets: list[str]
) -> Predictions:
    readers = {name: loaded.readers[name] for name in subset_members(subsets[-1])}
    loader = Loader(shard_set, config.split, readers, {}, batch_size=config.batch_size)
    predictions = predict_split(loaded, loader.evaluation(), tick, subsets)
    if predictions.keys != shard_set.keys(config.split):
        raise CorruptArtifact(
            f"{shard_set.path}: the samples of {config.split!r} are not in the order of the index; run `medley shards verify`"
        )
    return predictions


def _asked_baseline(context: TaskContext) -> str:
    """What the recipe names as baseline, whether or not there is one yet."""
    return next((step.inputs.get("baseline", "") for step in context.lineage.steps if step.name == context.step), "")


def _comparable(candidate: Predictions, other: Predictions | None) -> set[str]:
    if other is None:
        return set()
    return {name for name, head in candidate.heads.items() if name in other.heads and bool(other.heads[name].classes) == bool(head.classes)}
