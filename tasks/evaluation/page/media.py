"""Stored members as something a browser shows: a picture, a sound with its waveform, a text, or a line that says what it is.

The kind is told from the bytes, not from the modality's name, so a modality of the user's own is shown when it is made of these. Sizes are
bounded: large pictures are scaled down, long sounds are cut, and both say so.
"""

from __future__ import annotations

import base64
import io
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import soundfile
from PIL import Image

from tasks.evaluation.page import figures
from tasks.evaluation.page.markup import shorten

MAX_PIXELS_SIDE = 384
MAX_IMAGE_BYTES = 40_000
MAX_AUDIO_BYTES = 90_000
MAX_AUDIO_S = 8.0
MAX_TEXT = 280
TINY_SIDE = 64
WAVE_BINS = 72

_IMAGE_FORMATS = {"PNG": "image/png", "JPEG": "image/jpeg", "WEBP": "image/webp"}


@dataclass(frozen=True)
class Preview:
    """One member, ready for the page."""

    modality: str
    kind: str
    """image, audio, text, other."""
    uri: str = ""
    """data: URI of an image or a sound."""
    text: str = ""
    note: str = ""
    """Size and unit, and what was changed to show it here."""
    width: int = 0
    height: int = 0
    is_tiny: bool = False
    wave: tuple[float, ...] = ()
    """Loudest sample of each bin, 0..1."""
    duration_s: float = 0.0


def preview(modality: str, data: bytes) -> Preview:
    """Never raises for content it cannot show: that becomes `other`."""
    try:
        if data.startswith((b"\x89PNG", b"\xff\xd8\xff")) or (data.startswith(b"RIFF") and data[8:12] == b"WEBP"):
            return _image(modality, data)
        if data.startswith(b"fLaC") or (data.startswith(b"RIFF") and data[8:12] == b"WAVE"):
            return _audio(modality, data)
        return Preview(modality, "text", text=shorten(data.decode("utf-8"), MAX_TEXT), note=f"{figures.count(len(data))} bytes")
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError, soundfile.LibsndfileError) as error:
        return Preview(modality, "other", note=f"{figures.num_bytes(len(data))}, cannot be shown here ({type(error).__name__})")


def _image(modality: str, data: bytes) -> Preview:
    with Image.open(io.BytesIO(data), formats=list(_IMAGE_FORMATS)) as image:
        width, height = image.size
        note = f"{width} × {height} pixels"
        mime = _IMAGE_FORMATS[str(image.format)]
        if len(data) > MAX_IMAGE_BYTES:
            image.draft("RGB", (MAX_PIXELS_SIDE, MAX_PIXELS_SIDE))
            small = image.convert("RGB")
            small.thumbnail((MAX_PIXELS_SIDE, MAX_PIXELS_SIDE))
            out = io.BytesIO()
            small.save(out, "JPEG", quality=78)
            data, mime, note = out.getvalue(), "image/jpeg", f"{note}, scaled down here"
        else:
            image.load()
    return Preview(modality, "image", _data_uri(mime, data), "", note, width, height, is_tiny=max(width, height) <= TINY_SIDE)


def _audio(modality: str, data: bytes) -> Preview:
    with soundfile.SoundFile(io.BytesIO(data)) as sound:
        rate, duration_s = sound.samplerate, sound.frames / sound.samplerate
        samples = sound.read(min(sound.frames, int(MAX_AUDIO_S * rate)), dtype="int16", always_2d=True)[:, 0]
    note = f"{duration_s:.2f}{figures.NARROW}s at {rate / 1000:g}{figures.NARROW}kHz"
    shown_s = samples.size / rate
    if len(data) > MAX_AUDIO_BYTES or shown_s < duration_s:
        data = _flac(samples, rate)
        if len(data) > MAX_AUDIO_BYTES:
            samples = samples[: int(samples.size * MAX_AUDIO_BYTES / len(data))]
            data, shown_s = _flac(samples, rate), samples.size / rate
        if shown_s < duration_s - 0.01:
            note = f"{note}, the first {shown_s:.1f}{figures.NARROW}s here"
    mime = "audio/flac" if data.startswith(b"fLaC") else "audio/wav"
    return Preview(modality, "audio", _data_uri(mime, data), "", note, wave=_wave(samples), duration_s=shown_s)


def _flac(samples: np.ndarray, rate: int) -> bytes:
    out = io.BytesIO()
    soundfile.write(out, samples, rate, format="FLAC", subtype="PCM_16")
    return out.getvalue()


def _wave(samples: np.ndarray) -> tuple[float, ...]:
    """Peak of each of WAVE_BINS stretches, relative to the loudest."""
    edges = np.linspace(0, samples.size, WAVE_BINS + 1).astype(int)
    size = np.abs(samples.astype(np.int32))
    peaks = [float(size[start:end].max()) if end > start else 0.0 for start, end in pairwise(edges)]
    loudest = max(peaks) or 1.0
    return tuple(peak / loudest for peak in peaks)


def _data_uri(mime: str, data: bytes) -> str:
    return f"data:{mime};base64,{base64.b64encode(data).decode('ascii')}"
