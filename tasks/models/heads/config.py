"""Configs of the heads. Imports no torch, so that a recipe is checked without it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, ClassVar, Literal, Self, TypeVar

from pydantic import Field, model_validator

from tasks.registry import Config

DEFAULT_GAMMA = 2.0
"""Of the focal loss; the paper's best."""
ClassWeights = dict[str, Annotated[float, Field(ge=0)]] | Literal["balanced"]
Given = TypeVar("Given")


class HeadConfig(Config):
    """What all heads have."""

    learns_from: ClassVar[Literal["label", "modality", "nothing"]] = "label"
    measures: ClassVar[tuple[str, ...]] = ("loss",)
    """What a validation measures of the head."""
    of_classes: ClassVar[bool] = False
    """Whether it learns the number of one class (-1 = none) and predicts a probability for each."""
    linear_in_mean: ClassVar[bool] = False
    """Whether it is one matrix on the mean of the fused tokens, which is what fusion `voting` counts on."""

    weight: float = Field(1.0, gt=0)
    """Factor of this head's loss in the sum of losses."""


class LabelHeadConfig(HeadConfig):
    """A head that learns from a label."""

    label: str | None = Field(None, exclude_if=lambda given: given is None)
    """The label it learns from; none = the one of the head's name."""

    @property
    def counts_classes(self) -> bool:
        """Whether it needs `counts` in the label's entry: value → samples of the split 'train'."""
        return False

    def described(self, info: Mapping[str, Any]) -> dict[str, Any]:
        """The label as the head takes it, from its entry of shards.json; `kind` is one of `tasks.shards.label_arrays.KINDS`."""
        return dict(info)


class ClassesConfig(LabelHeadConfig):
    """What heads have that say one of the label's classes."""

    measures: ClassVar[tuple[str, ...]] = ("loss", "accuracy")
    of_classes: ClassVar[bool] = True

    label_smoothing: float = Field(0.0, ge=0, lt=1)
    """Share of the target spread evenly over all classes."""
    class_weights: ClassWeights = Field(default_factory=dict)
    """Class → factor of its samples in the loss; classes that are not named have 1. `balanced`: N / (K · samples of the class), counted in
    the split 'train'."""
    loss: Literal["cross_entropy", "focal"] = Field("cross_entropy", exclude_if=lambda given: given == "cross_entropy")
    """Cross-entropy, or the focal loss, which counts samples less that the model is sure of (arXiv:1708.02002)."""
    gamma: float = Field(DEFAULT_GAMMA, ge=0, le=20, exclude_if=lambda given: given == DEFAULT_GAMMA)
    """Of the focal loss: the power of the probability that is missing; 0 is cross-entropy."""

    @model_validator(mode="after")
    def _gamma_of_focal(self) -> Self:
        return with_focal(self, self.loss, self.gamma)

    @property
    def counts_classes(self) -> bool:
        return self.class_weights == "balanced"


class ClassificationConfig(ClassesConfig):
    """One of the label's classes; cross-entropy."""

    linear_in_mean: ClassVar[bool] = True

    kind: Literal["classification"] = "classification"


class RegressionConfig(LabelHeadConfig):
    """A number; trained on the label standardised by the training split's mean and deviation."""

    measures: ClassVar[tuple[str, ...]] = ("loss", "mae", "mse")
    linear_in_mean: ClassVar[bool] = True

    kind: Literal["regression"] = "regression"
    loss: Literal["squared", "huber"] = "squared"
    """Squared error, or Huber's, which grows linearly beyond one standard deviation."""


def with_focal(given: Given, loss: str, gamma: float) -> Given:
    """The config, when `gamma` stands only where it is used."""
    if loss != "focal" and gamma != DEFAULT_GAMMA:
        raise ValueError(f"`gamma` ({gamma:g}) is of the focal loss, and `loss` is {loss}; set `loss: focal`, or leave `gamma` out")
    return given
