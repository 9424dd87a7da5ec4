"""From predictions to numbers: the content of `report.json`, and the part of it that the run's summary shows.

format, split, samples, groups
confidence, resamples, seed      how the intervals were made
modalities           those the model saw
model                {key, step, num_parameters}
shards               {key, step}
baseline             {reference, version, key} or null
heads                {name: see classification.py and regression.py}
notes                sentences a reader should know
data                 see facts.py
lineage              {recipe, run, step, key, code_revision, libraries, steps}
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tasks.contracts import Artifact, Lineage, TaskContext
from tasks.evaluation.classification import score_classification
from tasks.evaluation.intervals import Bootstrap
from tasks.evaluation.labels import class_indices
from tasks.evaluation.predict import HeadPredictions, Predictions
from tasks.evaluation.regression import score_regression

FEW_GROUPS = 20
"""Below this a percentile interval over groups is too narrow to be taken at its word."""

_NOT_IN_SUMMARY = ("classes", "per_class", "confusion")


def score_heads(
    candidate: Predictions,
    labels: Mapping[str, NDArray[Any]],
    groups_N: NDArray[Any],
    baseline: Predictions | None,
    bootstrap: Bootstrap,
) -> dict[str, Any]:
    """Head → its numbers. `labels` as `true_labels` gives them; samples without a label are left out and counted as `missing`."""
    heads = {}
    for name, predictions in candidate.heads.items():
        labels_N = labels[name]
        has_label = labels_N >= 0 if predictions.classes else np.isfinite(labels_N)
        chosen = predictions.rows(has_label)
        other = _baseline_values(name, predictions, baseline)
        other_N = None if other is None else other[has_label]
        score = score_classification if predictions.classes else score_regression
        numbers = score(labels_N[has_label], chosen, other_N, groups_N[has_label], bootstrap)
        numbers["missing"] = int((~has_label).sum())
        for subset, entry in numbers["by_modalities"].items():
            entry["covered"] = int(candidate.covered(subset)[has_label].sum())
        heads[name] = numbers
    return heads


def baseline_facts(baseline: Artifact | None) -> dict[str, str] | None:
    """`version` is the number of a registered version, empty when the baseline is a step of the recipe."""
    if baseline is None:
        return None
    version = baseline.reference.rsplit("/", 1)[-1] if baseline.reference.startswith("models:/") else ""
    return {"reference": baseline.reference or baseline.step, "version": version, "key": baseline.key}


def lineage_facts(context: TaskContext) -> dict[str, Any]:
    lineage: Lineage = context.lineage
    return {
        "recipe": lineage.recipe_name,
        "run": lineage.run,
        "step": context.step,
        "key": context.key,
        "code_revision": lineage.code_revision,
        "libraries": dict(lineage.libraries),
        "steps": [
            {"name": step.name, "task": step.task, "key": step.key, "inputs": dict(step.inputs), "status": step.status}
            for step in lineage.steps
        ],
    }


def notes(heads: Mapping[str, Any], asked_baseline: str, baseline: Artifact | None, model: Artifact, baseline_heads: set[str]) -> list[str]:
    """What a reader must know before trusting the numbers."""
    said = []
    if asked_baseline and baseline is None:
        said.append(f"There is no baseline: {asked_baseline} names no version yet, so this is a first model.")
    if baseline is not None and baseline.key == model.key:
        said.append("The baseline is this very model, so the comparison says nothing.")
    for name, head in heads.items():
        if head["missing"]:
            said.append(f"{name}: {head['missing']} samples without this label are left out.")
        if head["groups"] < FEW_GROUPS:
            said.append(_few_groups(name, head["groups"]))
        if baseline is not None and name not in baseline_heads:
            said.append(f"{name}: the baseline has no comparable head of this name.")
    return said


def summarised(report: Mapping[str, Any]) -> dict[str, Any]:
    """What the runner stores and `--json` shows: everything small."""
    baseline = report["baseline"]
    return {
        "split": report["split"],
        "samples": report["samples"],
        "groups": report["groups"],
        "baseline": None if baseline is None else {"reference": baseline["reference"], "version": baseline["version"]},
        "heads": {
            name: {key: value for key, value in head.items() if key not in _NOT_IN_SUMMARY} for name, head in report["heads"].items()
        },
        "notes": report["notes"],
    }


def finite(value: Any) -> Any:
    """The same without NaN and infinity, which JSON does not have: they become null."""
    if isinstance(value, dict):
        return {key: finite(item) for key, item in value.items()}
    if isinstance(value, list):
        return [finite(item) for item in value]
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value


def _baseline_values(name: str, predictions: HeadPredictions, baseline: Predictions | None) -> NDArray[Any] | None:
    """The baseline's word in the candidate's classes; -1 for a class the candidate does not have. None when they cannot be compared."""
    other = None if baseline is None else baseline.heads.get(name)
    if other is None or bool(other.classes) != bool(predictions.classes):
        return None
    values = list(other.by_subset.values())[-1]
    if not predictions.classes:
        return np.asarray(values, dtype=np.float64)
    return np.asarray(class_indices(other.classes, predictions.classes)[values])


def _few_groups(name: str, number: int) -> str:
    if number == 1:
        return f"{name}: all samples belong to one group, so no interval can be given."
    return f"{name}: the samples come from only {number} groups, so the intervals are rough and likely too narrow."
