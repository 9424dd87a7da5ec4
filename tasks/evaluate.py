"""Step `evaluate`: a model's numbers on one split, with intervals, for every subset of its modalities, beside a baseline on the same rows.

In: `model`, `shards`, and optionally `baseline`: another step's model, `models:/NAME@ALIAS` or `models:/NAME/VERSION`; and `best`,
`models:/NAME@best`, whose predictions the gate's guard against creep asks for. Out: a report with `report.json`, `predictions.parquet` and
`report.html`, and with a baseline `comparison.html`. Everything heavy is imported when the step runs, so that planning stays fast.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

from pydantic import Field, field_validator, model_validator

from tasks.contracts import Inputs, Summary, TaskContext
from tasks.evaluation.measures import MEASURED, SAYS, kind_of
from tasks.registry import Config, closest
from tasks.shards.amounts import amount
from tasks.sources.promised import promised_labels


class ThresholdConfig(Config):
    """When a classification head should answer at all, chosen on val."""

    target: Literal["precision", "recall", "coverage"]
    """What must be reached: right answers among answers, right answers among samples, answers among samples."""
    at_least: float = Field(gt=0, le=1)
    """The value that the chosen threshold reaches on val."""
    of_class: str | None = None
    """One class to be found, with its own precision and recall; null = whatever class the head names."""

    @model_validator(mode="after")
    def _coverage_of_all(self) -> ThresholdConfig:
        if self.target == "coverage" and self.of_class is not None:
            raise ValueError("target coverage goes with answers of any class; leave of_class out, or choose precision or recall")
        return self


class StrangeConfig(Config):
    """What says which samples are strange, for the metrics of an anomaly head, which learns without."""

    label: str | None = None
    """The label; null = the one of the head's name."""
    normal: tuple[str, ...] = ()
    """Of a category, the values that are not strange; a number needs none: 0 is normal, anything else strange."""


class SlicingConfig(Config):
    """How columns become slices."""

    min_samples: int = Field(30, ge=1)
    """Values that fewer samples have stand together in one slice."""
    max_values: int = Field(20, ge=1, le=1000)
    """Values of a column that are shown by themselves, the commonest first."""
    quantiles: int = Field(4, ge=2, le=100)
    """Parts that a column of numbers is cut into, of as equal numbers of samples as ties allow."""


class EvaluateConfig(Config):
    """What is measured, and how sure its intervals are."""

    split: Literal["test", "val"] = "test"
    """Split the model is measured on; `val` for choosing between variants, so that the test split stays unseen."""
    batch_size: int = Field(256, gt=0, le=65536)
    """Samples predicted at once; changes speed and memory, not the numbers."""
    resamples: int = Field(2000, ge=100, le=100_000)
    """Bootstrap resamples behind each interval."""
    confidence: float = Field(0.95, ge=0.5, lt=1)
    """Share of resamples an interval holds."""
    calibration_bins: int = Field(15, ge=2, le=1000)
    """Bins of equal width that the calibration error and the reliability diagram are made of."""
    slices: tuple[str, ...] = ()
    """Columns whose every value gets numbers of its own: any label, `group`, `partition`, or `image.size` and `image.ext` of a modality."""
    slicing: SlicingConfig = SlicingConfig()
    """What becomes of rare values and of numbers."""
    thresholds: dict[str, ThresholdConfig] = Field(default_factory=dict)
    """Classification head → what its answers must reach on val; below the threshold found there it gives none."""
    anomalies: dict[str, StrangeConfig] = Field(default_factory=dict, exclude_if=lambda given: not given)
    """Anomaly head → the label that says which samples are strange; without it the label of the head's name, where there is one."""
    latency_calls: int = Field(100, ge=50, le=100_000)
    """Timed calls with one sample each, behind the median and the 95th percentile."""

    @field_validator("slices")
    @classmethod
    def _each_once(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        twice = sorted({name for name in value if value.count(name) > 1})
        if twice:
            raise ValueError(f"{', '.join(map(repr, twice))} stands there more than once; name each column once")
        return value

    @model_validator(mode="after")
    def _thresholds_elsewhere(self) -> EvaluateConfig:
        if self.thresholds and self.split == "val":
            raise ValueError(
                "thresholds are chosen on val, and this step measures on val too, where they would look better than they are; "
                "use `split: test`, or leave `thresholds` out"
            )
        return self


_OF_KINDS = {"category": ("majority_accuracy", "calibration", "threshold"), "retrieval": ("directions",)}
_MORE = ("samples", "by_modalities", "best_single", "difference")
"""What every kind has beside its metrics; the first table, what some have."""
_COLUMNS = ("group", "partition")


def numbers(config: EvaluateConfig, inputs: Mapping[str, Any]) -> list[str]:  # noqa: ARG001 - the signature of every task's hook
    """Where the summary will have numbers, or numbers below: dotted paths. Empty when the planner does not know the model's heads."""
    heads: Mapping[str, Any] = getattr(getattr(inputs.get("model"), "model", None), "heads", {})
    measured = [path for name, head in heads.items() for path in _paths(f"heads.{name}", kind_of(head.kind))]
    return [*measured, "cost"] if measured else []


def _paths(head: str, kind: str) -> list[str]:
    if kind not in MEASURED:
        return [head]
    own = [measure.name for measure in MEASURED[kind].measures]
    more = (*_OF_KINDS.get(kind, ()), *_MORE, f"baseline_{own[0]}")
    return [f"{head}.{name}" for name in dict.fromkeys((*own, *more))]


def lint(config: EvaluateConfig, inputs: Mapping[str, Any]) -> list[str]:
    """A threshold needs a classification head of the model, a slice a column of the corpus, as far as the recipe tells what there is."""
    heads = getattr(getattr(inputs.get("model"), "model", None), "heads", None) or {}
    problems = []
    for name in config.thresholds if heads else ():
        if name not in heads:
            problems.append(
                f"thresholds: {name!r} is not a head of the model; its heads are: {', '.join(heads)}{closest(name, list(heads))}"
            )
        elif kind_of(heads[name].kind) in MEASURED and kind_of(heads[name].kind) != "category":
            problems.append(
                f"thresholds.{name}: this head {SAYS[kind_of(heads[name].kind)]}, and a threshold needs probabilities of which one is the "
                "answer; leave it out"
            )
    for name in config.anomalies if heads else ():
        if name not in heads or heads[name].kind != "anomaly":
            there = [each for each, head in heads.items() if head.kind == "anomaly"]
            problems.append(
                f"anomalies: {name!r} is not an anomaly head of the model; its anomaly heads are: {', '.join(there) or 'none'}"
                f"{closest(name, there)}"
            )
    columns = _columns(inputs)
    problems += [
        f"slices: the corpus will have no column {name!r}; it will have: {', '.join(columns)}{closest(name, columns)}"
        for name in config.slices
        if columns and name not in columns
    ]
    return problems


def _columns(inputs: Mapping[str, Any]) -> list[str]:
    """The columns that can be sliced by, where the source is one of ours and says its labels; empty when only the data can tell."""
    labels, prepare = promised_labels(getattr(inputs.get("corpus"), "source", None)), getattr(inputs.get("shards"), "prepare", None)
    if labels is None or prepare is None:
        return []
    return [*labels, *_COLUMNS, *(f"{modality}.{name}" for modality in prepare for name in ("size", "ext"))]


def estimate(config: EvaluateConfig, base_dir: Path, inputs: Mapping[str, Mapping[str, Any]]) -> dict[str, int]:  # noqa: ARG001
    """Records of the split it measures on, and of val when it chooses thresholds there."""
    return amount(inputs.get("shards", {}), [config.split, *(["val"] if config.thresholds else [])])


def evaluate(config: EvaluateConfig, inputs: Inputs, output_dir: Path, context: TaskContext) -> Summary:
    """Write report, predictions and page into `output_dir`.

    The summary holds per head its first metric (`accuracy`, `rmse`, …) with `interval`, `by_modalities`, `best_single`, and
    `baseline_accuracy` and `difference` when there is a baseline; `tasks/evaluation/classification.py`, `regression.py` and `scoring.py`
    list every key. Raises LabelError
    when the split's labels are not those the model was trained on, InputError when the split is empty, model and shards have no
    modality in common, or a column to slice by or a head with a threshold does not exist, Stopped when the run was asked to stop.
    """
    from tasks.evaluation.run import run

    return run(config, inputs, output_dir, context)
