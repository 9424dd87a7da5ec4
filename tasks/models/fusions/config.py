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


class AttentionConfig(Config):
    """Self-attention over the tokens of all modalities and a learned query, whose final state is the result."""

    kind: Literal["attention"] = "attention"
    layers: int = Field(1, gt=0, le=24)
    """Transformer layers."""
    num_heads: int = Field(4, gt=0, le=64)
    """Attention heads; divides the model's width."""
    dropout: float = Field(0.1, ge=0, lt=1)
    """Share of features zeroed in training, after attention and after the feed-forward part."""
