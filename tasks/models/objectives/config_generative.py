"""Config of the objective that generates modalities. Imports no torch, so that a recipe is checked without it."""

from __future__ import annotations

from typing import ClassVar, Literal

from pydantic import Field

from tasks.models.objectives.config import ObjectiveConfig


class MultimodalVaeConfig(ObjectiveConfig):
    """A variational autoencoder with one latent for all modalities, their posteriors multiplied (MVAE, arXiv:1802.05335)."""

    learns_from: ClassVar[Literal["label", "inputs", "nothing"]] = "inputs"

    kind: Literal["multimodal_vae"] = "multimodal_vae"
    between: tuple[str, ...] = Field((), max_length=16)
    """Modalities that share the latent; none named = all that have an encoder."""
    dim: int = Field(32, gt=0, le=4096)
    """Numbers of the latent."""
    hidden: int = Field(128, gt=0, le=16384)
    """Units of the hidden layer of each decoder."""
    cells: int = Field(8, gt=0, le=64)
    """A decoder says the input itself, averaged over cells: so many each way of a picture, so many in time of a sound or sensor."""
    beta: float = Field(1.0, gt=0, le=100)
    """Factor of the divergence from the prior; 1 = the evidence lower bound."""
    warmup: float = Field(0.0, ge=0, lt=1)
    """Share of the training over which `beta` rises from zero."""
    subsets: Literal["all", "all_and_each", "all_each_and_random"] = "all_and_each"
    """Bounds that are averaged: of all modalities of a sample, also of each alone, also of a random set of them, as in the paper."""
