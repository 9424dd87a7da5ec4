"""Configs of the encoders of text, sound and sensors. Imports no torch, so that a recipe is checked without it.

One kind may take several of these media: what differs is how a step becomes a vector, by an embedding or by a projection.
"""

from __future__ import annotations

from typing import Annotated, ClassVar, Literal

from pydantic import Field, field_validator, model_validator

from tasks.models.encoders.config import Channels, Dropout, Layers, Medium, Width
from tasks.registry import Config

Odd = Annotated[int, Field(gt=0, le=63)]
MOST_REACH = 65_536
"""Steps that the last layer of a `tcn` may reach back: each sequence is padded by as many."""


class LstmConfig(Config):
    """Long short-term memory (Hochreiter and Schmidhuber 1997) over token ids, spectral frames or readings."""

    media: ClassVar[tuple[Medium, ...]] = ("text", "audio", "sensor")

    kind: Literal["lstm"] = "lstm"
    layers: Layers = 1
    """Recurrent layers."""
    bidirectional: bool = True
    """Reads in both directions, with half of the width each."""
    dropout: Dropout = 0.1
    """Share of features zeroed in training, after the embedding and after each layer."""


class TransformerConfig(Config):
    """Transformer encoder (arXiv:1706.03762), pre-norm, with sinusoidal positions, over token ids, spectral frames or readings."""

    media: ClassVar[tuple[Medium, ...]] = ("text", "audio", "sensor")

    kind: Literal["transformer"] = "transformer"
    layers: Layers = 2
    """Blocks."""
    num_heads: int = Field(4, gt=0, le=64)
    """Attention heads of a block; divides the model's `width`."""
    expansion: int = Field(2, gt=0, le=8)
    """Width of the feed-forward part, in widths of the model."""
    dropout: Dropout = 0.1
    """Share of features zeroed in training."""


class EmbeddingBagConfig(Config):
    """Mean of the words' vectors, which are learned (arXiv:1607.01759): the order of words is not looked at."""

    media: ClassVar[tuple[Medium, ...]] = ("text",)

    kind: Literal["embedding_bag"] = "embedding_bag"
    dropout: Dropout = 0.1
    """Share of features zeroed in training."""


class WordVectorsConfig(Config):
    """Word vectors trained elsewhere (word2vec, arXiv:1301.3781; GloVe), one token a word. Needs the tokenizer `word`."""

    media: ClassVar[tuple[Medium, ...]] = ("text",)

    kind: Literal["word_vectors"] = "word_vectors"
    weights: str = Field(min_length=1)
    """Text file of a word and its numbers a line, as word2vec (with a first line of counts) and GloVe write it, relative to the recipe."""
    dimension: Width = 300
    """Numbers of each word in the file."""
    tune: bool = False
    """Learn on from the file's vectors; else they stay as they are, and only their projection is learned."""
    dropout: Dropout = 0.1
    """Share of features zeroed in training."""


class TextCnnConfig(Config):
    """Convolutions over words (arXiv:1408.5882), for texts of one word and more."""

    media: ClassVar[tuple[Medium, ...]] = ("text",)

    kind: Literal["text_cnn"] = "text_cnn"
    widths: tuple[Odd, ...] = Field((3, 5, 7), min_length=1, max_length=8)
    """Words that a filter looks at; odd."""
    channels: Channels = 64
    """Filters of each width."""
    pool: bool = True
    """The largest answer of each filter makes one token; else there is a token for each word."""
    dropout: Dropout = 0.1
    """Share of features zeroed in training."""

    @field_validator("widths")
    @classmethod
    def _odd(cls, value: tuple[int, ...]) -> tuple[int, ...]:
        return check_odd(value)


class SpectrogramCnnConfig(Config):
    """Convolutions over time and frequency (arXiv:1609.09430), a token for what is left of time."""

    media: ClassVar[tuple[Medium, ...]] = ("audio",)

    kind: Literal["spectrogram_cnn"] = "spectrogram_cnn"
    channels: tuple[Channels, ...] = Field((16, 32, 64), min_length=1, max_length=8)
    """Channels of each convolution; every one halves frames and features."""
    dropout: Dropout = 0.1
    """Share of features zeroed in training."""


class CrnnConfig(Config):
    """Convolutions that keep every frame and halve the features, then a GRU over time (CRNN, arXiv:1702.06286)."""

    media: ClassVar[tuple[Medium, ...]] = ("audio",)

    kind: Literal["crnn"] = "crnn"
    channels: tuple[Channels, ...] = Field((16, 32, 64), min_length=1, max_length=8)
    """Channels of each convolution; every one halves the features of a frame."""
    layers: Layers = 1
    """GRU layers."""
    bidirectional: bool = True
    """Reads in both directions, with half of the width each."""
    dropout: Dropout = 0.1
    """Share of features zeroed in training, before the GRU and after each layer."""


class ConformerConfig(Config):
    """Conformer (arXiv:2005.08100): attention and depthwise convolution in turn, after frames are thinned four to one."""

    media: ClassVar[tuple[Medium, ...]] = ("audio",)

    kind: Literal["conformer"] = "conformer"
    layers: Layers = 2
    """Blocks; Conformer-S has 16."""
    num_heads: int = Field(4, gt=0, le=64)
    """Attention heads of a block; divides the model's `width`."""
    expansion: int = Field(4, gt=0, le=8)
    """Width of the feed-forward parts, in widths of the model."""
    kernel: Odd = 15
    """Frames that the depthwise convolution looks at; odd."""
    channels: Channels = 16
    """Channels of the two convolutions that thin the frames."""
    dropout: Dropout = 0.1
    """Share of features zeroed in training."""

    @field_validator("kernel")
    @classmethod
    def _odd(cls, value: int) -> int:
        return check_odd((value,))[0]


class WaveformCnnConfig(Config):
    """One-dimensional convolutions over the samples of sound (arXiv:1610.00087), read with `features: waveform`."""

    media: ClassVar[tuple[Medium, ...]] = ("waveform",)

    kind: Literal["waveform_cnn"] = "waveform_cnn"
    channels: tuple[Channels, ...] = Field((32, 64, 64, 128), min_length=1, max_length=10)
    """Channels of each convolution."""
    strides: tuple[Annotated[int, Field(gt=0, le=64)], ...] = Field((8, 5, 4, 4), min_length=1, max_length=10)
    """How far each convolution steps; it looks one step to either side. 640 samples a token as given: 25 tokens a second at 16 kHz."""
    dropout: Dropout = 0.1
    """Share of features zeroed in training."""

    @model_validator(mode="after")
    def _as_many(self) -> WaveformCnnConfig:
        if len(self.channels) != len(self.strides):
            raise ValueError(f"{len(self.channels)} `channels` and {len(self.strides)} `strides`; give one of each for every convolution")
        return self


class TcnConfig(Config):
    """Temporal convolutional network (arXiv:1803.01271): dilated convolutions with residuals; each layer sees twice as far."""

    media: ClassVar[tuple[Medium, ...]] = ("sensor", "audio")

    kind: Literal["tcn"] = "tcn"
    layers: int = Field(4, gt=0, le=16)
    """Layers; the dilation doubles from one to the next."""
    kernel: Odd = 3
    """Steps that a convolution looks at; odd."""
    causal: bool = True
    """A step is told by itself and earlier ones alone; else by those around it."""
    dropout: Dropout = 0.1
    """Share of features zeroed in training."""

    @field_validator("kernel")
    @classmethod
    def _odd(cls, value: int) -> int:
        return check_odd((value,))[0]

    @model_validator(mode="after")
    def _within_reach(self) -> TcnConfig:
        reach = (self.kernel - 1) * 2 ** (self.layers - 1)
        if reach > MOST_REACH:
            raise ValueError(
                f"{self.layers} `layers` with a `kernel` of {self.kernel} reach over {reach:,} steps in the last layer, by which each "
                f"sequence is padded, and {MOST_REACH:,} are the most; lower one of them"
            )
        return self


def check_odd(values: tuple[int, ...]) -> tuple[int, ...]:
    """Widths as given; ValueError when one has no middle."""
    if even := [value for value in values if value % 2 == 0]:
        raise ValueError(f"widths are odd, so that each has a middle; given {even}")
    return values
