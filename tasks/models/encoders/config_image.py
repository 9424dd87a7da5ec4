"""Configs of the encoders of pictures. Imports no torch, so that a recipe is checked without it."""

from __future__ import annotations

from typing import Annotated, ClassVar, Literal

from pydantic import Field, field_validator, model_validator

from tasks.models.encoders.config import Dropout, GroupedChannels, Layers, Medium, Width, too_small
from tasks.registry import Config

Fraction = Annotated[float, Field(ge=0, le=1)]
WeightsFile = Annotated[str, Field(min_length=1)]
LARGEST_PATCH = 64
VGG_REDUCTION = 32
"""Pixels along a side that five halvings of `vgg` leave one place of."""


class VggConfig(Config):
    """VGG (arXiv:1409.1556), torchvision's layers without batch norm, for pictures of 32 by 32 pixels and more."""

    media: ClassVar[tuple[Medium, ...]] = ("image",)

    kind: Literal["vgg"] = "vgg"
    depth: Literal[11, 13, 16, 19] = 11
    """Layers with weights, as the paper counts them; three of them, the classifier, are left out."""
    weights: WeightsFile | None = None
    """File of torchvision's weights for this depth, `.safetensors` or `.pth`, relative to the recipe; null = random."""
    grid: int = Field(7, gt=0, le=32)
    """Most tokens along a side: larger maps are averaged down to grid by grid tokens."""
    dropout: Dropout = 0.1
    """Share of token features zeroed in training."""

    def unfit(self, height: int, width: int) -> str:
        """What is wrong with pictures of this size; empty = nothing."""
        if min(height, width) >= VGG_REDUCTION:
            return ""
        return (
            f"encoder 'vgg' halves a picture five times and takes {VGG_REDUCTION} pixels a side and more, given {height} by {width}; raise "
            "its `size` in `read`, or choose `kind: cnn`"
        )


class ResNetConfig(Config):
    """Residual network (arXiv:1512.03385), torchvision's; group norm when random, frozen batch statistics with `weights`."""

    media: ClassVar[tuple[Medium, ...]] = ("image",)

    kind: Literal["resnet"] = "resnet"
    depth: Literal[18, 34, 50, 101, 152] = 18
    """Layers with weights, as the paper counts them; the last, the classifier, is left out."""
    weights: WeightsFile | None = None
    """File of torchvision's weights for this depth, `.safetensors` or `.pth`, relative to the recipe; null = random."""
    grid: int = Field(7, gt=0, le=32)
    """Most tokens along a side: larger maps are averaged down to grid by grid tokens."""
    dropout: Dropout = 0.1
    """Share of token features zeroed in training."""


class VitConfig(Config):
    """Vision Transformer (arXiv:2010.11929), torchvision's: a token a patch and the class token. Square pictures."""

    media: ClassVar[tuple[Medium, ...]] = ("image",)

    kind: Literal["vit"] = "vit"
    patch: int = Field(16, gt=0, le=LARGEST_PATCH)
    """Pixels along a side of a patch; divides the picture's side. 16 and 32 are usual at 224 pixels, 2 to 4 at 32."""
    layers: Layers = 4
    """Transformer blocks; ViT-B has 12."""
    num_heads: int = Field(4, gt=0, le=64)
    """Attention heads of a block; divides `hidden`. ViT-B has 12."""
    hidden: Width = 64
    """Features inside the blocks; ViT-B has 768. They are projected to the model's width."""
    feed_forward: Width = 128
    """Features inside the feed-forward part; ViT-B has 3072."""
    weights: WeightsFile | None = None
    """File of torchvision's weights for these sizes, `.safetensors` or `.pth`, relative to the recipe; null = random."""
    dropout: Dropout = 0.1
    """Share of features zeroed in training, inside the blocks and of the tokens."""

    @model_validator(mode="after")
    def _heads_divide(self) -> VitConfig:
        if self.hidden % self.num_heads:
            raise ValueError(f"`hidden` ({self.hidden}) is not a multiple of `num_heads` ({self.num_heads}); change one of them")
        return self

    def unfit(self, height: int, width: int) -> str:
        """What is wrong with pictures of this size; empty = nothing."""
        if height != width:
            return f"encoder 'vit' takes square pictures, given {height} by {width}; set `size: [{height}, {height}]` in its `read`"
        if height % self.patch == 0:
            return ""
        allowed = [patch for patch in range(1, min(height, LARGEST_PATCH) + 1) if height % patch == 0]
        return (
            f"encoder 'vit': patches of {self.patch} pixels do not divide a picture of {height}; `patch` may be "
            f"{', '.join(map(str, allowed))}, or change the picture's `size` in `read`"
        )


class RegionsConfig(Config):
    """Region features: a token for each box, pooled from a convolutional map (RoIAlign, arXiv:1703.06870)."""

    media: ClassVar[tuple[Medium, ...]] = ("image",)

    kind: Literal["regions"] = "regions"
    channels: tuple[GroupedChannels, ...] = Field((32, 64), min_length=1, max_length=8)
    """Channels of each stage; multiples of 8. The last stages halve the picture while its shorter side stays at 4 or more."""
    boxes: tuple[tuple[Fraction, Fraction, Fraction, Fraction], ...] = Field((), max_length=1024)
    """Left, top, right, bottom of each region as fractions of the picture, the same for every picture; empty = by `grid`."""
    grid: int = Field(3, gt=0, le=32)
    """Without `boxes`: grid by grid regions, each twice as wide and high as its cell, so that neighbours overlap."""
    bins: int = Field(2, gt=0, le=14)
    """Places along a side that are sampled from a region before they are projected to one token."""
    dropout: Dropout = 0.1
    """Share of token features zeroed in training."""

    def unfit(self, height: int, width: int) -> str:
        """What is wrong with pictures of this size; empty = nothing."""
        return too_small(self.kind, height, width)

    @field_validator("boxes")
    @classmethod
    def _have_an_inside(cls, value: tuple[tuple[float, float, float, float], ...]) -> tuple[tuple[float, float, float, float], ...]:
        for left, top, right, bottom in value:
            if left >= right or top >= bottom:
                raise ValueError(
                    f"a box is [left, top, right, bottom] with left < right and top < bottom, given {[left, top, right, bottom]}"
                )
        return value
