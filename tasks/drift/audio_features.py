"""What a stored sound is like: duration, level, silence, and where in the spectrum it lies.

In: bytes of a member. Out: nine numbers. What is spectral is a mean over frames, each weighted by its power, so that pauses say nothing.
Must not import torch.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from tasks.drift.features import Measured
from tasks.modalities.audio_header import read_header
from tasks.modalities.audio_samples import mono

MAX_SECONDS = 20.0
"""From the beginning; of longer sounds only the duration is of all."""
FRAME_SECONDS = 0.032
SILENT_DB = 40.0
"""A frame so far below the loudest is silence."""
FLOOR_DBFS = -120.0
TINY = 1e-12


def audio_features(data: bytes) -> Measured:
    """See `features.WORDS`. BadMember when the bytes are no whole sound."""
    header = read_header(data)
    samples = mono(data, header)
    wave_T = samples[: max(1, round(MAX_SECONDS * header.rate_hz))].astype(np.float32) / np.float32(32_768)
    frames_FT = _frames(wave_T, max(16, round(FRAME_SECONDS * header.rate_hz)))
    power_F = (frames_FT.astype(np.float64) ** 2).mean(1)
    loudest = power_F.max()
    signs = np.signbit(wave_T)
    return Measured(
        {
            "seconds": len(samples) / header.rate_hz,
            "rate": float(header.rate_hz),
            "level": _dbfs(float((wave_T.astype(np.float64) ** 2).mean())),
            "peak": _dbfs(float(np.abs(wave_T).max()) ** 2),
            "silence": float((power_F <= loudest * 10 ** (-SILENT_DB / 10)).mean()),
            "crossings": float((signs[1:] != signs[:-1]).sum() * header.rate_hz / max(1, len(wave_T) - 1)),
            **_spectral(frames_FT, header.rate_hz),
        }
    )


def _frames(wave_T: NDArray[np.float32], size: int) -> NDArray[np.float32]:
    """Frames side by side, the last filled up with zeros."""
    count = -(-len(wave_T) // size)
    padded = np.zeros(count * size, dtype=np.float32)
    padded[: len(wave_T)] = wave_T
    return padded.reshape(count, size)


def _dbfs(power: float) -> float:
    """Decibels below full scale; a square wave at full scale is 0."""
    return max(FLOOR_DBFS, 10 * math.log10(max(power, TINY)))


def _spectral(frames_FT: NDArray[np.float32], rate_hz: int) -> dict[str, float]:
    """Centre, width and flatness of the power spectrum of all frames; nan for silence, which has none."""
    window = np.hanning(frames_FT.shape[1]).astype(np.float32)
    power_K = (np.abs(np.fft.rfft(frames_FT * window, axis=1)) ** 2).sum(0, dtype=np.float64)[1:]
    total = power_K.sum()
    if total <= TINY:
        return dict.fromkeys(("centroid", "spread", "flatness"), float("nan"))
    hertz_K = np.arange(1, len(power_K) + 1) * rate_hz / frames_FT.shape[1]
    centroid = float((power_K * hertz_K).sum() / total)
    spread = float(np.sqrt((power_K * (hertz_K - centroid) ** 2).sum() / total))
    relative = power_K / total + TINY
    return {"centroid": centroid, "spread": spread, "flatness": float(10 * (np.log10(relative).mean() - np.log10(relative.mean())))}
