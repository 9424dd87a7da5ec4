"""Config of the head that embeds. Imports no torch, so that a recipe is checked without it."""

from __future__ import annotations

import itertools
from typing import Annotated, Any, ClassVar, Literal

from pydantic import Field, field_validator

from tasks.models.alignments import ALIGNMENTS
from tasks.models.alignments.config import ContrastiveConfig
from tasks.models.heads.config import HeadConfig
from tasks.registry import KindOf


class RetrievalConfig(HeadConfig):
    """An embedding of each modality, near for those of one sample: to find one by another."""

    learns_from: ClassVar[Literal["label", "modality", "nothing"]] = "nothing"

    kind: Literal["retrieval"] = "retrieval"
    between: tuple[str, ...] = Field(min_length=2, max_length=16)
    """Modalities to find each other: two or more."""
    projection: Literal["linear", "mlp"] = "linear"
    """What makes an embedding of a modality's tokens: a matrix, or two with a GELU between."""
    dim: int = Field(64, gt=0, le=16384)
    """Numbers of an embedding."""
    loss: Annotated[Any, KindOf(ALIGNMENTS)] = ContrastiveConfig()
    """What brings the modalities of a sample together, on every pair of them."""

    @field_validator("between")
    @classmethod
    def _each_once(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        twice = sorted({name for name in value if value.count(name) > 1})
        if twice:
            raise ValueError(f"{', '.join(map(repr, twice))} stands there more than once; name each modality once")
        return value

    @property
    def modalities(self) -> tuple[str, ...]:
        """In the order of the embeddings: sorted."""
        return tuple(sorted(self.between))

    @property
    def measures(self) -> tuple[str, ...]:  # type: ignore[override]
        """R@1 of each direction among the samples of a batch: easier than among all of a split, and comparable within one training only."""
        return ("loss", *(in_batch(query, found) for query, found in itertools.permutations(self.modalities, 2)))


def in_batch(query: str, found: str) -> str:
    """The name of a metric."""
    return f"{query}_to_{found}_r1_in_batch"
