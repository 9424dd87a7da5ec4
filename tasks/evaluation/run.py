"""One evaluation from artifacts to files: `report.json`, its tables, `report.html`, and with a baseline `comparison.html`.

In: model, shards and optionally a baseline model. The baseline is loaded from its own artifact, so it reads the same tars with its own
readers and fits. Order: labels, slices and thresholds are checked before anything is predicted; the pages are written last.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np
import pyarrow.parquet as pq
import torch
from numpy.typing import NDArray

from tasks.contracts import FORMAT_VERSION, Artifact, Inputs, Summary, TaskContext
from tasks.drift.embeddings import write_embeddings
from tasks.errors import CorruptArtifact, InputError, Stopped
from tasks.evaluation.calibration import calibration
from tasks.evaluation.cost import cost_facts
from tasks.evaluation.facts import data_facts
from tasks.evaluation.intervals import Bootstrap
from tasks.evaluation.labels import true_labels
from tasks.evaluation.page.comparison import write_comparison
from tasks.evaluation.page.render import write_page
from tasks.evaluation.predict import Predictions, predict_split
from tasks.evaluation.report import (
    baseline_facts,
    baseline_values,
    compared_heads,
    finite,
    lineage_facts,
    notes,
    score_heads,
    summarised,
)
from tasks.evaluation.slices import cut_columns, score_slices
from tasks.evaluation.subsets import all_subsets, subset_members, subset_name
from tasks.evaluation.table import predictions_table
from tasks.evaluation.thresholds import check_head, scored, threshold_facts
from tasks.evaluation.truth import own_infos, true_of_heads
from tasks.models.load import LoadedModel, load_model
from tasks.shards.loader import Loader
from tasks.shards.read import ShardSet

if TYPE_CHECKING:
    from tasks.evaluate import EvaluateConfig

_Seen: TypeAlias = "tuple[Predictions, Mapping[str, NDArray[Any]], NDArray[Any]]"
"""Predictions of a split, its labels and its groups."""


def run(config: EvaluateConfig, inputs: Inputs, output_dir: Path, context: TaskContext) -> Summary:
    """See `tasks.evaluate.evaluate`."""
    torch.set_num_threads(context.resources.cpus)  # last bits of sounds depend on it
    shard_set = ShardSet.open(inputs["shards"].path)
    _num_samples(shard_set, config.split, "Choose another `split:`, or split the corpus anew")
    sliced = cut_columns(shard_set.path, config.split, config.slices, config.slicing)
    loaded = _load(inputs["model"], context)
    labels = true_of_heads(loaded, shard_set, config.split, config.anomalies)
    on_val = _val_labels(config, loaded, shard_set)
    progress = _Progress(context, _num_answers(config, inputs, shard_set))
    said, rival = _answers(config, inputs, context, loaded, shard_set, progress)
    groups_N = np.asarray(shard_set.groups(config.split), dtype=str)
    bootstrap = Bootstrap(config.resamples, config.confidence, context.seed)
    progress.end("intervals")
    scored_heads = compared_heads(said.candidate, labels, said.baseline, said.best)
    heads = score_heads(said.candidate, labels, groups_N, said.baseline, bootstrap, config.calibration_bins, scored_heads)
    if said.val is not None:
        val = (said.val, on_val, np.asarray(shard_set.groups("val"), dtype=str))
        _set_thresholds(heads, config, val, (said.candidate, labels, groups_N), bootstrap)
    others = baseline_values(said.candidate, said.baseline)
    slices = score_slices(sliced, said.candidate.heads, labels, others, groups_N, bootstrap, scored_heads)
    progress.end("latency")
    models = [(loaded, inputs["model"].path)] + ([] if rival is None else [(rival, inputs["baseline"].path)])
    costs = cost_facts(models, shard_set, config.split, config.latency_calls, progress.check)
    compared = {name for name, values in others.items() if values is not None}
    compared |= {name for name, given in scored_heads.items() if given.rival is not None}
    measured = {
        "heads": heads,
        "slices": slices,
        "slicing": {column.column: column.facts for column in sliced},
        **dict(zip(("cost", "baseline_cost"), costs, strict=False)),
        "notes": _notes(heads, inputs, context, loaded, said.candidate, compared),
    }
    report = finite(_report(config, inputs, context, said.candidate, groups_N, measured))
    (output_dir / "report.json").write_text(json.dumps(report, indent=1, ensure_ascii=False, allow_nan=False) + "\n", encoding="utf-8")
    table = predictions_table(said.candidate, labels, groups_N, said.baseline, sliced, said.best, scored_heads)
    pq.write_table(table, output_dir / "predictions.parquet")
    write_embeddings(output_dir, loaded, shard_set, config.split)
    recipe = context.lineage.recipe_text
    write_page(output_dir / "report.html", report, inputs["model"].path, shard_set, said.candidate, labels, recipe, scored_heads)
    if said.baseline is not None:
        write_comparison(output_dir / "comparison.html", report, shard_set, said.candidate, said.baseline, labels, scored_heads)
    for note in report["notes"]:
        context.sink.note(note)
    return summarised(report)


@dataclass(frozen=True)
class _Answers:
    """What each model says; None where it is not asked."""

    candidate: Predictions
    baseline: Predictions | None
    best: Predictions | None
    val: Predictions | None
    """The candidate on val."""


def _num_answers(config: EvaluateConfig, inputs: Inputs, shard_set: ShardSet) -> int:
    """Samples over all models and splits."""
    models = 1 + ("baseline" in inputs) + (_apart(inputs) is not None)
    return models * shard_set.num_samples(config.split) + (shard_set.num_samples("val") if config.thresholds else 0)


def _answers(
    config: EvaluateConfig, inputs: Inputs, context: TaskContext, loaded: LoadedModel, shard_set: ShardSet, progress: _Progress
) -> tuple[_Answers, LoadedModel | None]:
    """Also the baseline's model, which is timed later."""
    split, baseline, best = config.split, inputs.get("baseline"), _apart(inputs)
    candidate = _predict(loaded, shard_set, split, config, progress.part("candidate"), all_subsets(_readable(loaded, shard_set)))
    rival = None if baseline is None else _load(baseline, context)
    other = None
    if rival is not None:
        other = _predict(rival, shard_set, split, config, progress.part("baseline"), all_subsets(_readable(rival, shard_set)))
    first = None if best is None else _predict_all(_load(best, context), shard_set, config, progress.part("best champion"))
    val = None
    if config.thresholds:
        val = _predict(loaded, shard_set, "val", config, progress.part("val"), [subset_name(candidate.modalities)])
    return _Answers(candidate, other, first, val), rival


def _notes(
    heads: dict[str, Any], inputs: Inputs, context: TaskContext, loaded: LoadedModel, candidate: Predictions, compared: set[str]
) -> list[str]:
    said = notes(heads, _asked(context, "baseline"), inputs.get("baseline"), inputs["model"], compared)
    if unseen := sorted(set(loaded.modalities) - set(candidate.modalities)):
        said.append(f"The shards have no {', '.join(unseen)}, which the model could use too: it is shown as missing in every sample.")
    return said


def _apart(inputs: Inputs) -> Artifact | None:
    """The best champion ever, where it has to be asked by itself: it is not the baseline."""
    best, baseline = inputs.get("best"), inputs.get("baseline")
    return None if best is None or (baseline is not None and best.key == baseline.key) else best


def _predict_all(loaded: LoadedModel, shard_set: ShardSet, config: EvaluateConfig, tick: Callable[[int], None]) -> Predictions:
    """From all modalities, for the split that is measured."""
    return _predict(loaded, shard_set, config.split, config, tick, [subset_name(_readable(loaded, shard_set))])


def _num_samples(shard_set: ShardSet, split: str, otherwise: str) -> int:
    """Raises InputError when there are none."""
    number = shard_set.num_samples(split)
    if not number:
        there = ", ".join(f"{name} ({shard_set.num_samples(name)})" for name in shard_set.splits) or "none"
        raise InputError(f"split {split!r} of the shards is empty; samples there are: {there}. {otherwise}")
    return number


def _val_labels(config: EvaluateConfig, loaded: LoadedModel, shard_set: ShardSet) -> dict[str, NDArray[Any]]:
    """The labels that thresholds are chosen by; empty when the recipe asks for none."""
    if not config.thresholds:
        return {}
    for head, threshold in config.thresholds.items():
        check_head(head, loaded.labels, threshold.of_class)
    _num_samples(shard_set, "val", "Thresholds are chosen on val: split the corpus anew with a share for `val`, or leave `thresholds` out")
    return {head: true_labels(head, loaded.labels[head], shard_set.labels("val"), "val") for head in config.thresholds}


def _set_thresholds(heads: dict[str, Any], config: EvaluateConfig, on_val: _Seen, elsewhere: _Seen, bootstrap: Bootstrap) -> None:
    """Each head's `threshold`, and how well calibrated what is above it is."""
    for head, asked in config.thresholds.items():
        val, here = (
            scored(predictions.heads[head], labels[head], groups_N, asked.of_class) for predictions, labels, groups_N in (on_val, elsewhere)
        )
        facts = heads[head]["threshold"] = threshold_facts(asked, val, here, config.split, bootstrap)
        if facts["reached"] and facts["measured"]["answered"]:
            answered = here.above(facts["value"])
            heads[head]["calibration"]["answered"] = {
                "samples": int(answered.score_N.size),
                **calibration(answered.score_N, answered.right_N, answered.groups_N, config.calibration_bins, bootstrap),
            }


def _report(
    config: EvaluateConfig,
    inputs: Inputs,
    context: TaskContext,
    candidate: Predictions,
    groups_N: NDArray[Any],
    measured: dict[str, Any],
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
        **({"best": baseline_facts(inputs.get("best"))} if _asked(context, "best") else {}),
        **measured,
        "data": data_facts(shards.path),
        "lineage": lineage_facts(context),
    }


class _Progress:
    """Counts samples over all parts of an evaluation, and stops when the run was asked to."""

    def __init__(self, context: TaskContext, total: int) -> None:
        self.context = context
        self.total = total
        self.done = 0

    def part(self, detail: str) -> Callable[[int], None]:
        """What a part calls with the number of its samples that are done."""
        before = self.done

        def tell(done: int) -> None:
            self.done = before + done
            self.check()
            self.context.sink.progress(self.done, self.total, "samples", detail)

        return tell

    def end(self, detail: str) -> None:
        """All samples are done; what goes on has another name."""
        self.context.sink.progress(self.total, self.total, "samples", detail)

    def check(self) -> None:
        """Raises Stopped."""
        if self.context.stop.is_set():
            raise Stopped(
                f"evaluation stopped after {self.done} of {self.total} samples; run again to start it over, finished steps are kept"
            )


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
    loaded: LoadedModel, shard_set: ShardSet, split: str, config: EvaluateConfig, tick: Callable[[int], None], subsets: list[str]
) -> Predictions:
    learned = {name for name, asked in loaded.model.learns_from.items() if asked == "modality"}
    wanted = {*subset_members(subsets[-1]), *({loaded.model.targets[name] for name in learned} & {*shard_set.modalities})}
    loader = Loader(shard_set, split, {name: loaded.readers[name] for name in wanted}, own_infos(loaded), batch_size=config.batch_size)
    predictions = predict_split(loaded, loader.evaluation(), tick, subsets)
    if predictions.keys != shard_set.keys(split):
        raise CorruptArtifact(f"{shard_set.path}: the samples of {split!r} are not in the order of the index; run `medley shards verify`")
    return predictions


def _asked(context: TaskContext, which: str) -> str:
    """What the recipe names as baseline or best, whether or not there is one yet."""
    return next((step.inputs.get(which, "") for step in context.lineage.steps if step.name == context.step), "")
