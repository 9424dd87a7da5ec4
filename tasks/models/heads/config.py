"""Configs of the heads. Imports no torch, so that a recipe is checked without it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, ClassVar, Literal

from pydantic import Field

from tasks.registry import Config


class HeadConfig(Config):
    """What all heads have."""

    learns_from: ClassVar[Literal["label", "modality", "nothing"]] = "label"
    measures: ClassVar[tuple[str, ...]] = ("loss",)
    """What a validation measures of the head."""
    of_classes: ClassVar[bool] = False
    """Whether it learns the number of one class (-1 = none) and predicts a probability for each."""

    weight: float = Field(1.0, gt=0)
    """Factor of this head's loss in the sum of losses."""


class LabelHeadConfig(HeadConfig):
    """A head that learns from a label."""

    label: str | None = Field(None, exclude_if=lambda given: given is None)
    """The label it learns from; none = the one of the head's name."""

    def described(self, info: Mapping[str, Any]) -> dict[str, Any]:
        """The label as the head takes it, from its entry of shards.json; `kind` is one of `tasks.shards.label_arrays.KINDS`."""
        return dict(info)


class ClassificationConfig(LabelHeadConfig):
    """One of the label's classes; cross-entropy."""

    measures: ClassVar[tuple[str, ...]] = ("loss", "accuracy")
    of_classes: ClassVar[bool] = True

    kind: Literal["classification"] = "classification"
    label_smoothing: float = Field(0.0, ge=0, lt=1)
    """Share of the target spread evenly over all classes."""
    class_weights: dict[str, Annotated[float, Field(ge=0)]] = Field(default_factory=dict)
    """Class → factor of its samples in the loss; classes that are not named have 1."""


class RegressionConfig(LabelHeadConfig):
    """A number; trained on the label standardised by the training split's mean and deviation."""

    measures: ClassVar[tuple[str, ...]] = ("loss", "mae", "mse")

    kind: Literal["regression"] = "regression"
    loss: Literal["squared", "huber"] = "squared"
    """Squared error, or Huber's, which grows linearly beyond one standard deviation."""
