"""Configs of the alignments. Imports no torch, so that a recipe is checked without it."""

from __future__ import annotations

from typing import ClassVar, Literal

from pydantic import Field

from tasks.registry import Config


class PairLossConfig(Config):
    """What all alignments have."""

    compares_samples: ClassVar[bool] = True
    """Whether the loss of a batch is more than the sum over its samples, so that it cannot be computed in parts."""


class ContrastiveConfig(PairLossConfig):
    """InfoNCE both ways with a learned temperature, as in CLIP (arXiv:2103.00020)."""

    kind: Literal["contrastive"] = "contrastive"
    temperature: float = Field(0.07, gt=0, le=10)
    """What similarities are divided by at the start."""
    max_scale: float = Field(100.0, ge=1)
    """Largest factor of similarities, one over the temperature, that learning may reach."""
