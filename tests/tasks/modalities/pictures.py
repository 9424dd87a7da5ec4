"""Pictures made for tests, by exact arithmetic."""

from __future__ import annotations

import io
import struct
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image

import tasks.modalities

PROBES = Path(tasks.modalities.__file__).parent / "probes"


def pixels(width: int, height: int, seed: int = 0) -> npt.NDArray[np.uint8]:
    """Smooth colours, HWC, without any symmetry."""
    coarse = np.random.default_rng(seed).integers(0, 256, (5, 5, 3), dtype=np.uint8)
    return np.asarray(Image.fromarray(coarse).resize((width, height), Image.Resampling.BICUBIC))


def saved(image: Image.Image | npt.NDArray[np.uint8], kind: str, **options: Any) -> bytes:
    buffer = io.BytesIO()
    (image if isinstance(image, Image.Image) else Image.fromarray(image)).save(buffer, kind, **options)
    return buffer.getvalue()


def opened(data: bytes) -> Image.Image:
    image = Image.open(io.BytesIO(data))
    image.load()
    return image


def array(data: bytes, mode: str = "RGB") -> npt.NDArray[np.int64]:
    return np.asarray(opened(data).convert(mode)).astype(np.int64)


def huge_png(side: int) -> bytes:
    """A PNG of a few hundred bytes whose header promises side x side pixels of a valid, endless-looking stream."""

    def chunk(name: bytes, body: bytes) -> bytes:
        return struct.pack(">I", len(body)) + name + body + struct.pack(">I", zlib.crc32(name + body))

    header = struct.pack(">IIBBBBB", side, side, 8, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(bytes(100_000))) + chunk(b"IEND", b"")
