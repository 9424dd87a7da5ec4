"""Which metrics each kind of head has, which one decides, and what is better: one table.

Read by the evaluation, its page, the model card, the registry and the gate, and when a recipe is checked, so it imports nothing heavy. How
a metric is computed stands in `tasks.evaluation.scorers`; a metric with `above` and `below` is the ratio of two sums over samples, whose
columns the scorer names.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Measure:
    """One metric."""

    name: str
    """In reports and gates."""
    words: str
    """For a person."""
    above: str = ""
    below: str = ""
    """Columns whose sums' ratio it is; empty where it is another function of the samples."""
    higher: bool = True
    """Whether more is better."""
    is_share: bool = True
    """Between 0 and 1, or nearly, so that it is written as a percentage and differences as points."""
    hub: str = ""
    """What model hubs call it; empty = its name."""
    gated: bool = True
    """Whether the gate can decide by it: a sample's part in it is known."""
    brief: str = ""
    """For a page; empty = its words."""

    @property
    def short(self) -> str:
        return self.brief or self.words


@dataclass(frozen=True)
class Measured:
    """What is measured of a kind of head."""

    measures: tuple[Measure, ...]
    """The first decides: it is compared between subsets of modalities, in slices and with a baseline."""
    scorer: str = ""
    """`module:Class`; empty for the two kinds with reports of their own, `category` and `number`."""

    by_sample: str = ""
    """The metric by which single samples are told good from bad; empty = the first."""

    @property
    def primary(self) -> Measure:
        return self.measures[0]

    @property
    def of_sample(self) -> Measure:
        return next((each for each in self.measures if each.name == self.by_sample), self.primary)


_SCORERS = "tasks.evaluation.scorers"
_EXACT = Measure("exact_match", "exact match", "exact", "samples", hub="exact_match")
_TEXTS = (
    Measure("character_error_rate", "character error rate", "character_edits", "characters", higher=False, hub="cer"),
    Measure("word_error_rate", "word error rate", "word_edits", "words", higher=False, hub="wer"),
    _EXACT,
)

MEASURED: dict[str, Measured] = {
    "category": Measured(
        (
            Measure("accuracy", "accuracy", "right", "samples"),
            Measure("f1_macro", "macro F1", hub="f1", gated=False),
            Measure("precision_macro", "macro precision", hub="precision", gated=False),
            Measure("recall_macro", "macro recall", hub="recall", gated=False),
        )
    ),
    "number": Measured(
        (
            Measure("rmse", "root mean squared error", higher=False, is_share=False, brief="RMSE"),
            Measure("mae", "mean absolute error", higher=False, is_share=False, brief="MAE"),
            Measure("r2", "R²", is_share=False, hub="r_squared", gated=False),
        )
    ),
    "multi_label": Measured(
        (
            Measure("f1_micro", "micro F1", hub="f1"),
            Measure("f1_macro", "macro F1", hub="f1", gated=False),
            Measure("precision_micro", "micro precision", "hits", "predicted", hub="precision"),
            Measure("recall_micro", "micro recall", "hits", "true", hub="recall"),
            _EXACT,
            Measure("average_precision", "average precision, mean over classes", gated=False),
            Measure("auroc", "area under ROC, mean over classes", hub="roc_auc", gated=False),
        ),
        f"{_SCORERS}.multi_label:MultiLabel",
    ),
    "tagging": Measured(
        (
            Measure("token_accuracy", "token accuracy", "right", "tokens", hub="accuracy"),
            Measure("f1_macro", "macro F1 of tokens", hub="f1", gated=False),
            _EXACT,
        ),
        f"{_SCORERS}.tagging:Tagging",
    ),
    "localisation": Measured(
        (
            Measure("f1_at_50", "F1 at IoU 0.5", hub="f1"),
            Measure("precision_at_50", "precision at IoU 0.5", "found", "predicted", hub="precision"),
            Measure("recall_at_50", "recall at IoU 0.5", "found", "true", hub="recall"),
            Measure("map_at_50", "mean average precision at IoU 0.5", gated=False),
        ),
        f"{_SCORERS}.localisation:Localisation",
    ),
    "anomaly": Measured(
        (
            Measure("auroc", "area under ROC", hub="roc_auc"),
            Measure("average_precision", "average precision", gated=False),
        ),
        f"{_SCORERS}.anomaly:Anomaly",
    ),
    "ctc": Measured(_TEXTS, f"{_SCORERS}.texts:Texts"),
    "captioning": Measured((Measure("bleu", "BLEU"), *_TEXTS), f"{_SCORERS}.texts:Texts", by_sample="character_error_rate"),
    "retrieval": Measured(
        (
            Measure("recall_at_1", "R@1", "found_1", "queries"),
            Measure("recall_at_5", "R@5", "found_5", "queries"),
            Measure("recall_at_10", "R@10", "found_10", "queries"),
            Measure("reciprocal_rank", "mean reciprocal rank", "reciprocal", "queries", hub="mrr"),
        ),
        f"{_SCORERS}.retrieval:Retrieval",
    ),
}
"""Kind in a report → what is measured."""

SAYS = {
    "category": "says a class",
    "number": "predicts a number",
    "multi_label": "says any number of classes",
    "tagging": "says a class for each token",
    "localisation": "says where something is",
    "anomaly": "says how strange a sample is",
    "ctc": "says a text",
    "captioning": "says a text",
    "retrieval": "embeds",
}
"""Kind → what such a head does, for messages."""

_OF_LABELS = {"classification": "category", "question_answering": "category", "regression": "number"}
"""Heads whose report is called by what their label is."""

UNMEASURED = "other"
"""Kind in a report of a head that none of these metrics is for: one of the user's own."""


def kind_of(head_kind: str) -> str:
    """The kind in a report of a head's `kind`; `other` for one of the user's own."""
    found = _OF_LABELS.get(head_kind, head_kind)
    return found if found in MEASURED else UNMEASURED


def measured_of(head: Mapping[str, Any]) -> Measured | None:
    """What stands in a head's part of a report; None when nothing of it was measured but perhaps its loss."""
    return MEASURED.get(head["kind"])


def primary_of(head: Mapping[str, Any]) -> Measure:
    """The metric that decides, of a head's part of a report that has one."""
    return MEASURED[head["kind"]].primary


def all_names(*, gated: bool = False) -> list[str]:
    """Names of metrics, each once; `gated` = only those that the gate can decide by."""
    return list(dict.fromkeys(each.name for kind in MEASURED.values() for each in kind.measures if each.gated or not gated))
