"""Config of the objective that tells true pairs from mixed-up ones. Imports no torch, so that a recipe is checked without it."""

from __future__ import annotations

from typing import ClassVar, Literal

from pydantic import Field

from tasks.models.objectives.config import ObjectiveConfig


class MatchingConfig(ObjectiveConfig):
    """Do two modalities belong to one sample: yes for its own, no for those of two samples (image-text matching of arXiv:2107.07651)."""

    compares_samples: ClassVar[bool] = True

    kind: Literal["matching"] = "matching"
    between: tuple[str, ...] = Field((), max_length=16)
    """Modalities to match; none named = all that have an encoder."""
    projection: Literal["linear", "mlp"] = "linear"
    """What makes an embedding of a modality: a matrix, or two with a GELU between."""
    dim: int = Field(64, gt=0, le=16384)
    """Numbers of an embedding."""
    negatives: Literal["shuffled", "hard"] = "shuffled"
    """Partners of another sample: each sample of the batch is the partner of exactly one other, or the likelier the more alike they are."""
    temperature: float = Field(0.1, gt=0, le=10)
    """With `negatives: hard`, what cosines are divided by: lower draws the most alike more often."""
