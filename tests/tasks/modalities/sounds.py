"""Sounds made for tests."""

from __future__ import annotations

import io
import struct
from typing import Any

import numpy as np
import numpy.typing as npt
import soundfile

from tasks.modalities.audio_samples import wav_bytes

__all__ = ["header", "saved", "tone", "wav_bytes"]


def tone(num_samples: int, rate_hz: int = 16_000, pitch_hz: float = 440.0, level: float = 0.4) -> npt.NDArray[np.int16]:
    return np.rint(np.sin(2 * np.pi * pitch_hz * np.arange(num_samples) / rate_hz) * level * 32_767).astype(np.int16)


def saved(samples: npt.NDArray[Any], kind: str = "WAV", subtype: str = "PCM_16", rate_hz: int = 16_000) -> bytes:
    buffer = io.BytesIO()
    soundfile.write(buffer, samples, rate_hz, format=kind, subtype=subtype)
    return buffer.getvalue()


def header(body: bytes = b"\x00\x00" * 100, **lies: int) -> bytes:
    """A 16-bit mono WAV at 16 kHz, with any field of its header set to something else."""
    fields = {
        "riff": 36 + len(body),
        "kind": 1,
        "channels": 1,
        "rate": 16_000,
        "byte_rate": 32_000,
        "block": 2,
        "bits": 16,
        "data": len(body),
    }
    fields |= lies
    layout = struct.pack("<HHIIHH", *(fields[name] for name in ("kind", "channels", "rate", "byte_rate", "block", "bits")))
    start = b"RIFF" + struct.pack("<I", fields["riff"]) + b"WAVEfmt " + struct.pack("<I", 16)
    return start + layout + b"data" + struct.pack("<I", fields["data"]) + body
