"""Configs of the objectives that make modalities or domains look alike. Imports no torch, so that a recipe is checked without it."""

from __future__ import annotations

from typing import ClassVar, Literal

from pydantic import Field

from tasks.models.objectives.config import ObjectiveConfig


class FoolingConfig(ObjectiveConfig):
    """What objectives with a discriminator have."""

    fools: ClassVar[bool] = True

    by: Literal["reversal", "confusion"] = "reversal"
    """What encoders climb: the discriminator's loss (arXiv:1505.07818), or minus its cross-entropy to knowing nothing (arXiv:1510.02192),
    whose gradient does not fade where the discriminator is sure."""
    hidden: int = Field(64, gt=0, le=16384)
    """Units of the discriminator's hidden layer."""
    factor: float = Field(1.0, gt=0, le=100)
    """λ: how strongly encoders climb what the discriminator descends, once it is risen. `weight` scales both of them."""
    rise: float | None = Field(10.0, gt=0, le=1000)
    """λ at the share p of the training is factor · (2 / (1 + exp(−rise · p)) − 1); none = `factor` from the first step."""


class AdversarialConfig(FoolingConfig):
    """A discriminator tells which modality a representation comes from, and the encoders learn to leave it in the dark."""

    kind: Literal["adversarial"] = "adversarial"
    by: Literal["reversal", "confusion"] = "confusion"
    """As in `domain_adversarial`; encoders of two media begin far apart, where a reversed gradient is faint."""
    between: tuple[str, ...] = Field((), max_length=16)
    """Modalities to make alike; none named = all that have an encoder."""


class DomainAdversarialConfig(FoolingConfig):
    """A discriminator tells which domain a sample comes from, and the model learns to leave it in the dark (DANN, arXiv:1505.07818)."""

    learns_from: ClassVar[Literal["label", "inputs", "nothing"]] = "label"

    kind: Literal["domain_adversarial"] = "domain_adversarial"
    domain: str
    """The label that says which domain a sample is of: a category. Samples without it count nothing."""

    @property
    def label(self) -> str:
        return self.domain


class DomainCoralConfig(ObjectiveConfig):
    """How far apart the covariances of the domains are (Deep CORAL, arXiv:1607.01719)."""

    learns_from: ClassVar[Literal["label", "inputs", "nothing"]] = "label"
    compares_samples: ClassVar[bool] = True

    kind: Literal["domain_coral"] = "domain_coral"
    domain: str
    """The label that says which domain a sample is of: a category. Samples without it count nothing."""

    @property
    def label(self) -> str:
        return self.domain
