"""Header to pixels: decoding, colour, scaling, turning.

In: a `Header`. Out: a Pillow picture of mode RGB or L. Each picture is decoded once and copied as little as possible, since this is
the hot path of sharding. JPEGs go through simplejpeg: strict about damage, and scaled while decoding (by 2, 4 or 8 only: for other
factors libjpeg has no vector code, and 5/8 takes twice as long as 1/1).
"""

from __future__ import annotations

import functools
import io

import numpy as np
import numpy.typing as npt
import simplejpeg
from PIL import Image, ImageCms

from tasks.errors import BadMember
from tasks.modalities.image_header import DECODING_ERRORS, Header, bad_image

BACKGROUND = {"white": (255, 255, 255), "black": (0, 0, 0)}
FILTERS = {"bilinear": Image.Resampling.BILINEAR, "bicubic": Image.Resampling.BICUBIC, "lanczos": Image.Resampling.LANCZOS}
UPRIGHT = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
"""EXIF orientation → what undoes it."""

PROFILE_SPACES = {"RGB": "RGB", "GRAY": "L", "CMYK": "CMYK"}
"""Colour space of an ICC profile → the Pillow mode that it describes."""


def decode(header: Header, gray: bool, background: str, at_least: tuple[int, int] | None = None) -> Image.Image:
    """All pixels as RGB or L, opaque, sRGB, not yet turned. L when `gray` or when the source is grey.

    A JPEG may come smaller, but no side below `at_least` (width, height). BadMember when the picture is not whole.
    """
    convert = needs_profile(header)
    if header.format == "jpeg" and header.image.mode in {"RGB", "L"}:
        plain_gray = header.image.mode == "L" or (gray and not convert)
        image = decode_jpeg(header.data, (header.width, header.height), plain_gray, at_least)
    else:
        try:
            header.image.load()
        except DECODING_ERRORS as error:
            raise bad_image(error) from error
        image = header.image
    return _flatten(image, header, convert, gray, background)


def decode_jpeg(data: bytes, size: tuple[int, int], gray: bool, at_least: tuple[int, int] | None = None) -> Image.Image:
    """A JPEG of `size` (width, height), scaled by 1/2, 1/4 or 1/8 as far as both sides stay `at_least`."""
    return jpeg_image(decode_jpeg_array(data, size, gray, at_least))


def decode_jpeg_array(
    data: bytes,
    size: tuple[int, int],
    gray: bool,
    at_least: tuple[int, int] | None = None,
    slot: npt.NDArray[np.uint8] | None = None,
) -> npt.NDArray[np.uint8]:
    """The same as uint8 HWC, which saves the two copies into a picture and out of it; `slot` itself, filled, where it has that shape."""
    width, height = _scaled(size, at_least)
    space = "GRAY" if gray else "RGB"
    try:
        if slot is not None and slot.shape == (height, width, 1 if gray else 3):
            simplejpeg.decode_jpeg(data, space, min_height=height, min_width=width, buffer=slot)
            return slot
        pixels_HWC: npt.NDArray[np.uint8] = simplejpeg.decode_jpeg(data, space, min_height=height, min_width=width)
    except ValueError as error:
        raise bad_image(error) from error
    return pixels_HWC


def jpeg_image(pixels_HWC: npt.NDArray[np.uint8]) -> Image.Image:
    """RGB, or L where there is one channel."""
    return Image.fromarray(pixels_HWC[:, :, 0] if pixels_HWC.shape[2] == 1 else pixels_HWC)


def scale(image: Image.Image, size: tuple[int, int], fit: str, resample: str) -> Image.Image:
    """To `size` (width, height). `crop` takes the largest middle part of that shape; all else stretches (for `pad`, see `inside`)."""
    if image.size == size:
        return image
    box = _middle(image.size, size) if fit == "crop" else None
    return image.resize(size, FILTERS[resample], box=box, reducing_gap=2.0)


def inside(size: tuple[int, int], frame: tuple[int, int]) -> tuple[int, int]:
    """The largest size of the same shape that fits into `frame`; sides at least 1. Exact integer rounding."""
    width, height = size
    if width * frame[1] >= height * frame[0]:
        return frame[0], max(1, (2 * height * frame[0] + width) // (2 * width))
    return max(1, (2 * width * frame[1] + height) // (2 * height)), frame[1]


def pad(image: Image.Image, size: tuple[int, int], background: str) -> Image.Image:
    """The picture in the middle of a canvas of `size` (width, height)."""
    if image.size == size:
        return image
    colour = BACKGROUND[background]
    canvas = Image.new(image.mode, size, colour if image.mode == "RGB" else colour[0])
    canvas.paste(image, ((size[0] - image.width) // 2, (size[1] - image.height) // 2))
    return canvas


def turn(image: Image.Image, orientation: int) -> Image.Image:
    """Upright, whatever the EXIF orientation was."""
    return image.transpose(UPRIGHT[orientation]) if orientation in UPRIGHT else image


def needs_profile(header: Header) -> bool:
    """There is a colour profile, it fits the picture, and it is not sRGB already."""
    return header.profile is not None and _transform(header.profile, *_profile_modes(header)) is not None


def _profile_modes(header: Header) -> tuple[str, str]:
    mode = header.image.mode
    if mode in {"P", "PA", "RGBA", "RGBa", "YCbCr"}:
        mode = "RGB"
    if mode in {"LA", "La", "1"}:
        mode = "L"
    return mode, "RGB"


@functools.lru_cache(maxsize=16)
def _transform(profile: bytes, mode: str, output: str) -> ImageCms.ImageCmsTransform | None:
    """From a profile to sRGB; None when the profile is sRGB, is damaged or describes another mode."""
    try:
        source = ImageCms.ImageCmsProfile(io.BytesIO(profile))
        described = PROFILE_SPACES.get(source.profile.xcolor_space.strip())
        if described != mode or (source.profile.profile_description or "").startswith("sRGB"):
            return None
        return ImageCms.buildTransform(source, ImageCms.createProfile("sRGB"), mode, output)
    except (ImageCms.PyCMSError, OSError, ValueError, TypeError):
        return None


def _flatten(image: Image.Image, header: Header, convert: bool, gray: bool, background: str) -> Image.Image:
    """RGB or L: 16 bits to 8, colours to sRGB, transparency over the background."""
    if image.mode.startswith("I;16"):
        image = Image.fromarray((np.asarray(image).astype(np.uint16) >> 8).astype(np.uint8))
    if image.mode not in {"1", "L", "LA", "La", "P", "PA", "RGB", "RGBA", "RGBa", "CMYK", "YCbCr"}:
        raise BadMember("image/format", f"pixels of mode {image.mode} are not read; save it with 8 or 16 bits per channel")
    colourless = image.mode in {"1", "L", "LA", "La"}
    alpha = _as(image, "RGBA").getchannel("A") if header.transparent else None
    if convert and header.profile is not None:
        mode, output = _profile_modes(header)
        transform = _transform(header.profile, mode, output)
        assert transform is not None, "needs_profile said that there is one"
        image = ImageCms.applyTransform(_as(image, mode), transform) or image
    if alpha is not None:
        canvas = Image.new("RGB", image.size, BACKGROUND[background])
        canvas.paste(_as(image, "RGB"), mask=alpha)
        image = canvas
    return _as(image, "L" if gray or colourless else "RGB")


def _as(image: Image.Image, mode: str) -> Image.Image:
    return image if image.mode == mode else image.convert(mode)


def _scaled(size: tuple[int, int], at_least: tuple[int, int] | None) -> tuple[int, int]:
    """The size after the largest allowed division by 8, 4 or 2; sides round up, as libjpeg's do."""
    for divisor in (8, 4, 2):
        smaller = (-(-size[0] // divisor), -(-size[1] // divisor))
        if at_least is not None and smaller[0] >= at_least[0] and smaller[1] >= at_least[1]:
            return smaller
    return size


def _middle(size: tuple[int, int], shape: tuple[int, int]) -> tuple[float, float, float, float]:
    """The box of the largest middle part of `size` that has the shape of `shape`."""
    width = min(size[0], size[1] * shape[0] / shape[1])
    height = min(size[1], size[0] * shape[1] / shape[0])
    left, top = (size[0] - width) / 2, (size[1] - height) / 2
    return left, top, min(left + width, size[0]), min(top + height, size[1])
