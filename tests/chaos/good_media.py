"""Small whole files of every format that is read, each another one for each seed."""

from __future__ import annotations

import functools
import io
from collections.abc import Callable

import numpy as np
import soundfile

from tests.tasks.modalities import drawings
from tests.tasks.modalities.pictures import pixels, saved

RATE_HZ = 8000


def picture(kind: str, seed: int) -> bytes:
    """40 x 30 pixels of smooth colours."""
    options = {"jpeg": {"quality": 90}, "webp": {"quality": 80}, "tiff": {"compression": "tiff_lzw"}}.get(kind, {})
    return saved(pixels(40, 30, seed), kind.upper(), **options)


def drawing(seed: int) -> bytes:
    """An SVG of one rectangle whose colour is the seed."""
    return drawings.svg(drawings.rect(f'fill="#{seed % (1 << 24):06x}"'))


@functools.lru_cache(maxsize=512)
def sound(kind: str, subtype: str, seed: int) -> bytes:
    """A quarter of a second of a falling tone under noise, one channel."""
    rng = np.random.default_rng(seed)
    step = np.arange(RATE_HZ // 4)
    wave = np.sin(step * (0.1 + rng.random() * 0.2)) * np.exp(-step / 900) + rng.normal(scale=0.02, size=step.size)
    buffer = io.BytesIO()
    soundfile.write(buffer, np.clip(wave * 0.6, -1, 1), RATE_HZ, format=kind, subtype=subtype)
    return buffer.getvalue()


def text(seed: int) -> bytes:
    """A few sentences in several alphabets."""
    rng = np.random.default_rng(seed)
    words = ("grüße", "日本語", "plain", "words", "naïve", "Σίσυφος", "café", "мир", "end.")
    return f"{seed}: {' '.join(rng.choice(words, 40))}".encode()


GOOD: dict[str, tuple[str, str, Callable[[int], bytes]]] = {
    "jpeg": ("image", "jpg", functools.partial(picture, "jpeg")),
    "png": ("image", "png", functools.partial(picture, "png")),
    "webp": ("image", "webp", functools.partial(picture, "webp")),
    "gif": ("image", "gif", functools.partial(picture, "gif")),
    "bmp": ("image", "bmp", functools.partial(picture, "bmp")),
    "tiff": ("image", "tif", functools.partial(picture, "tiff")),
    "svg": ("image", "svg", drawing),
    "wav": ("audio", "wav", functools.partial(sound, "WAV", "PCM_16")),
    "wav24": ("audio", "wav", functools.partial(sound, "WAV", "PCM_24")),
    "flac": ("audio", "flac", functools.partial(sound, "FLAC", "PCM_16")),
    "vorbis": ("audio", "ogg", functools.partial(sound, "OGG", "VORBIS")),
    "opus": ("audio", "opus", functools.partial(sound, "OGG", "OPUS")),
    "mp3": ("audio", "mp3", functools.partial(sound, "MP3", "MPEG_LAYER_III")),
    "text": ("text", "txt", text),
}
"""Kind → modality, file extension, and a whole file of a seed."""
