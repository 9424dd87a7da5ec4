"""Is a PNG whole: every chunk with its checksum, up to the last (RFC 2083).

In: bytes that begin as a PNG does. Out: nothing, or BadMember. Pillow passes over the checksums of pixels and does not miss the end, so
that a damaged picture becomes another one without a word. At a gigabyte a second this is a small part of decoding.
"""

from __future__ import annotations

import struct
import zlib

from tasks.errors import BadMember

SIGNATURE_BYTES = 8
PALETTE = 3
"""The colour type whose pixels are numbers of a palette."""


def check_png(data: bytes) -> None:
    """BadMember `image/truncated` or `image/corrupt`. What follows the last chunk is nobody's business."""
    view = memoryview(data)
    position, seen = SIGNATURE_BYTES, set()
    while True:
        if position + 8 > len(data):
            raise BadMember("image/truncated", f"the PNG ends after {len(data)} bytes, before its last chunk")
        size, name = struct.unpack_from(">I4s", data, position)
        end = position + 12 + size
        if end > len(data):
            raise BadMember("image/truncated", f"the chunk {name!r} of the PNG goes on for {end - len(data)} bytes after the end")
        if zlib.crc32(view[position + 4 : end - 4]) != int.from_bytes(view[end - 4 : end], "big"):
            raise BadMember("image/corrupt", f"the checksum of the chunk {name!r} of the PNG, at offset {position}, is wrong")
        seen.add(name)
        if name == b"IEND":
            break
        position = end
    if data[SIGNATURE_BYTES + 17] == PALETTE and b"PLTE" not in seen:
        raise BadMember("image/corrupt", "the pixels of the PNG are numbers of a palette, and there is none")
