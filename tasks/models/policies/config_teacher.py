"""Configs of the policies that learn from a teacher. Imports no torch."""

from __future__ import annotations

from typing import ClassVar, Literal

from pydantic import Field

from tasks.registry import Config

COMPARED = ("classification", "regression")
"""Kinds of heads that can be compared with the teacher's."""


class DistillationConfig(Config):
    """Down the model's own losses and the distance from what a teacher says (arXiv:1503.02531). The teacher is the input `teacher`."""

    needs_teacher: ClassVar[bool] = True

    kind: Literal["distillation"] = "distillation"
    alpha: float = Field(0.5, ge=0, le=1)
    """Weight of the distances; the model's own losses have the rest."""
    temperature: float = Field(2.0, gt=0, le=100)
    """Divides logits before they are compared; the distance is multiplied by its square, so that gradients keep their size."""
    heads: tuple[str, ...] = Field((), exclude_if=lambda given: not given)
    """Heads that learn from the teacher's of the same name; none = all that both have and that can be compared."""
    features: float = Field(0.0, ge=0, le=1e6, exclude_if=lambda given: not given)
    """Weight, beside the heads' distances, of that between the fused tokens' means, through a learned projection (arXiv:1412.6550)."""
