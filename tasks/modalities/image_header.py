"""What a picture's header says, before a pixel is decoded.

In: bytes of unknown worth. Out: format, size, mode, orientation, colour profile, all by an explicit list of formats; or BadMember. The
size is checked here, so that a small file that unfolds to gigabytes costs nothing. Pillow's plugins are called directly: `Image.open`
has a limit of its own, lower than ours, and would try formats that nobody asked for.
"""

from __future__ import annotations

import io
import struct
import zlib
from dataclasses import dataclass
from typing import Any

import simplejpeg
from PIL import Image
from PIL.BmpImagePlugin import BmpImageFile
from PIL.GifImagePlugin import GifImageFile
from PIL.ImageFile import ImageFile
from PIL.JpegImagePlugin import JpegImageFile
from PIL.PngImagePlugin import PngImageFile
from PIL.TiffImagePlugin import TiffImageFile
from PIL.WebPImagePlugin import WebPImageFile

from tasks.errors import BadMember

PLUGINS: dict[str, type[ImageFile]] = {
    "jpeg": JpegImageFile,
    "png": PngImageFile,
    "webp": WebPImageFile,
    "gif": GifImageFile,
    "bmp": BmpImageFile,
    "tiff": TiffImageFile,
}
MAGIC = (
    (b"\xff\xd8\xff", "jpeg"),
    (b"\x89PNG\r\n\x1a\n", "png"),
    (b"GIF87a", "gif"),
    (b"GIF89a", "gif"),
    (b"BM", "bmp"),
    (b"II*\x00", "tiff"),
    (b"MM\x00*", "tiff"),
)
DECODING_ERRORS = (
    OSError,
    SyntaxError,
    ValueError,
    EOFError,
    LookupError,
    TypeError,
    AttributeError,
    OverflowError,
    NotImplementedError,
    struct.error,
    zlib.error,
    Image.DecompressionBombError,
)
"""What Pillow's plugins raise on damaged files; MemoryError, ImportError and NameError are not among them."""

ORIENTATION = 0x0112


@dataclass(frozen=True)
class Header:
    """A picture that passed its header checks."""

    data: bytes
    format: str
    """One of PLUGINS."""
    width: int
    """Pixels, as stored: before the orientation is applied."""
    height: int
    orientation: int
    """EXIF, 1 to 8; 1 = upright."""
    profile: bytes | None
    """ICC profile."""
    image: ImageFile
    """Opened, not decoded."""

    @property
    def turned(self) -> bool:
        """The orientation exchanges width and height."""
        return self.orientation >= 5

    @property
    def transparent(self) -> bool:
        return self.image.mode in {"LA", "PA", "RGBA", "La", "RGBa"} or "transparency" in self.image.info


def image_format(data: bytes) -> str:
    """One of PLUGINS by the first bytes. BadMember `image/empty` or `image/format`."""
    if not data:
        raise BadMember("image/empty", "the file has no bytes")
    for magic, name in MAGIC:
        if data.startswith(magic):
            return name
    if data[:4] == b"RIFF" and data[8:12] == b"WEBP":
        return "webp"
    raise BadMember("image/format", f"begins with {data[:8].hex(' ')}, which is none of {', '.join(PLUGINS)}")


def open_image(data: bytes, max_pixels: int) -> Header:
    """Header of a picture. BadMember `image/format`, `image/too_large`, `image/truncated` or `image/corrupt`."""
    name = image_format(data)
    if name == "webp":
        check_pixels(*_webp_size(data), max_pixels)  # Pillow reserves the canvas when it opens a WebP
    try:
        image = PLUGINS[name](io.BytesIO(data))
        check_pixels(image.width, image.height, max_pixels)
        orientation = image.getexif().get(ORIENTATION, 1) if _may_be_turned(image) else 1
    except DECODING_ERRORS as error:
        raise bad_image(error) from error
    upright = not isinstance(orientation, int) or not 1 <= orientation <= 8
    profile = image.info.get("icc_profile")
    return Header(data, name, image.width, image.height, 1 if upright else orientation, profile or None, image)


def check_pixels(width: int, height: int, max_pixels: int) -> None:
    """BadMember `image/too_large` when there are more than `max_pixels`."""
    if width * height > max_pixels:
        detail = f"{width} x {height} are {width * height} pixels; `max_pixels` of its `prepare` allows {max_pixels}"
        raise BadMember("image/too_large", detail)


def bad_image(error: BaseException) -> BadMember:
    """The BadMember for what a decoder raised."""
    text = str(error)
    truncated = any(word in text.lower() for word in ("truncated", "premature", "unexpected end"))
    return BadMember("image/truncated" if truncated else "image/corrupt", text or type(error).__name__)


def jpeg_size(data: bytes) -> tuple[int, int]:
    """Width and height of a JPEG, by its header. BadMember when there is none."""
    try:
        height, width, _, _ = simplejpeg.decode_jpeg_header(data)
    except ValueError as error:
        raise bad_image(error) from error
    return int(width), int(height)


def _may_be_turned(image: ImageFile) -> bool:
    """Only then is the EXIF block parsed, which costs as much as all the rest of a header."""
    return "exif" in image.info or "Raw profile type exif" in image.info or image.format == "TIFF"


def _webp_size(data: bytes) -> tuple[int, int]:
    """Canvas of a WebP: VP8X, VP8L or VP8, by RFC 9649."""
    kind, body = data[12:16], data[20:30]
    if len(body) < 10:
        raise BadMember("image/truncated", f"the WebP header ends after {len(data)} bytes")
    if kind == b"VP8X":
        return 1 + int.from_bytes(body[4:7], "little"), 1 + int.from_bytes(body[7:10], "little")
    if kind == b"VP8L":
        bits = int.from_bytes(body[1:5], "little")
        return 1 + (bits & 0x3FFF), 1 + (bits >> 14 & 0x3FFF)
    if kind == b"VP8 ":
        sides: Any = struct.unpack("<HH", body[6:10])
        return sides[0] & 0x3FFF, sides[1] & 0x3FFF
    raise BadMember("image/corrupt", f"the first chunk of the WebP is {kind!r}")
