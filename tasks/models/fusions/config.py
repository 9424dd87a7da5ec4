"""Configs of the fusions. Imports no torch, so that a recipe is checked without it."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from tasks.registry import Config


class ConcatConfig(Config):
    """Each modality pooled to one vector, the vectors side by side, one layer over them."""

    kind: Literal["concat"] = "concat"
    num_heads: int = Field(4, gt=0, le=64)
    """Weighted averages each modality is pooled into; divides the model's width."""
    dropout: float = Field(0.1, ge=0, lt=1)
    """Share of fused features zeroed in training."""


class SumConfig(Config):
    """Each modality pooled to one vector, and the sum of these, normed."""

    kind: Literal["sum"] = "sum"
    num_heads: int = Field(4, gt=0, le=64)
    """Weighted averages each modality is pooled into; divides the model's width."""
    dropout: float = Field(0.1, ge=0, lt=1)
    """Share of fused features zeroed in training."""


class MeanConfig(Config):
    """Each modality pooled to one vector, and the mean of those present, normed."""

    kind: Literal["mean"] = "mean"
    num_heads: int = Field(4, gt=0, le=64)
    """Weighted averages each modality is pooled into; divides the model's width."""
    dropout: float = Field(0.1, ge=0, lt=1)
    """Share of fused features zeroed in training."""


class MaxConfig(Config):
    """Each modality pooled to one vector, and of each feature the largest among those present, normed."""

    kind: Literal["max"] = "max"
    num_heads: int = Field(4, gt=0, le=64)
    """Weighted averages each modality is pooled into; divides the model's width."""
    dropout: float = Field(0.1, ge=0, lt=1)
    """Share of fused features zeroed in training."""


class WeightedConfig(Config):
    """Each modality pooled to one vector, and their average by learned weights, shared among those present."""

    kind: Literal["weighted"] = "weighted"
    num_heads: int = Field(4, gt=0, le=64)
    """Weighted averages each modality is pooled into; divides the model's width."""
    dropout: float = Field(0.1, ge=0, lt=1)
    """Share of fused features zeroed in training."""


class GatedConfig(Config):
    """Gated multimodal unit: all modalities together say how much of each feature of each modality counts."""

    kind: Literal["gated"] = "gated"
    num_heads: int = Field(4, gt=0, le=64)
    """Weighted averages each modality is pooled into; divides the model's width."""
    dropout: float = Field(0.1, ge=0, lt=1)
    """Share of fused features zeroed in training."""


class LowRankConfig(Config):
    """Products of features of all modalities, by a form of low rank."""

    kind: Literal["low_rank"] = "low_rank"
    rank: int = Field(4, gt=0, le=64)
    """Terms of the form; parameters grow with rank times modalities times the square of the width."""
    num_heads: int = Field(4, gt=0, le=64)
    """Weighted averages each modality is pooled into; divides the model's width."""
    dropout: float = Field(0.1, ge=0, lt=1)
    """Share of fused features zeroed in training."""


class FilmConfig(Config):
    """One modality scales and shifts the features of the others' tokens, which go on as a sequence."""

    kind: Literal["film"] = "film"
    by: str | None = None
    """The modality that conditions the others; the first by name when it is not given."""
    num_heads: int = Field(4, gt=0, le=64)
    """Weighted averages the conditioning modality is pooled into; divides the model's width."""
    dropout: float = Field(0.1, ge=0, lt=1)
    """Share of fused features zeroed in training."""


class SequenceConfig(Config):
    """All tokens of all modalities, marked by their modality, as one sequence for the trunk."""

    kind: Literal["sequence"] = "sequence"
    dropout: float = Field(0.1, ge=0, lt=1)
    """Share of features zeroed in training."""


class AttentionConfig(Config):
    """Self-attention over the tokens of all modalities and a learned query, whose final state is the result."""

    kind: Literal["attention"] = "attention"
    layers: int = Field(1, gt=0, le=24)
    """Transformer layers."""
    num_heads: int = Field(4, gt=0, le=64)
    """Attention heads; divides the model's width."""
    dropout: float = Field(0.1, ge=0, lt=1)
    """Share of features zeroed in training, after attention and after the feed-forward part."""


class CrossAttentionConfig(Config):
    """The tokens of each modality attend to those of all others, and go on as a sequence."""

    kind: Literal["cross_attention"] = "cross_attention"
    layers: int = Field(1, gt=0, le=24)
    """Layers; in each, every modality has weights of its own."""
    num_heads: int = Field(4, gt=0, le=64)
    """Attention heads; divides the model's width."""
    dropout: float = Field(0.1, ge=0, lt=1)
    """Share of features zeroed in training, after attention and after the feed-forward part."""


class BottleneckConfig(Config):
    """Attention inside each modality and to a few shared tokens, through which alone modalities meet."""

    kind: Literal["bottleneck"] = "bottleneck"
    tokens: int = Field(4, gt=0, le=256)
    """Shared tokens."""
    layers: int = Field(2, gt=0, le=24)
    """Layers; in each, every modality has weights of its own. With one, no modality's tokens learn of the others."""
    num_heads: int = Field(4, gt=0, le=64)
    """Attention heads; divides the model's width."""
    dropout: float = Field(0.1, ge=0, lt=1)
    """Share of features zeroed in training, after attention and after the feed-forward part."""


class GraphConfig(Config):
    """Messages along a graph whose nodes are modalities and tokens."""

    kind: Literal["graph"] = "graph"
    layers: int = Field(2, gt=0, le=24)
    """Rounds of messages."""
    dropout: float = Field(0.1, ge=0, lt=1)
    """Share of features zeroed in training, in what a node adds to itself."""


class VotingConfig(Config):
    """Each modality decides by itself, and the decisions of those present are averaged."""

    kind: Literal["voting"] = "voting"
    weighted: bool = False
    """Votes count by learned weights instead of equally; only with `placement: late`, where nothing changes them before the heads."""
    num_heads: int = Field(4, gt=0, le=64)
    """Weighted averages each modality is pooled into; divides the model's width."""
    dropout: float = Field(0.1, ge=0, lt=1)
    """Share of features zeroed in training."""
