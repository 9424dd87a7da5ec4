"""What a sound is, by its header, and what is said of a header that cannot be true.

Shared by the parsers of headers (`audio_header`, `audio_ogg`, `audio_mp3`) and by whoever decodes. Imports nothing but the errors.
"""

from __future__ import annotations

from dataclasses import dataclass

from tasks.errors import BadMember


@dataclass(frozen=True)
class Header:
    """A sound that passed its header checks."""

    format: str
    """wav, flac, ogg or mp3."""
    rate_hz: int
    channels: int
    bits: int
    """Per sample and channel; 0 = the format is lossy and has none."""
    frames: int
    """Samples per channel; 0 = the FLAC does not say."""
    floating: bool = False
    """Its decoder computes in floating point."""
    start: int = 0
    """Where the samples of a WAV, or the frames of an MP3, begin, in bytes."""
    slack: int = 0
    """By how much `frames` may be off."""
    md5: bytes = b""
    """Of the samples of a FLAC; empty when the file has none."""

    @property
    def seconds(self) -> float:
        return self.frames / self.rate_hz

    @property
    def lossy(self) -> bool:
        return self.bits == 0


def lie(detail: str) -> BadMember:
    """A header that contradicts itself or the file."""
    return BadMember("audio/header", f"{detail}; the file is cut off or was not finished by its recorder")


def cut(detail: str) -> BadMember:
    """A file that ends too early."""
    return BadMember("audio/truncated", f"{detail}; the file is cut off")
