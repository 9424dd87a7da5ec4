"""Heads: what the model made of a batch to one answer.

An entry is built as `Class(config, name, label, width)`; `tasks.models.contracts.Head` says what it can do.
"""

from tasks.models.heads.config import ClassificationConfig, RegressionConfig
from tasks.registry import Entry

HEADS: dict[str, Entry] = {
    "classification": Entry(ClassificationConfig, "tasks.models.heads.classification:Classification"),
    "regression": Entry(RegressionConfig, "tasks.models.heads.regression:Regression"),
}
