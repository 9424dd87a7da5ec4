"""Configs of the encoders of video. Imports no torch, so that a recipe is checked without it."""

from __future__ import annotations

from typing import ClassVar, Literal

from pydantic import Field, model_validator

from tasks.models.encoders.config import Channels, Dropout, GroupedChannels, Layers, Medium
from tasks.registry import Config


class FrameCnnLstmConfig(Config):
    """A convolutional network for each frame, then an LSTM over frames (LRCN, arXiv:1411.4389); a token a frame."""

    media: ClassVar[tuple[Medium, ...]] = ("video",)

    kind: Literal["frame_cnn_lstm"] = "frame_cnn_lstm"
    channels: tuple[GroupedChannels, ...] = Field((32, 64), min_length=1, max_length=8)
    """Channels of each stage; multiples of 8. The last stages halve the frame while its shorter side stays at 4 or more."""
    layers: Layers = 1
    """LSTM layers."""
    bidirectional: bool = True
    """Reads in both directions, with half of the width each."""
    dropout: Dropout = 0.1
    """Share of features zeroed in training, before the LSTM and after each layer."""


class Cnn3dConfig(Config):
    """Convolutions over time, height and width at once (C3D, arXiv:1412.0767); a token a place and a moment."""

    media: ClassVar[tuple[Medium, ...]] = ("video",)

    kind: Literal["cnn_3d"] = "cnn_3d"
    channels: tuple[Channels, ...] = Field((16, 32, 64), min_length=1, max_length=8)
    """Channels of each convolution; every one halves height and width."""
    halve_time: int = Field(1, ge=0, le=8)
    """How many of the convolutions, the last ones, also halve the frames."""
    grid: int = Field(2, gt=0, le=16)
    """Most tokens along a side of a frame: larger maps are averaged down to grid by grid."""
    dropout: Dropout = 0.1
    """Share of token features zeroed in training."""

    @model_validator(mode="after")
    def _enough_convolutions(self) -> Cnn3dConfig:
        if self.halve_time > len(self.channels):
            raise ValueError(
                f"`halve_time` is {self.halve_time}, but there are {len(self.channels)} convolutions; lower it, or give more `channels`"
            )
        return self


class VideoTransformerConfig(Config):
    """Video Transformer (ViViT's factorised encoder, arXiv:2103.15691): attention inside each frame, then over frames; a token a frame."""

    media: ClassVar[tuple[Medium, ...]] = ("video",)

    kind: Literal["video_transformer"] = "video_transformer"
    patch: int = Field(16, gt=0, le=64)
    """Pixels along a side of a patch; divides the frame's height and width."""
    space_layers: Layers = 2
    """Blocks inside a frame."""
    time_layers: Layers = 2
    """Blocks over frames."""
    num_heads: int = Field(4, gt=0, le=64)
    """Attention heads of a block; divides the model's `width`."""
    dropout: Dropout = 0.1
    """Share of features zeroed in training."""
