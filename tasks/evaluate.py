"""Step `evaluate`: a model's numbers on one split, with intervals, for every subset of its modalities, beside a baseline on the same rows.

In: `model`, `shards`, and optionally `baseline`: another step's model, `models:/NAME@ALIAS` or `models:/NAME/VERSION`. Out: a report with
`report.json`, `predictions.parquet` and `report.html`. Everything heavy is imported when the step runs, so that planning stays fast.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

from pydantic import Field

from tasks.contracts import Inputs, Summary, TaskContext
from tasks.registry import Config
from tasks.shards.amounts import amount


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


_NUMBERS = {
    "classification": ("accuracy", "precision_macro", "recall_macro", "f1_macro", "majority_accuracy"),
    "regression": ("rmse", "mae", "r2"),
}
_MORE = ("samples", "by_modalities", "best_single", "difference", "baseline_accuracy", "baseline_rmse")


def numbers(config: EvaluateConfig, inputs: Mapping[str, Any]) -> list[str]:  # noqa: ARG001 - the signature of every task's hook
    """Where the summary will have numbers, or numbers below: dotted paths. Empty when the planner does not know the model's heads."""
    heads: Mapping[str, Any] = getattr(getattr(inputs.get("model"), "model", None), "heads", {})
    known = {name: _NUMBERS.get(head.kind) for name, head in heads.items()}
    return [
        path for name, own in known.items() for path in ([f"heads.{name}.{key}" for key in (*own, *_MORE)] if own else [f"heads.{name}"])
    ]


def estimate(config: EvaluateConfig, base_dir: Path, inputs: Mapping[str, Mapping[str, Any]]) -> dict[str, int]:  # noqa: ARG001
    """Records of the split it measures on."""
    return amount(inputs.get("shards", {}), [config.split])


def evaluate(config: EvaluateConfig, inputs: Inputs, output_dir: Path, context: TaskContext) -> Summary:
    """Write report, predictions and page into `output_dir`.

    The summary holds per head `accuracy` and `interval` (regression: `rmse`), `by_modalities`, `best_single`, and `baseline_accuracy` and
    `difference` when there is a baseline; `tasks/evaluation/classification.py` and `regression.py` list every key. Raises LabelError
    when the split's labels are not those the model was trained on, InputError when the split is empty or model and shards have no
    modality in common, Stopped when the run was asked to stop.
    """
    from tasks.evaluation.run import run

    return run(config, inputs, output_dir, context)
