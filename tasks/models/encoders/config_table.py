"""Configs of the encoders of table rows: numbers and categories. Imports no torch, so that a recipe is checked without it."""

from __future__ import annotations

from typing import ClassVar, Literal

from pydantic import Field

from tasks.models.encoders.config import Dropout, Medium, Width
from tasks.registry import Config


class MlpConfig(Config):
    """Layers over all columns at once; a row is one token."""

    media: ClassVar[tuple[Medium, ...]] = ("table",)

    kind: Literal["mlp"] = "mlp"
    hidden: tuple[Width, ...] = Field((128,), min_length=1, max_length=8)
    """Features of each hidden layer."""
    category: int = Field(8, gt=0, le=1024)
    """Features that a category is embedded to."""
    dropout: Dropout = 0.1
    """Share of features zeroed in training, after each hidden layer."""


class FeatureTokensConfig(Config):
    """Feature tokens (FT-Transformer's tokenizer, arXiv:2106.11959): a token a column."""

    media: ClassVar[tuple[Medium, ...]] = ("table",)

    kind: Literal["feature_tokens"] = "feature_tokens"
    dropout: Dropout = 0.1
    """Share of token features zeroed in training."""
