"""Sound to one channel of 16-bit integers, exactly.

In: a checked header and the bytes. Out: int16 samples. Everything is integer arithmetic, or floating point whose every step is exact, so
that all processors agree on every bit; but for the decoders of Ogg and MP3, which the codec fingerprint watches. Must not import torch.
"""

from __future__ import annotations

import functools
import hashlib
import io
import math
import struct
from collections.abc import Iterator
from typing import Any

import numpy as np
import numpy.typing as npt
import soundfile

from tasks.errors import BadMember
from tasks.modalities.audio_form import Header
from tasks.modalities.audio_mp3 import with_count

Samples = npt.NDArray[np.int16]

DECODING_ERRORS = (soundfile.SoundFileError, ValueError, TypeError)
"""What soundfile raises on damaged files."""

TAP_BITS = 20
"""Filter taps are multiples of 2**-20: products with 16-bit samples and their sums are exact in float64."""

ZERO_CROSSINGS = 6
ROLLOFF = 0.99
"""Filter as in torchaudio's `resample`: a sinc with six zero crossings on each side under a Hann window."""

BLOCK = 1 << 20
"""Products, or samples over all channels, at a time, which bounds memory to a few times 8 MB beside two bytes a step of the result."""


def mono(data: bytes, header: Header) -> Samples:
    """All samples, channels averaged, rounded to 16 bits. BadMember `audio/truncated|corrupt|header`."""
    if header.format == "wav" and header.bits == 16 and header.channels == 1:
        return np.frombuffer(data, dtype="<i2", count=header.frames, offset=header.start).astype(np.int16, copy=False)
    if header.format == "mp3":
        data = with_count(data, header)
    checksum = hashlib.md5(usedforsecurity=False) if header.md5 and header.bits % 8 == 0 else None
    most = header.frames + header.slack
    samples = np.empty(most, np.int16)  # a header that lies costs nothing: pages that are never written take no memory
    count = 0
    for values_TC in _blocks(data, header):
        if count + len(values_TC) > most:
            raise BadMember("audio/header", f"more than the {header.frames} samples were decoded that its header speaks of")
        if checksum is not None:
            checksum.update(_packed(values_TC, header.bits))
        samples[count : count + len(values_TC)] = _average(_integers(values_TC) if header.floating else values_TC)
        count += len(values_TC)
    if count < header.frames - header.slack or not count:
        raise BadMember("audio/truncated", f"{count} of {header.frames} samples could be decoded")
    if checksum is not None and checksum.digest() != header.md5:
        raise BadMember("audio/corrupt", "the samples do not match the checksum in the FLAC's header")
    return samples[:count]


def _blocks(data: bytes, header: Header) -> Iterator[npt.NDArray[Any]]:
    """What is decoded, up to a block more than the header promised: int32, or float64 where decoding is floating."""
    kind = "int32" if not header.floating else "float32" if header.lossy else "float64"
    left = header.frames + header.slack
    try:
        with soundfile.SoundFile(io.BytesIO(data)) as sound:
            _check_layout(sound.samplerate, sound.channels, header)
            while left >= 0:
                values_TC = sound.read(max(1, BLOCK // header.channels), dtype=kind, always_2d=True)
                if not len(values_TC):
                    return
                left -= len(values_TC)
                yield values_TC.astype(np.float64) if header.lossy else values_TC
    except DECODING_ERRORS as error:
        raise _damaged(header, error) from error


def _damaged(header: Header, error: Exception) -> BadMember:
    return BadMember("audio/corrupt", f"the {header.format.upper()} is damaged or cut off: {error}")


def _check_layout(rate_hz: int, channels: int, header: Header) -> None:
    if rate_hz != header.rate_hz or channels != header.channels:
        detail = f"decoded {channels} channels at {rate_hz} Hz, the header says {header.channels} at {header.rate_hz}"
        raise BadMember("audio/header", detail)


def wav_bytes(samples: Samples, rate_hz: int) -> bytes:
    """A mono 16-bit PCM WAV with the smallest header, 44 bytes."""
    body = samples.astype("<i2", copy=False).tobytes()
    layout = struct.pack("<4sIHHIIHH", b"fmt ", 16, 1, 1, rate_hz, rate_hz * 2, 2, 16)
    return b"".join((struct.pack("<4sI4s", b"RIFF", 36 + len(body), b"WAVE"), layout, struct.pack("<4sI", b"data", len(body)), body))


def flac_bytes(samples: Samples, rate_hz: int) -> bytes:
    """A mono 16-bit FLAC. BadMember `audio/rate` for the rates that FLAC has no room for."""
    buffer = io.BytesIO()
    try:
        soundfile.write(buffer, samples, rate_hz, format="FLAC", subtype="PCM_16")
    except (soundfile.SoundFileError, ValueError) as error:
        raise BadMember("audio/rate", f"FLAC cannot store {rate_hz} Hz ({error}); set `rate_hz` or `format: wav`") from error
    return buffer.getvalue()


def resample(samples: Samples, rate_hz: int, new_rate_hz: int) -> Samples:
    """Band-limited resampling; the same bits everywhere, within one unit of torchaudio's result."""
    divisor = math.gcd(rate_hz, new_rate_hz)
    old, new = rate_hz // divisor, new_rate_hz // divisor
    if old == new or not len(samples):
        return samples
    taps_PK, before = _taps(old, new)
    num_taps = taps_PK.shape[1]
    windows = np.lib.stride_tricks.sliding_window_view(np.pad(samples, (before, num_taps)), num_taps)
    total = -(-new * len(samples) // old)
    result = np.empty(total, dtype=np.int16)
    block = max(1, BLOCK // num_taps)
    for start in range(0, total, block):
        step = np.arange(start, min(start + block, total))
        sums = np.einsum("jk,jk->j", windows[step * old // new].astype(np.float64), taps_PK[step % new]).astype(np.int64)
        result[start : start + block] = np.clip((sums + (1 << TAP_BITS - 1)) >> TAP_BITS, -32768, 32767)
    return result


@functools.lru_cache(maxsize=8)
def _taps(old: int, new: int) -> tuple[npt.NDArray[np.float64], int]:
    """Integer taps for each of `new` phases, and how many samples before the step at hand the first tap stands."""
    base = min(old, new) * ROLLOFF
    before = math.ceil(ZERO_CROSSINGS * old / base)
    phase_P1 = np.arange(new)[:, None]
    position_PK = phase_P1 * old // new - before + np.arange(2 * before + 2)
    time_PK = np.clip((position_PK / old - phase_P1 / new) * base, -ZERO_CROSSINGS, ZERO_CROSSINGS)
    window_PK = np.cos(time_PK * (math.pi / ZERO_CROSSINGS / 2)) ** 2
    return np.rint(np.sinc(time_PK) * window_PK * (base / old) * 2.0**TAP_BITS), before


def _integers(values_TC: npt.NDArray[np.float64]) -> npt.NDArray[np.int64]:
    """-1 to 1 as 32-bit integers. Scaling by a power of two and rounding to even are exact."""
    if not np.isfinite(values_TC).all():
        raise BadMember("audio/corrupt", "some samples are not numbers")
    return np.rint(np.clip(values_TC, -1.0, 1.0) * 2.0**31).astype(np.int64)


def _average(values_TC: npt.NDArray[np.int32] | npt.NDArray[np.int64]) -> Samples:
    """32-bit channels to one of 16 bits: the sum is divided once and rounded once, half up."""
    divisor = values_TC.shape[1] << 16
    sums = values_TC.sum(axis=1, dtype=np.int64)
    averages: Samples = np.clip((sums + divisor // 2) // divisor, -32768, 32767).astype(np.int16)
    return averages


def _packed(values_TC: npt.NDArray[np.int32], bits: int) -> bytes:
    """What the FLAC's own checksum is made of: its samples in their own width, little-endian."""
    shifted = (values_TC >> (32 - bits)).astype("<i4")
    return shifted.view(np.uint8).reshape(-1, 4)[:, : bits // 8].tobytes()
