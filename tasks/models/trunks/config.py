"""Configs of the trunks. Imports no torch, so that a recipe is checked without it."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, field_validator

from tasks.registry import Config


class MlpConfig(Config):
    """Residual feed-forward layers on each fused token."""

    kind: Literal["mlp"] = "mlp"
    layers: int = Field(1, ge=0, le=24)
    """Feed-forward layers; 0 hands the fused tokens to the heads as they are."""
    expansion: int = Field(2, gt=0, le=16)
    """Hidden width as a multiple of the model's width."""
    dropout: float = Field(0.1, ge=0, lt=1)
    """Share of features zeroed in training."""


class RnnTrunkConfig(Config):
    """Recurrent layers over the sequence of fused tokens."""

    kind: Literal["rnn"] = "rnn"
    cell: Literal["gru", "lstm"] = "gru"
    """Gated recurrent unit, or long short-term memory."""
    layers: int = Field(1, gt=0, le=8)
    """Recurrent layers."""
    bidirectional: bool = True
    """Reads in both directions, with half of the width each."""
    dropout: float = Field(0.1, ge=0, lt=1)
    """Share of features zeroed in training, after each layer."""


class CnnTrunkConfig(Config):
    """Residual convolutions along the sequence of fused tokens."""

    kind: Literal["cnn"] = "cnn"
    layers: int = Field(2, gt=0, le=24)
    """Convolutions."""
    kernel_size: int = Field(3, gt=1, le=31)
    """Tokens that a convolution sees at once; an odd number, with the token itself in the middle."""
    dropout: float = Field(0.1, ge=0, lt=1)
    """Share of features zeroed in training, in what a convolution adds."""

    @field_validator("kernel_size")
    @classmethod
    def _has_a_middle(cls, kernel_size: int) -> int:
        if kernel_size % 2 == 0:
            raise ValueError(f"needs to be odd, so that it has a middle; take {kernel_size - 1} or {kernel_size + 1}")
        return kernel_size


class TransformerTrunkConfig(Config):
    """Transformer layers over the sequence of fused tokens."""

    kind: Literal["transformer"] = "transformer"
    layers: int = Field(1, gt=0, le=24)
    """Transformer layers."""
    num_heads: int = Field(4, gt=0, le=64)
    """Attention heads; divides the model's width."""
    expansion: int = Field(2, gt=0, le=16)
    """Hidden width of the feed-forward part as a multiple of the model's width."""
    dropout: float = Field(0.1, ge=0, lt=1)
    """Share of features zeroed in training, after attention and after the feed-forward part."""
