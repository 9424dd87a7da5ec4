"""Config of the policy that moves discriminators and the model in turn. Imports no torch, so that a recipe is checked without it."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from tasks.registry import Config


class AdversarialPolicyConfig(Config):
    """Discriminators of the model's objectives first, then all else, in turn as in arXiv:1406.2661; otherwise both move in one step."""

    kind: Literal["adversarial"] = "adversarial"
    discriminator_steps: int = Field(1, gt=0, le=100)
    """Steps of the discriminators, on the batch at hand, for each step of the model."""
