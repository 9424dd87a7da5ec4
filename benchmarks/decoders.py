"""Which library decodes a format fastest, among those that are installed: a table, reported without a goal.

One picture of 512 × 384 and one sound of two seconds in every format, decoded to an array in one thread, to the size it is stored in and,
for JPEG, scaled by the DCT to half; microseconds a file, best of several runs within a round. What Medley uses is named `medley`; it
includes the checks that it makes. `docs/decisions/013-decoders.md` says what was kept and why.
"""

from __future__ import annotations

import io
import time
from collections.abc import Callable
from typing import Any

import numpy as np
import simplejpeg
import soundfile
from PIL import Image as Pillow

from benchmarks import measure, pictures, shard_sets

SIZE = (512, 384)
RUNS = 5
CALLS = 20

Decoder = Callable[[bytes], Any]


def run(rounds: int) -> dict[str, Any]:
    """Microseconds of every way for every format."""
    import torch

    torch.set_num_threads(1)
    ways = {f"{kind}_{way}": (data, decode) for kind, (data, decoders) in _formats().items() for way, decode in decoders.items()}
    for data, decode in ways.values():
        decode(data)
    sides = {name: lambda data=data, decode=decode: _microseconds(decode, data) for name, (data, decode) in ways.items()}
    taken = measure.interleave(rounds, sides)
    return {"name": "decoders", "ok": True, "ratios": {f"{name}_us": measure.median(values) for name, values in taken.items()}}


def _microseconds(decode: Decoder, data: bytes) -> float:
    best = float("inf")
    for _ in range(RUNS):
        begun = time.perf_counter()
        for _ in range(CALLS):
            decode(data)
        best = min(best, time.perf_counter() - begun)
    return best / CALLS * 1e6


def _formats() -> dict[str, tuple[bytes, dict[str, Decoder]]]:
    from torchvision.io import decode_image, decode_jpeg, decode_webp

    jpeg, png, webp = (_picture(kind) for kind in ("JPEG", "PNG", "WEBP"))
    wav = shard_sets.sound(0)
    samples, rate_hz = soundfile.read(io.BytesIO(wav), dtype="int16")
    return {
        "jpeg": (
            jpeg,
            {
                "medley": _medley_image,
                "simplejpeg": simplejpeg.decode_jpeg,
                "pillow": _pillow,
                "torchvision": lambda data: decode_jpeg(_tensor(data)),
            },
        ),
        "jpeg_half": (
            jpeg,
            {
                "simplejpeg": lambda data: simplejpeg.decode_jpeg(data, min_height=192, min_width=256),
                "pillow": lambda data: _pillow(data, half=True),
            },
        ),
        "png": (png, {"medley": _medley_image, "pillow": _pillow, "torchvision": lambda data: decode_image(_tensor(data))}),
        "webp": (webp, {"medley": _medley_image, "pillow": _pillow, "torchvision": lambda data: decode_webp(_tensor(data))}),
        "wav": (wav, {"medley": _medley_sound, "soundfile": _soundfile, "frombuffer": lambda data: np.frombuffer(data, "<i2", offset=44)}),
        "flac": (_sound(samples, rate_hz, "FLAC"), {"medley": _medley_sound, "soundfile": _soundfile}),
        "ogg": (_sound(samples, rate_hz, "OGG"), {"medley": _medley_sound, "soundfile": _soundfile}),
        "mp3": (_sound(samples, rate_hz, "MP3"), {"medley": _medley_sound, "soundfile": _soundfile}),
    }


def _picture(kind: str) -> bytes:
    buffer = io.BytesIO()
    Pillow.open(io.BytesIO(pictures.picture(0))).resize(SIZE).save(buffer, kind, quality=87)
    return buffer.getvalue()


def _sound(samples: Any, rate_hz: int, kind: str) -> bytes:
    buffer = io.BytesIO()
    soundfile.write(buffer, samples, rate_hz, format=kind)
    return buffer.getvalue()


def _tensor(data: bytes) -> Any:
    import torch

    return torch.frombuffer(bytearray(data), dtype=torch.uint8)


def _pillow(data: bytes, half: bool = False) -> Any:
    image = Pillow.open(io.BytesIO(data))
    if half:
        image.draft("RGB", (256, 192))
    return np.asarray(image)


def _soundfile(data: bytes) -> Any:
    return soundfile.read(io.BytesIO(data), dtype="int16")


def _medley_image(data: bytes) -> Any:
    from tasks.modalities.image_header import open_image
    from tasks.modalities.image_pixels import decode

    return np.asarray(decode(open_image(data, 100_000_000), gray=False, background="white"))


def _medley_sound(data: bytes) -> Any:
    from tasks.modalities.audio_header import read_header
    from tasks.modalities.audio_samples import mono

    return mono(data, read_header(data))
