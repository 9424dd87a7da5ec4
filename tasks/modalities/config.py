"""What a recipe may say about each medium: how it is stored (`prepare`), what is learned from it (`fit`), how it is read (`read`).

In: YAML. Out: frozen configs. `prepare` decides bytes in the tars and enters their keys; `fit` and `read` never touch them.
Imports nothing heavy, so that a recipe is checked without numpy or torch.
"""

from __future__ import annotations

import codecs
from typing import Literal

from pydantic import Field, field_validator, model_validator

from tasks.registry import Config

ImageFormat = Literal["jpeg", "png", "webp", "gif", "bmp", "tiff", "svg"]

SPECIAL_TOKENS = ("<pad>", "<unk>", "<bos>", "<eos>")
"""Token ids 0 to 3 of every tokenizer."""


Language = Literal[
    "ar", "bg", "ca", "cs", "da", "de", "en", "es", "fi", "fr", "hi", "hu",
    "id", "it", "nl", "no", "pl", "pt", "ro", "ru", "sk", "sv", "tr", "uk",
]  # fmt: skip
"""Those that have a list of stop words."""


class ImagePrepare(Config):
    """How pictures are stored. One that needs no change keeps its source bytes."""

    accept: tuple[ImageFormat, ...] = Field(default=("jpeg", "png", "webp", "gif", "bmp", "tiff", "svg"), min_length=1)
    """Formats that are read, by content. Machines must agree on the decoders of these alone."""
    svg_side: int = Field(default=512, ge=1, le=4096)
    """Longest side in pixels at which an SVG is drawn, before `max_side` applies; a larger `size` is drawn as large (up to 4096). Its text
    is left out, since fonts differ between machines."""
    size: tuple[int, int] | None = None
    """Exact height and width in pixels, each 1 to 65500; null = as the source."""
    fit: Literal["squash", "crop", "pad"] = "squash"
    """How another aspect ratio becomes `size`: stretched, the middle cut out, or margins in the colour of `alpha`."""
    max_side: int | None = Field(default=None, ge=1, le=65_500)
    """Longest side in pixels; larger pictures are scaled down. Excludes `size`."""
    min_side: int = Field(default=0, ge=0, le=65_500)
    """Pictures with a shorter side in pixels are filtered out."""
    max_pixels: int = Field(default=100_000_000, ge=1, le=1_000_000_000)
    """Pictures with more pixels are refused before any of them is decoded."""
    mode: Literal["rgb", "gray"] = "rgb"
    """`rgb`: colours become sRGB, grey pictures stay grey (readers expand them). `gray`: one channel."""
    alpha: Literal["white", "black"] = "white"
    """The colour behind transparent pixels."""
    resample: Literal["bilinear", "bicubic", "lanczos"] = "bicubic"
    """Filter for scaling; each looks at all source pixels."""
    format: Literal["jpeg", "png", "webp"] = "jpeg"
    """What a changed picture is encoded as."""
    quality: int = Field(default=90, ge=1, le=100)
    """Of jpeg and webp."""
    keep: tuple[Literal["jpeg", "png", "webp"], ...] = ("jpeg", "png", "webp")
    """Formats whose source bytes are kept when nothing has to change; empty = encode always."""
    verify: Literal["decode", "header"] = Field(default="decode", exclude_if=lambda given: given == "decode")
    """How a picture that is kept is shown to be whole: `decode` decodes it once; `header` looks at format and size alone, is many times
    faster, leaves damage to be found when the picture is read, and then no mean and deviation of pixels is known."""

    @field_validator("size")
    @classmethod
    def _sides(cls, value: tuple[int, int] | None) -> tuple[int, int] | None:
        return check_sides(value)

    @model_validator(mode="after")
    def _one_size(self) -> ImagePrepare:
        if self.size is not None and self.max_side is not None:
            raise ValueError("give `size` (exact) or `max_side` (at most), not both")
        return self


class ImageFit(Config):
    """What is learned about pictures: mean and deviation of each channel. Nothing to choose yet."""


class ImageRead(Config):
    """How stored pictures become float32 tensors BCHW."""

    size: tuple[int, int] = (224, 224)
    """Height and width in pixels, each 1 to 65500."""
    fit: Literal["squash", "crop", "pad"] = "squash"
    """How another aspect ratio becomes `size`: stretched, the middle cut out, or black margins."""
    channels: Literal[1, 3] = 3
    """3 = RGB, 1 = grey."""
    normalise: bool = True
    """Subtract the training split's mean and divide by its deviation, per channel; else values are 0 to 1."""

    @field_validator("size")
    @classmethod
    def _sides(cls, value: tuple[int, int]) -> tuple[int, int]:
        return check_sides(value) or value


class TextPrepare(Config):
    """How text is stored: UTF-8, repaired and normalised."""

    encoding: str = "utf-8"
    """Of the source, as Python names it (`latin-1`, `cp1252`); a byte-order mark is accepted. Stored text is UTF-8 always."""
    repair: bool = True
    """Undo mis-decoded text, HTML entities, ligatures and control characters (ftfy)."""
    normalise: Literal["NFC", "NFKC", "none"] = "NFC"
    """Unicode normal form."""
    lower: bool = False
    """Lower-case everything."""
    punctuation: Literal["keep", "remove"] = "keep"
    """`remove`: apostrophes vanish, other punctuation becomes a space."""
    stop_words: tuple[Language, ...] = Field(default=(), exclude_if=lambda given: not given)
    """Languages (ISO 639-1) whose stop words are taken out of every text, before punctuation is; neural models are better off with them."""
    collapse_whitespace: bool = True
    """Runs of white space, line ends included, become one space."""
    max_bytes: int = Field(default=1_000_000, ge=1, le=1_000_000_000)
    """Longer sources are refused before they are decoded."""
    min_chars: int = Field(default=0, ge=0)
    """Texts with fewer characters, counted after cleaning, are filtered out."""

    @field_validator("stop_words")
    @classmethod
    def _sorted(cls, value: tuple[Language, ...]) -> tuple[Language, ...]:
        return tuple(sorted(set(value)))

    @field_validator("encoding")
    @classmethod
    def _known(cls, value: str) -> str:
        try:
            found = codecs.lookup(value)
        except LookupError as error:
            raise ValueError(f"{value!r} is not an encoding Python knows; utf-8, utf-16, latin-1 and cp1252 are usual") from error
        if not getattr(found, "_is_text_encoding", True):
            raise ValueError(f"{value!r} turns bytes into bytes, not into text; utf-8, utf-16, latin-1 and cp1252 are usual")
        return found.name


class NgramFit(Config):
    """A language model that the decoding of a transcript may ask: interpolated Kneser–Ney over the tokenizer's tokens."""

    order: int = Field(default=5, ge=1, le=12)
    """Tokens of the longest n-gram; with the tokenizer `byte` 5 or 6, with words 3."""
    max_bytes: int = Field(default=1_000_000, ge=1)
    """Learn from the first this many bytes of training text, in plan order, which is a mixed order. Each byte may take some hundred in
    memory when the model is used."""


class TextFit(Config):
    """What is learned about text: a tokenizer, and a language model if asked for."""

    tokenizer: Literal["bpe", "word", "byte"] = "bpe"
    """`bpe`: byte-level pairs learned from the training split. `word`: its most frequent words and runs of punctuation; all others are
    one token `<unk>`, and a line of Chinese, Japanese or Thai, which have no spaces, is one word. `byte`: one token a byte."""
    vocab_size: int = Field(default=8192, ge=5, le=1_000_000)
    """Most tokens of `bpe` (at least 260: its 256 bytes and 4 special tokens count) and of `word`. Little text gives fewer."""
    min_frequency: int = Field(default=2, ge=1)
    """How often a pair must occur to become a token of `bpe`, and a word to become one of `word`."""
    max_bytes: int = Field(default=100_000_000, ge=1)
    """Learn from the first this many bytes of training text, in plan order, which is a mixed order."""
    language_model: NgramFit | None = Field(default=None, exclude_if=lambda given: given is None)
    """n-grams of the training split's texts, for a head that transcribes; none = not learned."""

    @model_validator(mode="after")
    def _room_for_bytes(self) -> TextFit:
        if self.tokenizer == "bpe" and self.vocab_size < 260:
            raise ValueError(f"vocab_size is {self.vocab_size}; `bpe` needs 260 for its 256 bytes and 4 special tokens, `word` takes less")
        return self


class TextRead(Config):
    """How stored text becomes int64 token ids BT."""

    max_tokens: int = Field(default=256, ge=1, le=1_000_000)
    """Longer texts are cut here; `bos` and `eos` count."""
    bos: bool = False
    """Begin with the token `<bos>`."""
    eos: bool = False
    """End with the token `<eos>`, also where the text was cut."""


class AudioPrepare(Config):
    """How sound is stored: one channel of 16-bit integers."""

    accept: tuple[Literal["wav", "flac", "ogg", "mp3"], ...] = Field(default=("wav", "flac", "ogg", "mp3"), min_length=1)
    """Formats that are read, by content. `ogg` is Vorbis and Opus. Machines must agree on the decoders of these alone."""
    format: Literal["keep", "flac", "wav"] = "keep"
    """`keep`: mono 16-bit PCM WAV and FLAC stay as they are and all else, Ogg and MP3 always, becomes FLAC; or one format for all."""
    rate_hz: int | None = Field(default=None, ge=1000, le=384_000)
    """Store at this rate (resampled in exact integer arithmetic); null = at the source's, and readers resample."""
    min_seconds: float = Field(default=0.0, ge=0)
    """Shorter sounds are filtered out."""
    max_seconds: float | None = Field(default=None, gt=0)
    """Longer sounds are filtered out; null = none are."""
    limit_seconds: float = Field(default=3600.0, gt=0)
    """Longer sounds are refused before they are decoded."""
    limit_bytes: int = Field(default=1_000_000_000, ge=1)
    """Larger files are refused."""
    limit_rate_hz: int = Field(default=384_000, ge=1000)
    """Sounds at a higher rate are refused."""
    limit_samples: int = Field(default=500_000_000, ge=1)
    """Sounds with more samples, counted over all channels, are refused before they are decoded: each takes 4 to 8 bytes of memory."""


class AudioFit(Config):
    """What is learned about sound: loudness and length of the training split. Nothing to choose yet."""


class AudioRead(Config):
    """How stored sound becomes float32 features BTF."""

    features: Literal["log_mel", "mfcc", "waveform"] = "log_mel"
    """`waveform` has one feature, -1 to 1, and a step for each sample."""
    rate_hz: int = Field(default=16_000, ge=1000, le=384_000)
    """Everything is resampled to this rate."""
    num_mels: int = Field(default=64, ge=1, le=512)
    """Bands of `log_mel`, and below `mfcc`."""
    num_coefficients: int = Field(default=13, ge=1, le=512)
    """Coefficients of `mfcc`, at most `num_mels`."""
    frame_seconds: float = Field(default=0.025, gt=0, le=1)
    """Length of the window of a frame."""
    hop_seconds: float = Field(default=0.010, gt=0, le=1)
    """From the start of a frame to the start of the next."""
    max_seconds: float = Field(default=30.0, gt=0)
    """Sounds are cut to their first this many seconds."""
    normalise: Literal["utterance", "none"] = "utterance"
    """`utterance`: each feature of each sound to mean 0 and deviation 1 over time."""

    @model_validator(mode="after")
    def _bands(self) -> AudioRead:
        if self.features == "mfcc" and self.num_coefficients > self.num_mels:
            raise ValueError(f"num_coefficients is {self.num_coefficients}, but there are only {self.num_mels} mel bands; raise num_mels")
        return self


def check_sides(value: tuple[int, int] | None) -> tuple[int, int] | None:
    """A height and width as given; ValueError when a side is out of range."""
    if value is not None and not all(1 <= side <= 65_500 for side in value):
        raise ValueError(f"sides are 1 to 65500 pixels, given {list(value)}")
    return value
