"""Configs of the first encoder of each medium, and what the configs of all encoders have in common.

`media` says what an encoder is made for: the page of encoders, the contract test and the check of a recipe read it. Imports no torch, so
that a recipe is checked without it.
"""

from __future__ import annotations

from typing import Annotated, ClassVar, Literal

from pydantic import Field

from tasks.registry import Config

Medium = Literal["image", "text", "audio", "waveform", "video", "sensor", "table"]
"""`waveform` is what `audio` is read as with `features: waveform`; readers of the last three come later."""
Channels = Annotated[int, Field(gt=0, le=4096)]
GROUP_CHANNELS = 8
"""Channels that group norm norms together."""
GroupedChannels = Annotated[int, Field(gt=0, le=4096, multiple_of=GROUP_CHANNELS)]
Width = Annotated[int, Field(gt=0, le=16384)]
Layers = Annotated[int, Field(gt=0, le=48)]
Dropout = Annotated[float, Field(ge=0, lt=1)]
SMALLEST_SIDE = 4
"""Pixels a halved map keeps along its shorter side."""


class CnnConfig(Config):
    """Convolutional network for images of 8 by 8 pixels and more."""

    media: ClassVar[tuple[Medium, ...]] = ("image",)

    kind: Literal["cnn"] = "cnn"
    channels: tuple[GroupedChannels, ...] = Field((32, 64), min_length=1, max_length=8)
    """Channels of each stage; multiples of 8. The last stages halve the picture while its shorter side stays at 4 or more."""
    grid: int = Field(4, gt=0, le=32)
    """Most tokens along a side: larger maps are averaged down to grid by grid tokens."""
    norm: Literal["group", "batch"] = Field("group", exclude_if=lambda given: given == "group")
    """What a stage is normed over: groups of a sample's channels, or the batch (arXiv:1502.03167) and afterwards running statistics."""
    dropout: float = Field(0.1, ge=0, lt=1)
    """Share of token features zeroed in training."""

    def unfit(self, height: int, width: int) -> str:
        """What is wrong with pictures of this size; empty = nothing. So in every config of an encoder of pictures that asks for a size."""
        return too_small(self.kind, height, width)


class GruConfig(Config):
    """Gated recurrent network (arXiv:1406.1078) over token ids, spectral frames or readings."""

    media: ClassVar[tuple[Medium, ...]] = ("text", "audio", "sensor")

    kind: Literal["gru"] = "gru"
    layers: int = Field(1, gt=0, le=8)
    """Recurrent layers."""
    bidirectional: bool = True
    """Reads in both directions, with half of the width each."""
    dropout: float = Field(0.1, ge=0, lt=1)
    """Share of features zeroed in training, after the embedding and after each layer."""


class CnnLstmConfig(Config):
    """Convolutions over time and frequency, then an LSTM over time, for spectral features."""

    media: ClassVar[tuple[Medium, ...]] = ("audio",)

    kind: Literal["cnn_lstm"] = "cnn_lstm"
    channels: tuple[Channels, ...] = Field((16, 32), min_length=1, max_length=6)
    """Channels of each convolution; every one halves frames and features."""
    layers: int = Field(1, gt=0, le=8)
    """LSTM layers."""
    bidirectional: bool = True
    """Reads in both directions, with half of the width each."""
    dropout: float = Field(0.1, ge=0, lt=1)
    """Share of features zeroed in training, before the LSTM and after each layer."""


def too_small(kind: str, height: int, width: int) -> str:
    """What is wrong with pictures of this size for stages that halve them; empty = nothing."""
    if min(height, width) >= SMALLEST_SIDE:
        return ""
    return f"encoder {kind!r} takes images of {SMALLEST_SIDE} pixels a side and more, given {height} by {width}; raise its `size` in `read`"
