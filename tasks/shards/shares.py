"""How large a part a shard set has in a mixture. Imports nothing heavy, so that a recipe is checked without it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TypeVar

from pydantic import Field, model_validator

from tasks.registry import Config

Given = TypeVar("Given")


class Share(Config):
    """One of the two: `weight` or `epochs`."""

    weight: float | None = Field(None, gt=0, le=1e9)
    """Part of each batch, beside the weights of the other sets; a set that runs out begins anew."""
    epochs: float | None = Field(None, gt=0, le=1e6)
    """How often an epoch of the mixture reads the set; 0.5 is half of it."""

    @model_validator(mode="after")
    def _one(self) -> Share:
        if (self.weight is None) == (self.epochs is None):
            raise ValueError("needs either `weight:`, its part of each batch, or `epochs:`, how often an epoch of the mixture reads it")
        return self


def listed(inputs: Mapping[str, Given], name: str) -> list[Given]:
    """What stands under `name`, or, for a list, under `name[0]`, `name[1]`, … in order."""
    return [given for key, given in inputs.items() if key == name or key.startswith(f"{name}[")]
