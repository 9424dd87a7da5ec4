"""Sound: header checked, one channel, 16-bit integers, stored as the source's own WAV or FLAC, or as FLAC. Ogg and MP3 are sources too.

In: source bytes. Out: tar bytes and exact integer statistics. Floating-point features are made on reading, in `audio_reader`; this file
must not import torch.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from tasks.contracts import Encoded, Fit, Reader
from tasks.errors import BadMember, FilteredOut
from tasks.modalities.audio_form import Header
from tasks.modalities.audio_header import read_header
from tasks.modalities.audio_samples import BLOCK, Samples, flac_bytes, mono, resample, wav_bytes
from tasks.modalities.config import AudioFit, AudioPrepare, AudioRead


class Audio:
    """`tasks.contracts.Modality` of sound."""

    def encode(self, data: bytes, prepare: AudioPrepare) -> Encoded:
        """Reasons: `audio/empty|format|header|too_large|truncated|corrupt|rate`, and the filters `audio/min_seconds|max_seconds`."""
        if len(data) > prepare.limit_bytes:
            raise BadMember("audio/too_large", f"{len(data)} bytes; `limit_bytes` of its `prepare` allows {prepare.limit_bytes}")
        header = read_header(data)
        if header.format not in prepare.accept:
            raise BadMember("audio/format", f"{header.format}; `accept` of its `prepare` allows {', '.join(prepare.accept)}")
        _check_limits(header, prepare)
        samples = mono(data, header)
        _filter(len(samples) / header.rate_hz, prepare)
        rate_hz = prepare.rate_hz or header.rate_hz
        if rate_hz == header.rate_hz and _can_stay(header, prepare):
            return Encoded(header.format, data, _statistics(samples, rate_hz, len(data)))
        samples = resample(samples, header.rate_hz, rate_hz)
        extension = "wav" if prepare.format == "wav" else "flac"
        encoded = wav_bytes(samples, rate_hz) if extension == "wav" else flac_bytes(samples, rate_hz)
        return Encoded(extension, encoded, _statistics(samples, rate_hz, len(encoded)))

    def probes(self) -> Iterator[bytes]:
        """Stereo FLAC, Vorbis, Opus and MP3; mono and stereo WAV from integer arithmetic, so that their bytes are the same everywhere."""
        for path in sorted((Path(__file__).parent / "probes").glob("audio-*")):
            yield path.read_bytes()
        step = np.arange(3000, dtype=np.int64)
        sweep = ((step * step * 7 % 65_536) - 32_768).astype(np.int16)
        yield wav_bytes(sweep, 16_000)
        yield _stereo_24(step)

    def fit(self, config: AudioFit, stats: Mapping[str, Any], members: Callable[[], Iterator[bytes]]) -> Fit:
        """Root mean square of the samples (-1 to 1) and mean length in seconds; readers need neither."""
        del config, members
        count, samples = stats.get("count", 0), stats.get("samples", 0)
        if not samples:
            return Fit({"count": 0, "rms": 0.0, "mean_seconds": 0.0})
        return Fit(
            {"count": count, "rms": math.sqrt(stats["sum_sq"] / samples) / 32_768, "mean_seconds": stats["milliseconds"] / count / 1000}
        )

    def reader(self, config: AudioRead, fit: Fit) -> Reader:
        from tasks.modalities.audio_reader import AudioReader

        return AudioReader.build(config, fit)


def _check_limits(header: Header, prepare: AudioPrepare) -> None:
    if header.rate_hz > prepare.limit_rate_hz:
        raise BadMember("audio/too_large", f"{header.rate_hz} Hz; `limit_rate_hz` of its `prepare` allows {prepare.limit_rate_hz}")
    if header.seconds > prepare.limit_seconds:
        raise BadMember("audio/too_large", f"{header.seconds:.1f} s; `limit_seconds` of its `prepare` allows {prepare.limit_seconds}")
    if header.frames * header.channels > prepare.limit_samples:
        detail = f"{header.frames * header.channels} samples; `limit_samples` of its `prepare` allows {prepare.limit_samples}"
        raise BadMember("audio/too_large", detail)
    if header.format == "flac" and header.frames == 0:
        raise BadMember("audio/header", "the FLAC does not say how long it is; encode it again from a file, not from a pipe")


def _filter(seconds: float, prepare: AudioPrepare) -> None:
    if seconds < prepare.min_seconds:
        raise FilteredOut("audio/min_seconds", f"{seconds:.3f} s; at least {prepare.min_seconds} are asked for")
    if prepare.max_seconds is not None and seconds > prepare.max_seconds:
        raise FilteredOut("audio/max_seconds", f"{seconds:.3f} s; at most {prepare.max_seconds} are asked for")


def _can_stay(header: Header, prepare: AudioPrepare) -> bool:
    """The source's own bytes already are what is asked for."""
    return header.channels == 1 and header.bits == 16 and not header.floating and prepare.format in {"keep", header.format}


def _statistics(samples: Samples, rate_hz: int, num_bytes: int) -> dict[str, int]:
    level = total = squares = 0
    for start in range(0, len(samples), BLOCK):
        wide = samples[start : start + BLOCK].astype(np.int64)
        level = max(level, int(np.abs(wide).max()))
        total, squares = total + int(wide.sum()), squares + int(wide @ wide)
    return {
        "bytes": num_bytes,
        "count": 1,
        "max_level": level,
        "max_rate_hz": rate_hz,
        "max_samples": len(samples),
        "milliseconds": len(samples) * 1000 // rate_hz,
        "min_rate_hz": rate_hz,
        "min_samples": len(samples),
        "samples": len(samples),
        "sum": total,
        "sum_sq": squares,
    }


def _stereo_24(step: Any) -> bytes:
    """A 24-bit stereo WAV, to probe the average of channels and its rounding."""
    left, right = step * 40_503 % 16_777_216 - 8_388_608, step * step * 31 % 16_777_216 - 8_388_608
    body = np.stack([left, right], axis=1).astype("<i4").view(np.uint8).reshape(-1, 4)[:, :3].tobytes()
    sizes = [(36 + len(body)).to_bytes(4, "little"), len(body).to_bytes(4, "little")]
    layout = bytes.fromhex("1000000001000200 803e0000 00770100 06001800")
    return b"RIFF" + sizes[0] + b"WAVEfmt " + layout + b"data" + sizes[1] + body
