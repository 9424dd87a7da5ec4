"""From predictions to numbers: the content of `report.json`, and the part of it that the run's summary shows.

format, split, samples, groups
confidence, resamples, seed      how the intervals were made
modalities           those the model saw
model                {key, step, num_parameters}
shards               {key, step}
baseline             {reference, version, key} or null
best                 the same of the best champion ever; only where the recipe asks for it
heads                {name: see classification.py, regression.py and scoring.py; a head of none of these kinds has {kind: other, head,
                     loss}, `head` being the model's name for its kind; with classes also `calibration`, and `threshold` where one was
                     asked for: see calibration.py, thresholds.py}
slices, slicing      see slices.py
cost, baseline_cost  see cost.py; the second with a baseline alone
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
from tasks.evaluation.calibration import calibration, difference
from tasks.evaluation.classification import score_classification
from tasks.evaluation.intervals import Bootstrap
from tasks.evaluation.labels import class_indices
from tasks.evaluation.measures import UNMEASURED
from tasks.evaluation.predict import HeadPredictions, Predictions
from tasks.evaluation.regression import score_regression
from tasks.evaluation.scoring import Compared, compared, score_kind

FEW_GROUPS = 20
"""Below this a percentile interval over groups is too narrow to be taken at its word."""

_NOT_IN_SUMMARY = ("classes", "per_class", "confusion")


def score_heads(
    candidate: Predictions,
    labels: Mapping[str, NDArray[Any]],
    groups_N: NDArray[Any],
    baseline: Predictions | None,
    bootstrap: Bootstrap,
    num_bins: int,
    scored: Mapping[str, Compared] | None = None,
) -> dict[str, Any]:
    """Head → its numbers. `labels` as `true_labels` gives them; samples without a label are left out and counted as `missing`.

    `num_bins` is for calibration. `scored`: the heads that have a scorer.
    """
    heads = {}
    others = baseline_values(candidate, baseline)
    for name, predictions in candidate.heads.items():
        if predictions.scorer is not None or predictions.kind == UNMEASURED:
            given = (scored or {}).get(name)
            heads[name] = _unmeasured(predictions) if given is None else _score(given, candidate, groups_N, bootstrap)
            continue
        labels_N = labels[name]
        has_label = labels_N >= 0 if predictions.classes else np.isfinite(labels_N)
        chosen = predictions.rows(has_label)
        other = others[name]
        other_N = None if other is None else other[has_label]
        score = score_classification if predictions.classes else score_regression
        numbers = score(labels_N[has_label], chosen, other_N, groups_N[has_label], bootstrap)
        numbers["missing"] = int((~has_label).sum())
        for subset, entry in numbers["by_modalities"].items():
            entry["covered"] = int(candidate.covered(subset)[has_label].sum())
        if predictions.classes:
            rival = None if baseline is None or other_N is None else (baseline.heads[name].rows(has_label), other_N)
            numbers["calibration"] = _calibration(labels_N[has_label], chosen, rival, groups_N[has_label], num_bins, bootstrap)
        heads[name] = numbers
    return heads


def _score(given: Compared, candidate: Predictions, groups_N: NDArray[Any], bootstrap: Bootstrap) -> dict[str, Any]:
    numbers = score_kind(given, groups_N[given.known_N], bootstrap)
    numbers["missing"] = int((~given.known_N).sum())
    for subset, entry in numbers["by_modalities"].items():
        entry["covered"] = int(candidate.covered(subset)[given.known_N].sum())
    return numbers


def _unmeasured(own: HeadPredictions) -> dict[str, Any]:
    """A head that has no metric here: its loss, where the samples have what it learns from."""
    return {"kind": UNMEASURED, "head": own.head_kind, "loss": own.loss}


def _calibration(
    labels_N: NDArray[Any],
    own: HeadPredictions,
    rival: tuple[HeadPredictions, NDArray[Any]] | None,
    groups_N: NDArray[Any],
    num_bins: int,
    bootstrap: Bootstrap,
) -> dict[str, Any]:
    """Of the samples with a label; `rival`: the baseline's predictions, and its word in the candidate's classes."""
    candidate = _sure_and_right(own, list(own.by_subset.values())[-1], labels_N)
    facts: dict[str, Any] = {"num_bins": num_bins, **calibration(*candidate, groups_N, num_bins, bootstrap)}
    if rival is not None:
        other = _sure_and_right(*rival, labels_N)
        facts["baseline"] = calibration(*other, groups_N, num_bins, bootstrap)
        facts["difference"] = difference(candidate, other, groups_N, num_bins, bootstrap)
    return facts


def _sure_and_right(own: HeadPredictions, said_N: NDArray[Any], labels_N: NDArray[Any]) -> tuple[NDArray[Any], NDArray[np.bool_]]:
    assert own.probability is not None
    return own.probability.max(axis=1), np.asarray(said_N == labels_N, dtype=np.bool_)


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
        if head["kind"] == UNMEASURED:
            said.append(_of_unmeasured(name, head))
            continue
        if head["missing"]:
            said.append(f"{name}: {head['missing']} samples without this label are left out.")
        if head["groups"] < FEW_GROUPS:
            said.append(_few_groups(name, head["groups"]))
        if baseline is not None and name not in baseline_heads:
            said.append(f"{name}: the baseline has no comparable head of this name.")
        if "threshold" in head:
            said += _of_threshold(name, head["threshold"])
    return said


def _of_unmeasured(name: str, head: Mapping[str, Any]) -> str:
    if head["head"] == "anomaly":
        return (
            f"{name}: no label of the shards says which samples are strange, so only its scores are here, in predictions.parquet; "
            f"`anomalies: {{{name}: {{label: …}}}}` in the evaluate step names one."
        )
    if head["loss"] is None:
        return (
            f"{name}: nothing is measured of a head of kind {head['head']}, which is not one of Medley's, and its loss has no sample here."
        )
    return f"{name}: a head of kind {head['head']} is not one of Medley's, so that only its loss is measured: {head['loss']:.4g}."


def _of_threshold(name: str, threshold: Mapping[str, Any]) -> list[str]:
    """What the validation split did not allow, or promised in vain."""
    asked = f"{name}: a {threshold['target']} of {threshold['at_least']:g}"
    if not threshold["reached"]:
        best = "nothing there can be counted" if threshold["best"] is None else f"the most is {threshold['best']:.4f}"
        return [f"{asked} cannot be reached on val, whatever the threshold: {best}. No threshold was set."]
    if not threshold["held"]:
        measured = threshold["measured"]
        got = measured[threshold["target"]]
        given = "no sample reaches it" if got is None else f"it is {got:.4f}"
        return [f"{asked} was promised on val by the threshold {threshold['value']:.4f}; on {measured['split']} {given}."]
    return []


def summarised(report: Mapping[str, Any]) -> dict[str, Any]:
    """What the runner stores and `--json` shows: everything small."""
    baseline = report["baseline"]
    return {
        "split": report["split"],
        "samples": report["samples"],
        "groups": report["groups"],
        "baseline": None if baseline is None else {"reference": baseline["reference"], "version": baseline["version"]},
        "heads": {name: _small(head) for name, head in report["heads"].items()},
        "cost": {key: report["cost"][key] for key in ("parameters", "size_bytes")},
        "notes": report["notes"],
    }


def _small(head: Mapping[str, Any]) -> dict[str, Any]:
    """A head without what grows with classes and bins."""
    kept = {key: value for key, value in head.items() if key not in _NOT_IN_SUMMARY}
    if "calibration" in head:
        kept["calibration"] = {key: head["calibration"][key] for key in ("ece", "interval")}
    return kept


def finite(value: Any) -> Any:
    """The same without NaN and infinity, which JSON does not have: they become null."""
    if isinstance(value, dict):
        return {key: finite(item) for key, item in value.items()}
    if isinstance(value, list):
        return [finite(item) for item in value]
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value


def baseline_values(candidate: Predictions, baseline: Predictions | None) -> dict[str, NDArray[Any] | None]:
    """Head → the baseline's word in the candidate's classes, -1 for a class it does not have; None where they cannot be compared."""
    return {name: _baseline_values(head, None if baseline is None else baseline.heads.get(name)) for name, head in candidate.heads.items()}


def compared_heads(
    candidate: Predictions, labels: Mapping[str, NDArray[Any]], baseline: Predictions | None, best: Predictions | None
) -> dict[str, Compared]:
    """The heads that have a scorer, and something to be compared with."""
    return {
        name: compared(own, labels[name], *(None if other is None else other.heads.get(name) for other in (baseline, best)))
        for name, own in candidate.heads.items()
        if own.scorer is not None and name in labels
    }


def _baseline_values(own: HeadPredictions, other: HeadPredictions | None) -> NDArray[Any] | None:
    if other is None or own.kind not in ("category", "number") or other.kind != own.kind:
        return None
    values = list(other.by_subset.values())[-1]
    if not own.classes:
        return np.asarray(values, dtype=np.float64)
    return np.asarray(class_indices(other.classes, own.classes)[values])


def _few_groups(name: str, number: int) -> str:
    if number == 1:
        return f"{name}: all samples belong to one group, so no interval can be given."
    return f"{name}: the samples come from only {number} groups, so the intervals are rough and likely too narrow."
