"""Configs of the encoders that come from Hugging Face. Imports no torch, so that a recipe is checked without it."""

from __future__ import annotations

from typing import Any, ClassVar, Literal

from pydantic import Field

from tasks.models.encoders.config import Dropout, Medium
from tasks.registry import Config


class HfTextConfig(Config):
    """A pretrained text model of Hugging Face Transformers, such as BERT (arXiv:1810.04805) or CLIP's half. Needs the extra `hf`."""

    media: ClassVar[tuple[Medium, ...]] = ("text",)

    kind: Literal["hf_text"] = "hf_text"
    model: str = Field(min_length=1)
    """Folder with config.json, model.safetensors and tokenizer.json, relative to the recipe, or the id of a model on the hub."""
    revision: str | None = Field(None, pattern="^[0-9a-f]{40}$")
    """Commit of a model on the hub, which it needs: a branch would give another model on another day."""
    pretrained: bool = True
    """Begin with the model's weights; else with random ones of the same architecture."""
    tune: bool = True
    """Learn on from them; else they stay as they are, and only their projection is learned."""
    dropout: Dropout = 0.1
    """Share of token features zeroed in training; inside, the model keeps its own."""
    architecture: dict[str, Any] | None = None
    """What config.json says. Filled in when training begins, so that a trained model is opened without the folder; leave it out."""


class HfImageConfig(Config):
    """A pretrained picture model of Hugging Face Transformers, such as ViT or CLIP's (arXiv:2103.00020). Needs the extra `hf`."""

    media: ClassVar[tuple[Medium, ...]] = ("image",)

    kind: Literal["hf_image"] = "hf_image"
    model: str = Field(min_length=1)
    """Folder with config.json and model.safetensors, relative to the recipe, or the id of a model on the hub."""
    revision: str | None = Field(None, pattern="^[0-9a-f]{40}$")
    """Commit of a model on the hub, which it needs: a branch would give another model on another day."""
    pretrained: bool = True
    """Begin with the model's weights; else with random ones of the same architecture."""
    tune: bool = True
    """Learn on from them; else they stay as they are, and only their projection is learned."""
    dropout: Dropout = 0.1
    """Share of token features zeroed in training; inside, the model keeps its own."""
    architecture: dict[str, Any] | None = None
    """What config.json says. Filled in when training begins, so that a trained model is opened without the folder; leave it out."""
