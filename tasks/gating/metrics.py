"""The metrics that a gate can decide by, and whether a head has one. Light, since planning reads it."""

from __future__ import annotations

from typing import Literal

from tasks.evaluation.measures import MEASURED, SAYS, Measure
from tasks.registry import closest

Metric = Literal[
    "accuracy",
    "rmse",
    "mae",
    "f1_micro",
    "precision_micro",
    "recall_micro",
    "exact_match",
    "token_accuracy",
    "f1_at_50",
    "precision_at_50",
    "recall_at_50",
    "auroc",
    "character_error_rate",
    "word_error_rate",
    "bleu",
    "recall_at_1",
    "recall_at_5",
    "recall_at_10",
    "reciprocal_rank",
]
"""Those of `tasks.evaluation.measures` that the gate can decide by."""
LOWER_IS_BETTER = frozenset(each.name for kind in MEASURED.values() for each in kind.measures if not each.higher)


def measure_of(kind: str, metric: str) -> Measure:
    """Of a kind that has it."""
    return next(each for each in MEASURED[kind].measures if each.name == metric)


def wrong_metric(head: str, metric: str, kind: str) -> str:
    """What is wrong with the gate's metric for a head of this kind in a report; empty = nothing."""
    category = kind == "category"
    own = [each.name for each in MEASURED[kind].measures if each.gated]
    if metric in own:
        return ""
    if kind == "number" and metric == "accuracy":
        return f"gate.head {head!r} predicts a number, and the metric accuracy needs a classification head; use metric: rmse or mae"
    if category and metric in ("rmse", "mae"):
        return f"gate.head {head!r} predicts a category, and the metric {metric} needs a regression head; use accuracy"
    return (
        f"gate.head {head!r} {SAYS[kind]}, and has no metric {metric}; those that a gate can decide by: {', '.join(own)}"
        f"{closest(metric, own)}"
    )
