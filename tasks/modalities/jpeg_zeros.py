"""Blocks of zeros in a JPEG, as a disk leaves them that lost a sector, told from zeros that a picture may hold.

In: bytes that begin as a JPEG does. Out: nothing, or BadMember. A decoder takes zeros for the shortest code of the table in use. Where that
code ends a block, many zeros are a plain area, and where they are damage the picture ends too early, which the decoder notices. In the
tables that most encoders use it is a coefficient of -1 instead: zeros then draw a pattern that no picture has, at about the rate of a
picture of high quality, and the decoder may arrive at the right end. Such a run is refused here.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator

from tasks.errors import BadMember

MOST = 64
"""Zero bytes in a row: at least 2 blocks whose every coefficient is -1."""
SCAN, TABLES, END = 0xDA, 0xC4, 0xD9
BARE = frozenset({0x01, 0xD8, *range(0xD0, 0xD8)})
"""Markers without a length."""


def check_zeros(data: bytes) -> None:
    """BadMember `image/corrupt`."""
    if data.find(bytes(MOST)) < 0:
        return
    for start, end, natural in _scans(data):
        at = data.find(bytes(MOST), start, end)
        if at >= 0 and not natural:
            raise BadMember("image/corrupt", f"from offset {at} there are {MOST} zero bytes and more, which no picture has there")


def _scans(data: bytes) -> Iterator[tuple[int, int, bool]]:
    """Start and end of the coded data of each scan, and whether zeros may be a plain area in it."""
    ends_block: dict[int, bool] = {}
    position = 2
    while position + 4 <= len(data) and data[position] == 0xFF:
        marker = data[position + 1]
        if marker == 0xFF or marker in BARE:
            position += 1 if marker == 0xFF else 2
            continue
        if marker == END:
            return
        (size,) = struct.unpack_from(">H", data, position + 2)
        body = data[position + 4 : position + 2 + size]
        position += 2 + size
        if marker == TABLES:
            ends_block.update(_tables(body))
        elif marker == SCAN and len(body) >= 4:
            end = _end_of_scan(data, position)
            yield position, end, _natural(body, ends_block)
            position = end


def _tables(body: bytes) -> Iterator[tuple[int, bool]]:
    """Of each table of AC coefficients: its number, and whether the code of zeros alone ends a block (or several)."""
    position = 0
    while position + 17 <= len(body):
        kind, counts = body[position], body[position + 1 : position + 17]
        symbols = body[position + 17 : position + 17 + sum(counts)]
        if kind >> 4 == 1 and symbols:
            yield kind & 15, symbols[0] & 15 == 0 and symbols[0] != 0xF0
        position += 17 + sum(counts)


def _natural(body: bytes, ends_block: dict[int, bool]) -> bool:
    """By the header of a scan: DC alone, refinements, or some table whose shortest code ends blocks."""
    components = body[0]
    spectral_end, refined = body[-2], body[-1] >> 4
    if spectral_end == 0 or refined:
        return True
    return all(ends_block.get(body[2 + 2 * number] & 15, True) for number in range(min(components, (len(body) - 4) // 2)))


def _end_of_scan(data: bytes, position: int) -> int:
    """Where the next marker is that is neither a restart nor a stuffed byte."""
    while (position := data.find(b"\xff", position)) >= 0:
        following = data[position + 1 : position + 2]
        if following and following != b"\0" and not 0xD0 <= following[0] <= 0xD7:
            return position
        position += 2
    return len(data)
