"""What of a medium is compared, feature by feature, and how a person calls it.

In: one stored member. Out: numbers, classes and vectors. `MEDIA` is the registry: modality → the function that measures it. A medium of the
user's own that is not listed is compared by its size in bytes, and by a model's encoder. Imports no implementation.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

from tasks.registry import load


@dataclass(frozen=True)
class Measured:
    """Of one member."""

    numbers: Mapping[str, float] = field(default_factory=dict)
    """Feature → quantity; nan where it has none, as the pitch of silence."""
    classes: Mapping[str, str] = field(default_factory=dict)
    vectors: Mapping[str, Any] = field(default_factory=dict)
    """Feature → float32 D, compared as a whole."""


class Measure(Protocol):
    """What an entry of `MEDIA` is."""

    def __call__(self, data: bytes) -> Measured:
        """A pure function of the stored bytes. Raises BadMember for what cannot be decoded."""


MEDIA = {
    "image": "tasks.drift.image_features:image_features",
    "audio": "tasks.drift.audio_features:audio_features",
    "text": "tasks.drift.text_features:text_features",
}
"""Modality → `module:function`, a `Measure`."""

WORDS = {
    "image.width": ("width", "px"),
    "image.height": ("height", "px"),
    "image.brightness": ("brightness", ""),
    "image.contrast": ("contrast", ""),
    "image.saturation": ("colour saturation", ""),
    "image.sharpness": ("sharpness", ""),
    "image.dark": ("share of dark pixels", ""),
    "image.bright": ("share of bright pixels", ""),
    "audio.seconds": ("duration", "s"),
    "audio.rate": ("sampling rate", "Hz"),
    "audio.level": ("level", "dBFS"),
    "audio.peak": ("peak level", "dBFS"),
    "audio.silence": ("share of silence", ""),
    "audio.crossings": ("zero crossings", "per s"),
    "audio.centroid": ("spectral centre", "Hz"),
    "audio.spread": ("spectral width", "Hz"),
    "audio.flatness": ("noisiness (spectral flatness)", "dB"),
    "text.characters": ("number of characters", ""),
    "text.words": ("number of words", ""),
    "text.word_length": ("length of words", "characters"),
    "text.capitals": ("share of capitals among letters", ""),
    "text.digits": ("share of digits", ""),
    "text.punctuation": ("share of punctuation", ""),
    "text.script": ("script", ""),
    "text.language": ("language", ""),
    "text.vocabulary": ("vocabulary", ""),
    "text.letters": ("pairs of letters", ""),
}
"""Feature → its name for a person, and its unit. Shares are 0 to 1; brightness, contrast and saturation too."""

OVER_ALL = {
    "bytes": ("size", "B"),
    "present": ("presence", ""),
    "all": ("all its numbers together", ""),
    "embedding": ("what the model sees in it", ""),
}
"""Features that any modality may have: `image.bytes`."""

LABEL = "label"
"""Stands where a modality's name would: `label.digit`."""


def measure_of(modality: str) -> Measure:
    """The function that measures a modality."""
    if modality not in MEDIA:
        return size_alone
    measure: Measure = load(MEDIA[modality])
    return measure


def size_alone(data: bytes) -> Measured:
    """Of a medium of which nothing else is known."""
    return Measured({"bytes": float(len(data))})


def named(feature: str) -> str:
    """What a person calls `image.brightness`."""
    group, _, name = feature.partition(".")
    if group == LABEL:
        return f"label {name}"
    return WORDS.get(feature, OVER_ALL.get(name, (name, "")))[0]


def unit_of(feature: str) -> str:
    """With which its quantities are written; empty for shares and classes."""
    return WORDS.get(feature, OVER_ALL.get(feature.partition(".")[2], ("", "")))[1]
