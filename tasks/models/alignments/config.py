"""Configs of the alignments. Imports no torch, so that a recipe is checked without it."""

from __future__ import annotations

from typing import Annotated, ClassVar, Literal

from pydantic import Field

from tasks.registry import Config


class PairLossConfig(Config):
    """What all alignments have."""

    compares_samples: ClassVar[bool] = True
    """Whether the loss of a batch is more than the sum over its samples, so that it cannot be computed in parts."""

    @property
    def may_be_negative(self) -> bool:
        """Whether it goes below zero, which losses with learned weights must not."""
        return False


class ContrastiveConfig(PairLossConfig):
    """InfoNCE both ways with a learned temperature, as in CLIP (arXiv:2103.00020)."""

    kind: Literal["contrastive"] = "contrastive"
    temperature: float = Field(0.07, gt=0, le=10)
    """What similarities are divided by at the start."""
    max_scale: float = Field(100.0, ge=1)
    """Largest factor of similarities, one over the temperature, that learning may reach."""


class SiglipConfig(PairLossConfig):
    """Each pair of the batch is a question of its own, same sample or not: a sigmoid with learned scale and bias (arXiv:2303.15343)."""

    kind: Literal["siglip"] = "siglip"
    scale: float = Field(10.0, gt=0)
    """Factor of similarities at the start."""
    bias: float = Field(-10.0, ge=-1000, le=1000)
    """Added to scaled similarities at the start; below zero since nearly all pairs are not of one sample."""
    max_scale: float = Field(100.0, ge=1)
    """Largest factor of similarities that learning may reach."""


class MarginConfig(PairLossConfig):
    """The own partner must be nearer than others of the batch, by a margin: a hinge both ways (arXiv:1707.05612)."""

    kind: Literal["margin"] = "margin"
    margin: float = Field(0.2, gt=0, le=2)
    """By how much the cosine must be higher."""
    others: Literal["all", "hardest"] = "all"
    """Against which others of the batch: the mean over all, or the most similar one, which may end with all embeddings in one point where
    encoders begin at random."""


class DistanceConfig(PairLossConfig):
    """Squared distance of the two unit vectors. It only pulls: alone, everything ends in one point."""

    compares_samples: ClassVar[bool] = False

    kind: Literal["distance"] = "distance"


class MmdConfig(PairLossConfig):
    """Squared maximum mean discrepancy under a mixture of Gaussian kernels (Gretton et al. 2012): how far apart two clouds are."""

    kind: Literal["mmd"] = "mmd"
    estimate: Literal["unbiased", "biased"] = "unbiased"
    """Without or with each sample's similarity to itself. The unbiased one has mean zero for equal clouds of independent samples, so it may
    be negative; where partners are alike its mean is a little below zero."""
    bandwidths: tuple[Annotated[float, Field(gt=0)], ...] = Field((0.5, 1.0, 2.0), min_length=1, max_length=32)
    """Standard deviations of the kernels, in units of `unit`."""
    unit: Literal["median", "one"] = "median"
    """The median distance of the batch's embeddings, found anew for each batch, or one."""

    @property
    def may_be_negative(self) -> bool:
        return self.estimate == "unbiased"


class CoralConfig(PairLossConfig):
    """Squared distance of the covariances of the two clouds over 4 d² (arXiv:1607.01719)."""

    kind: Literal["coral"] = "coral"


class CcaConfig(PairLossConfig):
    """Minus the sum of the canonical correlations of the batch (deep CCA, Andrew et al. 2013). Take `dim` far below the batch size: of a
    batch no larger than twice `dim`, everything correlates with everything, and the training is refused.
    """

    kind: Literal["cca"] = "cca"
    ridge: float = Field(1e-3, gt=0, le=1e6)
    """Added to the variances, so that the covariances of a batch can be inverted."""
    components: int | None = Field(None, gt=0)
    """How many of the largest correlations count; none = all."""
    memory: float = Field(0.9, ge=0, lt=1)
    """Where embeddings are compared: the share of the running covariances that each batch leaves."""

    @property
    def may_be_negative(self) -> bool:
        return True
