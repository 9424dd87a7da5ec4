"""Configs of the policies for few labels: samples without one, and few samples of a new task. Imports no torch."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import Field, field_validator

from tasks.models.targets import of_classes
from tasks.registry import Config
from tasks.shards.settings import OfModalities

STRONG = "strong"
"""The view of `tasks.contracts.Batch` that pseudo-labels are learned from."""


class PseudoLabelsConfig(Config):
    """A sample without its label learns the one that the model gives it with confidence (FixMatch, arXiv:2001.07685)."""

    kind: Literal["pseudo_labels"] = "pseudo_labels"
    strong: Annotated[dict[str, Any], OfModalities("augment")]
    """Modality → how the view that learns is varied; the one that gives the label is read as `augment` says."""
    heads: tuple[str, ...] = ()
    """Heads that learn so; none named = all that choose a class."""
    threshold: float = Field(0.95, gt=0, lt=1)
    """The probability that a guess must have to be learned."""
    weight: float = Field(1.0, gt=0)
    """Factor of this loss in the sum of losses."""
    warmup: float = Field(0.0, ge=0, le=1)
    """Share of all steps over which that factor rises from zero."""

    @field_validator("strong")
    @classmethod
    def _varies(cls, value: dict[str, Any]) -> dict[str, Any]:
        if not value:
            raise ValueError("names no modality, so both views of a sample would be the same; {image: {crop: [0.5, 1]}} is an example")
        return value

    def unlabelled(self, heads: Mapping[str, Any]) -> list[str]:
        """The heads that learn so: some sample must lack the label of one of them."""
        return list(self.heads) or of_classes(heads)

    @property
    def views(self) -> Mapping[str, Mapping[str, Config]]:
        """View → modality → how the loader varies it."""
        return {STRONG: self.strong}


class ReptileConfig(Config):
    """Weights from which a few steps lead to any of several tasks (Reptile, arXiv:1803.02999)."""

    kind: Literal["reptile"] = "reptile"
    tasks: str
    """The label whose categories are the tasks: a speaker, say. It need not be one that a head learns."""
    inner: Literal["adam", "sgd"] = "adam"
    """How a task's own steps go: Adam without momentum as in the paper, begun anew for each task of a batch; or plain."""
    inner_steps: int = Field(5, gt=0, le=1000)
    """Steps on one task's samples of a batch, each on another part of them. With 1 it's the same as learning all tasks together."""
    inner_rate: float = Field(1e-3, gt=0, le=10)
    """Learning rate of these steps."""
    outer_rate: float = Field(1.0, gt=0, le=1)
    """How far the weights then go towards the mean of where the tasks led; falls to zero over the training."""

    @property
    def looks_at(self) -> tuple[str, ...]:
        """Labels that batches must have beside those of heads."""
        return (self.tasks,)
