"""Heads: what the model made of a batch to one answer.

An entry is built as `Class(config, name, label, width)`; `tasks.models.contracts.Head` says what it can do.
"""

from tasks.models.heads.config import ClassificationConfig, RegressionConfig
from tasks.models.heads.config_labels import (
    AnomalyConfig,
    LocalisationConfig,
    MultiLabelConfig,
    QuestionAnsweringConfig,
    TaggingConfig,
)
from tasks.models.heads.config_retrieval import RetrievalConfig
from tasks.models.heads.config_sequences import CaptioningConfig, CtcConfig
from tasks.registry import Entry

HEADS: dict[str, Entry] = {
    "classification": Entry(ClassificationConfig, "tasks.models.heads.classification:Classification"),
    "multi_label": Entry(MultiLabelConfig, "tasks.models.heads.multi_label:MultiLabel"),
    "regression": Entry(RegressionConfig, "tasks.models.heads.regression:Regression"),
    "tagging": Entry(TaggingConfig, "tasks.models.heads.tagging:Tagging"),
    "localisation": Entry(LocalisationConfig, "tasks.models.heads.localisation:Localisation"),
    "question_answering": Entry(QuestionAnsweringConfig, "tasks.models.heads.question_answering:QuestionAnswering"),
    "retrieval": Entry(RetrievalConfig, "tasks.models.heads.retrieval:Retrieval"),
    "anomaly": Entry(AnomalyConfig, "tasks.models.heads.anomaly:Anomaly"),
    "ctc": Entry(CtcConfig, "tasks.models.heads.ctc:Ctc"),
    "captioning": Entry(CaptioningConfig, "tasks.models.heads.captioning:Captioning"),
}
