"""Deterministic WebDataset tars: what a shard is on disk.

In: samples in order, each a key and its members. Out: a POSIX ustar archive (with PAX headers only where ustar cannot say a name
or a size), members of a sample adjacent and sorted by extension, one fixed owner, mode and time, so that equal samples give equal
bytes; and where each member's data lies, so that readers need no scan. Must not import ray or torch.
"""

from __future__ import annotations

import hashlib
import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import BinaryIO

BLOCK = 512
MODE = 0o444
_USTAR_SIZE_LIMIT = 8 << 30
_NAME_BYTES, _PREFIX_BYTES = 100, 155
_END = bytes(2 * BLOCK)


@dataclass(frozen=True)
class Span:
    """Where a member's data lies in its tar."""

    offset: int
    """Bytes from the start of the tar to the first byte of the data."""
    size: int
    crc32: int
    """CRC-32 of the data, so that a reader notices damage without hashing the tar."""


class TarWriter:
    """Writes samples to an open binary file and hashes what it writes. Close the file yourself, after `finish`."""

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self._sha256 = hashlib.sha256()
        self.num_bytes = 0
        self.num_samples = 0

    def add(self, key: str, members: Mapping[str, bytes]) -> dict[str, Span]:
        """Append one sample; `members` maps extensions (without a dot in front) to bytes. Returns extension → span."""
        spans, parts, position = {}, [], self.num_bytes
        for extension in sorted(members):
            data = members[extension]
            head = header(f"{key}.{extension}", len(data))
            spans[extension] = Span(position + len(head), len(data), zlib.crc32(data))
            padding = -len(data) % BLOCK
            parts += [head, data, bytes(padding)]
            position += len(head) + len(data) + padding
        self._write(b"".join(parts))
        self.num_samples += 1
        return spans

    def finish(self) -> str:
        """Write the end-of-archive marker and flush. Returns the SHA-256 of the whole tar, 64 hex digits."""
        self._write(_END)
        self._file.flush()
        return self._sha256.hexdigest()

    def _write(self, data: bytes) -> None:
        self._file.write(data)
        self._sha256.update(data)
        self.num_bytes += len(data)


def header(name: str, size: int) -> bytes:
    """The header blocks of one regular file: 512 bytes, or more where a PAX record is needed."""
    encoded = name.encode()
    pax = {}
    fields = _split(encoded) if name.isascii() else None
    if fields is None:
        pax["path"] = encoded
        fields = (b"", encoded.decode("ascii", "replace").encode("ascii", "replace")[:_NAME_BYTES])
    if size >= _USTAR_SIZE_LIMIT:
        pax["size"] = str(size).encode()
    blocks = _ustar(*fields, 0 if "size" in pax else size, b"0")
    if not pax:
        return blocks
    body = b"".join(_pax_record(keyword, value) for keyword, value in sorted(pax.items()))
    return _ustar(b"", b"././@PaxHeader", len(body), b"x") + body + bytes(-len(body) % BLOCK) + blocks


def _split(name: bytes) -> tuple[bytes, bytes] | None:
    if len(name) <= _NAME_BYTES:
        return b"", name
    cut = name.find(b"/", len(name) - _NAME_BYTES - 1)
    if cut <= 0 or cut > _PREFIX_BYTES or cut == len(name) - 1:
        return None
    return name[:cut], name[cut + 1 :]


def _ustar(prefix: bytes, name: bytes, size: int, kind: bytes) -> bytes:
    front = name.ljust(_NAME_BYTES, b"\0") + b"%07o\0%07o\0%07o\0%011o\0%011o\0" % (MODE, 0, 0, size, 0)
    back = kind + bytes(100) + b"ustar\x0000" + bytes(64) + b"%07o\0%07o\0" % (0, 0) + prefix.ljust(_PREFIX_BYTES, b"\0") + bytes(12)
    checksum = sum(front) + sum(back) + 8 * ord(" ")
    return front + b"%06o\0 " % checksum + back


def _pax_record(keyword: str, value: bytes) -> bytes:
    """`length keyword=value\\n`, where length counts its own digits."""
    rest = b" " + keyword.encode() + b"=" + value + b"\n"
    length = len(rest) + 1
    while length != len(str(length)) + len(rest):
        length = len(str(length)) + len(rest)
    return str(length).encode() + rest
