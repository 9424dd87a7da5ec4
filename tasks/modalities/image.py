"""Pictures: checked, upright, in sRGB, at most as large as asked, stored as JPEG, PNG or WebP.

In: source bytes. Out: tar bytes and exact integer statistics. A picture that needs no change keeps its source bytes, after it was
decoded once to prove that it is whole. An SVG is drawn first, and then goes the way of any other picture.
Must not import torch: that is `image_reader`.
"""

from __future__ import annotations

import io
import math
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import simplejpeg
from PIL import Image as Pillow

from tasks.contracts import Encoded, Fit, Reader
from tasks.errors import BadMember, FilteredOut
from tasks.modalities import image_pixels as pixels
from tasks.modalities.config import ImageFit, ImagePrepare, ImageRead
from tasks.modalities.image_header import Header, open_image
from tasks.modalities.jpeg_zeros import check_zeros
from tasks.modalities.png_chunks import check_png
from tasks.modalities.svg_document import looks_like_xml

CHECKS = {"jpeg": check_zeros, "png": check_png}
"""Format → what its decoder would let pass."""
FILE_EXTENSION = {"jpeg": "jpg", "png": "png", "webp": "webp"}
STATISTICS_SIDE = 512
"""Statistics of larger pictures come from a regular grid of their pixels."""

WEBP_SIDE = 16_383
"""The longest side that WebP can store, in pixels."""

_LEVELS_256_2 = np.stack([np.arange(256), np.arange(256) ** 2], axis=1)


class Image:
    """`tasks.contracts.Modality` of pictures."""

    def encode(self, data: bytes, prepare: ImagePrepare) -> Encoded:
        """Reasons: `image/empty|format|too_large|truncated|corrupt`, of SVG also those of `svg_render`, and the filter `image/min_side`."""
        vector = looks_like_xml(data)
        if vector:
            data = _drawn(data, prepare)
        header = open_image(data, prepare.max_pixels)
        if not vector and header.format not in prepare.accept:
            raise _unaccepted(header.format, prepare)
        if header.format in CHECKS and not vector and prepare.verify == "decode":
            CHECKS[header.format](data)
        size = _upright_size(header)
        if min(size) < prepare.min_side:
            raise FilteredOut("image/min_side", f"{size[0]} x {size[1]} pixels; the shorter side must have {prepare.min_side}")
        canvas, target = _target(size, prepare)
        gray = prepare.mode == "gray"
        if canvas == size and not vector and _can_stay(header, prepare):
            seen = None if prepare.verify == "header" else pixels.decode(header, gray, prepare.alpha)
            return Encoded(FILE_EXTENSION[header.format], data, _statistics(seen, size, len(data), gray))
        stored = target[::-1] if header.turned else target
        image = pixels.decode(header, gray, prepare.alpha, stored)
        image = pixels.scale(image, stored, prepare.fit if prepare.size else "squash", prepare.resample)
        image = pixels.pad(pixels.turn(image, header.orientation), canvas, prepare.alpha)
        encoded = _compress(image, prepare)
        seen = None if prepare.verify == "header" else image
        return Encoded(FILE_EXTENSION[prepare.format], encoded, _statistics(seen, canvas, len(encoded), gray))

    def probes(self) -> Iterator[bytes]:
        """Colour, grey, turned, CMYK, transparent, palette, profiled and vector pictures."""
        folder = Path(__file__).parent / "probes"
        for path in sorted(folder.glob("image-*")):
            yield path.read_bytes()

    def fit(self, config: ImageFit, stats: Mapping[str, Any], members: Callable[[], Iterator[bytes]]) -> Fit:
        """`mean` and `std` of each channel, of values 0 to 1; 0 and 1 when there are no pictures, or none was decoded."""
        del config, members
        num_pixels = stats.get("pixels", 0)
        if not num_pixels:
            return Fit({"count": stats.get("count", 0), "mean": [0.0], "std": [1.0]})
        pairs = list(zip(stats["sum"], stats["sum_sq"], strict=True))
        mean = [total / num_pixels / 255 for total, _ in pairs]
        variance = [(num_pixels * squares - total * total) / (num_pixels * num_pixels) / 255**2 for total, squares in pairs]
        return Fit({"count": stats["count"], "mean": mean, "std": [max(math.sqrt(value), 1 / 255) for value in variance]})

    def reader(self, config: ImageRead, fit: Fit) -> Reader:
        from tasks.modalities.image_reader import ImageReader

        return ImageReader.build(config, fit)


def _drawn(data: bytes, prepare: ImagePrepare) -> bytes:
    """The PNG of an SVG. resvg is imported for the first one."""
    if "svg" not in prepare.accept:
        raise _unaccepted("svg", prepare)
    from tasks.modalities.svg_render import render_svg

    return render_svg(data, prepare.svg_side, prepare.size and prepare.size[::-1], prepare.max_pixels)


def _unaccepted(name: str, prepare: ImagePrepare) -> BadMember:
    return BadMember("image/format", f"{name}; `accept` of its `prepare` allows {', '.join(prepare.accept)}")


def _upright_size(header: Header) -> tuple[int, int]:
    """Width and height after turning."""
    return (header.height, header.width) if header.turned else (header.width, header.height)


def _target(size: tuple[int, int], prepare: ImagePrepare) -> tuple[tuple[int, int], tuple[int, int]]:
    """(canvas, picture on it), each width and height after turning; they differ only for `pad`."""
    if prepare.size is not None:
        canvas = (prepare.size[1], prepare.size[0])
        return canvas, pixels.inside(size, canvas) if prepare.fit == "pad" else canvas
    if prepare.max_side is not None and max(size) > prepare.max_side:
        smaller = pixels.inside(size, (prepare.max_side, prepare.max_side))
        return smaller, smaller
    return size, size


def _can_stay(header: Header, prepare: ImagePrepare) -> bool:
    """The source's own bytes already are what is asked for (its size was looked at before)."""
    modes = {"1", "L"} if prepare.mode == "gray" else {"1", "L", "P", "RGB"}
    return (
        header.format in prepare.keep
        and header.orientation == 1
        and header.image.mode in modes
        and not header.transparent
        and getattr(header.image, "n_frames", 1) == 1
        and not pixels.needs_profile(header)
    )


def _compress(image: Pillow.Image, prepare: ImagePrepare) -> bytes:
    if prepare.format == "jpeg":
        pixels_HW = np.asarray(image)
        if image.mode == "L":
            return bytes(simplejpeg.encode_jpeg(pixels_HW[:, :, None], prepare.quality, "GRAY", "Gray"))
        return bytes(simplejpeg.encode_jpeg(pixels_HW, prepare.quality, "RGB", "420"))
    buffer = io.BytesIO()
    if prepare.format == "png":
        image.save(buffer, "PNG", compress_level=6)
        return buffer.getvalue()
    if max(image.size) > WEBP_SIDE:
        detail = f"{image.width} x {image.height}: WebP stores sides up to {WEBP_SIDE} pixels; set `max_side` or another `format`"
        raise BadMember("image/too_large", detail)
    image.save(buffer, "WEBP", quality=prepare.quality, method=4)
    return buffer.getvalue()


def _statistics(image: Pillow.Image | None, size: tuple[int, int], num_bytes: int, gray: bool) -> dict[str, int | list[int]]:
    """Of the file, and sums over pixels per channel: one channel when `gray`, else three (a grey picture counts thrice). None = not
    decoded: sums over some pictures only would be no mean of all.
    """
    known: dict[str, int | list[int]] = {
        "bytes": num_bytes,
        "count": 1,
        "max_height": size[1],
        "max_width": size[0],
        "min_height": size[1],
        "min_width": size[0],
    }
    return known if image is None else known | _sums(image, gray)


def _sums(image: Pillow.Image, gray: bool) -> dict[str, int | list[int]]:
    if max(image.size) > STATISTICS_SIDE:
        image = image.resize(pixels.inside(image.size, (STATISTICS_SIDE, STATISTICS_SIDE)), Pillow.Resampling.NEAREST)
    sums_C2 = (np.asarray(image.histogram()).reshape(-1, 256) @ _LEVELS_256_2).tolist()
    if len(sums_C2) == 1 and not gray:
        sums_C2 = sums_C2 * 3
    return {
        "pixels": image.width * image.height,
        "sum": [channel[0] for channel in sums_C2],
        "sum_sq": [channel[1] for channel in sums_C2],
    }
