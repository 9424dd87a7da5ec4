"""An SVG to a PNG with transparency, by resvg.

In: bytes of unknown worth. Out: bytes that go the way of any other picture. resvg draws without system libraries, and is given neither
fonts nor a folder; what it gets is written anew from the checked tree. Sizes are whole pixels, so the same SVG gives the same pixels.
"""

from __future__ import annotations

import base64
import binascii
import math
import re
from collections.abc import Iterator
from urllib.parse import unquote_to_bytes
from xml.sax.saxutils import escape, quoteattr

import resvg

from tasks.errors import BadMember
from tasks.modalities.image_header import DECODING_ERRORS, bad_image, open_image
from tasks.modalities.png_chunks import check_png
from tasks.modalities.svg_cost import check_cost
from tasks.modalities.svg_document import EMBEDDING, SVG, Element, parse_svg

MAX_SIDE = 4096
"""Pixels; the most that is drawn for `size`."""
MAX_RATIO = 1e6
"""Of width to height, or of height to width: beyond it a side of a pixel stands for nothing."""
AS_IT_IS = (1.0, 0.0, 0.0, 0.0, 1.0, 0.0)
"""The first two rows of the transform that changes nothing."""
PIXELS = {"": 1.0, "px": 1.0, "pt": 96 / 72, "pc": 16.0, "mm": 96 / 25.4, "cm": 96 / 2.54, "in": 96.0, "em": 16.0, "ex": 8.0}
"""Unit of a length → pixels."""

_LENGTH = re.compile(r"\s*([+-]?(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?)\s*([a-z%]*)\s*")


def render_svg(data: bytes, side: int, cover: tuple[int, int] | None, max_pixels: int) -> bytes:
    """A PNG whose longest side is `side`, or larger as far as both sides need to reach `cover` (width, height).

    `max_pixels` holds for the pictures inside, all together. BadMember as of `parse_svg` and `check_cost`, and `image/svg_size`.
    """
    root = parse_svg(data)
    check_cost(root)
    _check_embedded(root, max_pixels)
    natural = _natural_size(root)
    width, height = _drawn_size(natural, side, cover)
    if "viewBox" not in root.attributes:
        root.attributes |= {"viewBox": f"0 0 {natural[0]!r} {natural[1]!r}", "preserveAspectRatio": "none"}
    root.attributes |= {"width": str(width), "height": str(height), "xmlns": SVG}
    return _draw("".join(_written(root)))


def _draw(text: str) -> bytes:
    try:
        tree = resvg.usvg.Tree.from_str(text, resvg.usvg.Options.default())  # 96 dots an inch, English, no folder, no fonts
        return resvg.render(tree, AS_IT_IS)
    except ValueError as error:
        raise BadMember("image/corrupt", f"the SVG cannot be drawn: {error}") from error
    except BaseException as error:
        if type(error).__name__ != "PanicException":  # of Rust; no Exception, and importable from nowhere
            raise
        raise BadMember("image/corrupt", f"the SVG cannot be drawn: {error}") from error


def _natural_size(root: Element) -> tuple[float, float]:
    """Width and height in pixels, of which only the ratio counts, from the attributes or the `viewBox`."""
    width, height = (_length(root.attributes.get(name, "")) for name in ("width", "height"))
    try:
        box = [float(number) for number in re.split(r"[\s,]+", root.attributes.get("viewBox", "").strip()) if number]
    except ValueError:
        box = []
    if len(box) == 4 and box[2] > 0 and box[3] > 0:
        ratio = box[2] / box[3]
        width, height = width or (height * ratio if height else box[2]), height or (width / ratio if width else box[3])
    else:
        root.attributes.pop("viewBox", None)
    if not width or not height or not 1 / MAX_RATIO <= width / height <= MAX_RATIO:
        given = ", ".join(f"{name}={root.attributes[name]!r}" for name in ("width", "height", "viewBox") if name in root.attributes)
        said = "is longer than any picture" if width and height else "does not say how large it is"
        raise BadMember("image/svg_size", f"the SVG {said} ({given or 'no width, height or viewBox'})")
    return width, height


def _length(text: str) -> float | None:
    """Pixels of a length; None when there is none, or it is a share of something."""
    found = _LENGTH.fullmatch(text)
    if not found or found[2] not in PIXELS:
        return None
    pixels = float(found[1]) * PIXELS[found[2]]
    return pixels if pixels > 0 else None


def _drawn_size(natural: tuple[float, float], side: int, cover: tuple[int, int] | None) -> tuple[int, int]:
    longest = max(natural)
    if cover is not None:
        needed = longest * max(cover[0] / natural[0], cover[1] / natural[1])
        side = max(side, math.ceil(min(needed, MAX_SIDE)))
    width, height = (max(1, round(side * length / longest)) for length in natural)
    return width, height


def _check_embedded(root: Element, max_pixels: int) -> None:
    """Pictures inside must be whole PNGs or JPEGs, which resvg would otherwise leave out without a word."""
    left = max_pixels
    for element in _walk(root):
        address = element.attributes.get("href", "")
        if element.name not in EMBEDDING or address.startswith("#") or not address:
            continue
        picture = _embedded(address)
        header = open_image(picture, left)
        if header.format not in {"png", "jpeg"}:
            raise BadMember("image/format", f"the SVG holds a picture as {header.format}; PNG and JPEG are read")
        if header.format == "png":
            check_png(picture)
        left -= header.width * header.height
        try:
            header.image.load()
        except DECODING_ERRORS as error:
            raise bad_image(error) from error
        element.attributes["href"] = f"data:image/{header.format};base64,{base64.b64encode(picture).decode()}"


def _embedded(address: str) -> bytes:
    head, _, body = address.partition(",")
    if not head.endswith(";base64"):
        raise BadMember("image/format", f"the SVG holds a picture as {head[:60]!r}; PNG and JPEG in base64 are read")
    try:
        return base64.b64decode("".join(unquote_to_bytes(body).decode("ascii").split()), validate=True)
    except (binascii.Error, UnicodeError) as error:
        raise BadMember("image/corrupt", f"the SVG holds a picture whose base64 is damaged: {error}") from error


def _walk(element: Element) -> Iterator[Element]:
    yield element
    for child in element.children:
        yield from _walk(child)


def _written(element: Element) -> Iterator[str]:
    """XML, attributes in the order of the source."""
    yield f"<{element.name}"
    for name, value in element.attributes.items():
        yield f" {name}={quoteattr(value)}"
    yield f">{escape(element.text)}"
    for child in element.children:
        yield from _written(child)
    yield f"</{element.name}>"
