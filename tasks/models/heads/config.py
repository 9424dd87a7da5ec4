"""Configs of the heads. Imports no torch, so that a recipe is checked without it."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from tasks.registry import Config


class ClassificationConfig(Config):
    """One of the label's classes; cross-entropy."""

    kind: Literal["classification"] = "classification"
    weight: float = Field(1.0, gt=0)
    """Factor of this head's loss in the sum of losses."""
    label_smoothing: float = Field(0.0, ge=0, lt=1)
    """Share of the target spread evenly over all classes."""
    class_weights: dict[str, Annotated[float, Field(ge=0)]] = Field(default_factory=dict)
    """Class → factor of its samples in the loss; classes that are not named have 1."""


class RegressionConfig(Config):
    """A number; trained on the label standardised by the training split's mean and deviation."""

    kind: Literal["regression"] = "regression"
    weight: float = Field(1.0, gt=0)
    """Factor of this head's loss in the sum of losses."""
    loss: Literal["squared", "huber"] = "squared"
    """Squared error, or Huber's, which grows linearly beyond one standard deviation."""
