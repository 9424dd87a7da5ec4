"""Configs of the heads that learn from labels with parts, from questions, and from nothing. Imports no torch."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping
from typing import Any, ClassVar, Literal, Self

from pydantic import Field, model_validator

from tasks.models.heads.config import DEFAULT_GAMMA, ClassesConfig, ClassWeights, HeadConfig, LabelHeadConfig, with_focal
from tasks.shards.label_texts import class_counts, classes_of


class PartsConfig(LabelHeadConfig):
    """What heads have whose label is a text with parts: its classes are found in the texts of the split 'train'."""

    def described(self, info: Mapping[str, Any]) -> dict[str, Any]:
        if info["kind"] != "category":
            return dict(info)
        found = {**{name: value for name, value in info.items() if name not in ("values", "classes", "counts")}, **self.parts()}
        if "counts" in info:
            found |= {"counts": class_counts(info["counts"], found), "samples": sum(info["counts"].values())}
        return {**found, "classes": classes_of(info.get("classes", ()), found)}

    @abstractmethod
    def parts(self) -> dict[str, Any]:
        """`kind`, one of `tasks.shards.label_texts.PARTS`, and what taking a text apart needs beside it."""


class MultiLabelConfig(PartsConfig):
    """Any number of the label's classes; binary cross-entropy of each, and their mean over the classes."""

    measures: ClassVar[tuple[str, ...]] = ("loss", "f1", "exact")
    linear_in_mean: ClassVar[bool] = True

    kind: Literal["multi_label"] = "multi_label"
    separator: str = Field(";", min_length=1, max_length=8)
    """What stands between the classes in the label's text."""
    label_smoothing: float = Field(0.0, ge=0, lt=1)
    """Share of each target that goes to one half."""
    class_weights: dict[str, float] = Field(default_factory=dict)
    """Class → factor of its term in the mean over classes; classes that are not named have 1."""
    positive_weights: ClassWeights = Field(default_factory=dict)
    """Class → factor of the samples that have it, in its term; 1 for what is not named. `balanced`: those without it over those with it,
    counted in the split 'train'."""
    loss: Literal["cross_entropy", "focal"] = "cross_entropy"
    """Cross-entropy, or the focal loss, which counts answers less that the model is sure of (arXiv:1708.02002)."""
    gamma: float = Field(DEFAULT_GAMMA, ge=0, le=20)
    """Of the focal loss: the power of the probability that is missing; 0 is cross-entropy."""

    @model_validator(mode="after")
    def _weights_and_gamma(self) -> Self:
        if any(weight < 0 for weight in self.class_weights.values()):
            raise ValueError("`class_weights` has a factor below 0; a factor is 0 or more")
        return with_focal(self, self.loss, self.gamma)

    @property
    def counts_classes(self) -> bool:
        return self.positive_weights == "balanced"

    def parts(self) -> dict[str, Any]:
        return {"kind": "set", "separator": self.separator}


class TaggingConfig(PartsConfig):
    """One of the label's classes for each token of a modality; cross-entropy, averaged over the tokens of a sample."""

    measures: ClassVar[tuple[str, ...]] = ("loss", "accuracy", "matched")

    kind: Literal["tagging"] = "tagging"
    of: str
    """The modality whose tokens are tagged; it has an encoder."""
    align: Literal["token", "stretch"] = "token"
    """`token`: the first tag is of the first token, and so on. `stretch`: the tags divide the tokens evenly."""
    label_smoothing: float = Field(0.0, ge=0, lt=1)
    """Share of the target spread evenly over all classes."""

    def parts(self) -> dict[str, Any]:
        return {"kind": "tags"}


class LocalisationConfig(PartsConfig):
    """Class, start and end of what happens in a recording, from its tokens: each says what it lies in and how far both ends are."""

    measures: ClassVar[tuple[str, ...]] = ("loss", "f1")

    kind: Literal["localisation"] = "localisation"
    of: str
    """The modality whose tokens are looked at; it has an encoder."""
    token_s: float | None = Field(None, gt=0)
    """Seconds of a token, with labels in seconds; none = labels in shares of the recording, 0 to 1."""
    layers: int = Field(2, ge=0, le=16)
    """Convolutions over three tokens, before the scores and before the distances."""
    boundary: Literal["iou", "l1"] = "iou"
    """Loss of the two ends: 1 − DIoU, or their distances in lengths of the span."""
    boundary_weight: float = Field(1.0, gt=0)
    """Its factor beside the focal loss of the scores."""
    alpha: float = Field(0.25, gt=0, lt=1)
    """Of the focal loss: what a token in a span counts, and 1 − α one outside."""
    gamma: float = Field(DEFAULT_GAMMA, ge=0, le=20)
    """Of the focal loss: the power of the probability that is missing."""
    score_threshold: float = Field(0.5, ge=0, lt=1)
    """Least score of a span that is given; average precision also ranks those below."""
    overlap: float = Field(0.3, ge=0, le=1)
    """Most intersection over union of two spans of a class that are both given; of those beyond, the one with the higher score is."""
    max_spans: int = Field(20, gt=0, le=1000)
    """Most spans given of a sample."""

    def parts(self) -> dict[str, Any]:
        return {"kind": "spans", "token_s": self.token_s}


class AnomalyConfig(HeadConfig):
    """How strange a sample is among those of training, from what the other heads and objectives made of it."""

    learns_from: ClassVar[Literal["label", "modality", "nothing"]] = "nothing"
    measures: ClassVar[tuple[str, ...]] = ("loss", "score")

    kind: Literal["anomaly"] = "anomaly"
    min_deviation: float = Field(0.05, gt=0, lt=1)
    """Least deviation of the normed features in any direction; smaller ones are taken for this."""


class QuestionAnsweringConfig(ClassesConfig):
    """One of the label's classes as the answer: the tokens of the question look at those of the other modalities."""

    kind: Literal["question_answering"] = "question_answering"
    question: str = "text"
    """The modality that asks; it has an encoder, and so has another."""
    num_heads: int = Field(4, gt=0, le=64)
    """Heads of the attention; divides the model's width."""
    layers: int = Field(1, gt=0, le=16)
    """Times that the question looks."""
    dropout: float = Field(0.1, ge=0, lt=1)
    """Share of features zeroed in training."""
