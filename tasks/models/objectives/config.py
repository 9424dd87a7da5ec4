"""Configs of the objectives. Imports no torch, so that a recipe is checked without it."""

from __future__ import annotations

from typing import Annotated, Any, ClassVar, Literal

from pydantic import Field

from tasks.models.alignments import ALIGNMENTS
from tasks.models.alignments.config import ContrastiveConfig
from tasks.registry import Config, KindOf


class ObjectiveConfig(Config):
    """What all objectives have."""

    learns_from: ClassVar[Literal["label", "inputs", "nothing"]] = "nothing"
    """What it needs beside what the model computed: the label `label`, or the readers' shapes."""
    compares_samples: ClassVar[bool] = False
    """Whether the loss of a batch is more than the sum over its samples; an objective with a `loss` leaves that to say to it."""
    fools: ClassVar[bool] = False
    """Whether encoders climb what a discriminator descends: a lower value is then no better, and no epoch is chosen by it."""

    weight: float = Field(1.0, gt=0)
    """Factor of this loss in the sum of losses."""


class AlignmentConfig(ObjectiveConfig):
    """Brings the modalities of a sample together in a space of their own: one projection each, and a loss on every pair."""

    kind: Literal["alignment"] = "alignment"
    between: tuple[str, ...] = Field((), max_length=16)
    """Modalities to align; none named = all that have an encoder."""
    projection: Literal["linear", "mlp"] = "linear"
    """A matrix, or two with a GELU between."""
    dim: int = Field(64, gt=0, le=16384)
    """Numbers of an embedding."""
    loss: Annotated[Any, KindOf(ALIGNMENTS)] = ContrastiveConfig()
    """How far apart two modalities are."""
