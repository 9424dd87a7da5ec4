"""The members of a tar, by its headers alone.

In: a path. Out: name, offset and size of every regular file in it, in its order; no byte of a member is read and nothing is extracted.
Python's `tarfile` takes a damaged header for the end of the archive, and so does whoever reads a tar as a stream; here a tar that is not
whole is refused, with the place where it breaks off. It also believes what a header says of its own size, which may be gigabytes, searches
in it at a price that grows with the square of a run of digits, and calls itself for each header in a row: see `_Headers` and `BROKEN`.
"""

from __future__ import annotations

import re
import tarfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from tasks.errors import SourceError

BLOCK = tarfile.BLOCKSIZE
CHUNK_BYTES = 1 << 20
MAX_HEADER_BYTES = 1 << 20
"""Of a long name or of what PAX says about one member; Linux allows paths of 4 kB and attributes of 64 kB."""
BROKEN = (tarfile.TarError, ValueError, OverflowError, RecursionError)
"""What `tarfile` raises on headers that are none."""
COMPRESSED = {
    b"\x1f\x8b": ("gzip", "gunzip"),
    b"BZh": ("bzip2", "bunzip2"),
    b"\xfd7zXZ\x00": ("xz", "unxz"),
    b"\x28\xb5\x2f\xfd": ("zstd", "unzstd --rm"),
}
"""First bytes → what it is, and the command that undoes it."""


_DIGITS = re.compile(rb"\d{100}")


@dataclass(frozen=True, slots=True)
class Member:
    """A regular file in a tar."""

    name: str
    offset: int
    """Of its first byte, from the start of the tar."""
    size: int


def members(path: Path) -> Iterator[Member]:
    """All regular files; folders are passed over. SourceError for what is no whole, plain tar, and for harmful names and kinds."""
    try:
        with path.open("rb") as file:
            yield from _members(path, file)
    except OSError as error:
        raise SourceError(f"the tar {path} cannot be read: {error.strerror or error}") from error


def _members(path: Path, file: BinaryIO) -> Iterator[Member]:
    start = file.read(max(map(len, COMPRESSED)))
    for magic, (kind, command) in COMPRESSED.items():
        if start.startswith(magic):
            raise SourceError(
                f"{path} is compressed ({kind}), so that its members have no place in the file that can be read by itself; "
                f"unpack it with `{command} {path.name}` and name the .tar (media are compressed already: it hardly grows)"
            )
    if not start:
        raise SourceError(f"{path} is empty, not a tar; fetch it again, or take it out of `path`")
    file.seek(0)
    try:
        tar = tarfile.open(fileobj=_Headers(path, file), mode="r:")  # type: ignore[call-overload]  # noqa: SIM115 - closed by its opener
    except BROKEN as error:
        raise SourceError(f"{path} is no tar ({error}); check `path`") from error
    while True:
        before = tar.offset
        try:
            info = tar.next()
        except BROKEN as error:
            raise _broken(path, tar.offset, str(error)) from error
        if info is None:
            break
        plain = info.isreg() and not info.issparse()
        if tar.offset < before or (plain and not 0 <= info.size <= tar.offset - info.offset_data):
            raise _broken(path, info.offset, f"the size of {info.name!r} is said to be {info.size}")
        tar.members = []  # else it keeps all of them
        if not info.isdir():
            yield _checked(path, info)
    _check_end(path, file, tar.offset)


class _Headers:
    """A file as `tarfile` reads it, which asks for headers alone: SourceError for those that no packer writes."""

    def __init__(self, path: Path, file: BinaryIO) -> None:
        self._path, self._file = path, file
        self.seek, self.tell = file.seek, file.tell

    def read(self, size: int) -> bytes:
        if size > MAX_HEADER_BYTES:
            raise self._refused(f"{size:,} bytes; at most {MAX_HEADER_BYTES:,} are read")
        data = self._file.read(size)
        if size > BLOCK and _DIGITS.search(data):
            raise self._refused("a number of more than 100 digits")
        return data

    def _refused(self, what: str) -> SourceError:
        return SourceError(f"{self._path}: the header at byte {self.tell()} has {what}; a tar like this is refused, pack it again")


def _checked(path: Path, info: tarfile.TarInfo) -> Member:
    name, parts = info.name, info.name.split("/")
    if name.startswith("/") or ".." in parts:
        raise SourceError(
            f"{path}: the member {name!r} points out of its folder; a tar like this is refused, pack it again with plain names"
        )
    if info.issym() or info.islnk():
        kind = "a link to" if info.issym() else "the same file as"
        raise SourceError(
            f"{path}: the member {name!r} is {kind} {info.linkname!r}, and links are not followed; "
            "pack the tar again with `tar --dereference --hard-dereference`"
        )
    if not info.isreg():
        raise SourceError(f"{path}: the member {name!r} is a device or a pipe, not a file; a tar like this is refused, pack it without")
    if info.issparse():
        raise SourceError(f"{path}: the member {name!r} is stored with holes (sparse); pack the tar again without `--sparse`")
    try:
        name.encode()
    except UnicodeEncodeError as error:
        raise SourceError(f"{path}: the name of the member {name!r} is not UTF-8; rename it and pack the tar again") from error
    return Member(name, info.offset_data, info.size)


def _check_end(path: Path, file: BinaryIO, offset: int) -> None:
    """A tar ends in blocks of zeros. What else is there would be overlooked by every reader."""
    file.seek(offset)
    mark = file.read(BLOCK)
    if len(mark) < BLOCK:
        raise _broken(path, offset, "there is no end mark")
    if any(mark):
        raise _broken(path, offset, "the header there is damaged")
    while chunk := file.read(CHUNK_BYTES):
        if any(chunk):
            raise SourceError(
                f"{path}: after its end, at byte {offset}, there is more, which tar readers overlook: were tars joined with `cat`? "
                "Name the single tars, or join them with `tar --concatenate`"
            )


def _broken(path: Path, offset: int, why: str) -> SourceError:
    return SourceError(f"{path} breaks off at byte {offset} ({why}): it is cut off or damaged; fetch it again, or take it out of `path`")
