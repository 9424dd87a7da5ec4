"""Configs of the trunks. Imports no torch, so that a recipe is checked without it."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

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
