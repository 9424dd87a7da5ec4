"""The members of a tar, by its headers alone.

In: a path. Out: name, offset and size of every file in it, in its order; no byte of a member is read and nothing is extracted. A member
that is harmful or no file comes with the reason why it is refused, and so does the rest of a tar from where it can't be read any more.
Python's `tarfile` takes a damaged header for the end of the archive, and so does whoever reads a tar as a stream; here the place where
a tar breaks off is told. It also believes what a header says of its own size, which may be gigabytes, searches
in it at a price that grows with the square of a run of digits, and calls itself for each header in a row: see `_Headers` and `BROKEN`.
"""

from __future__ import annotations

import os
import re
import tarfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

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
class Refused:
    """Why something of a tar is not read."""

    reason: str
    """One of `tasks.shards.reasons`."""
    why: str
    """A sentence with the name of the tar, and what to do."""


@dataclass(frozen=True, slots=True)
class Member:
    """A file in a tar, or something that is refused."""

    name: str
    """Empty for the rest of a tar that can't be read from `offset` on."""
    offset: int
    """Of its first byte, from the start of the tar."""
    size: int
    refused: Refused | None = None


def members(path: Path) -> Iterator[Member]:
    """All files; folders are passed over. After the rest of a tar that can't be read nothing else comes."""
    try:
        with path.open("rb") as file:
            yield from _members(path, file)
    except OSError as error:
        yield Member("", 0, 0, Refused("source/unreadable", f"the tar {path} cannot be read: {error.strerror or error}"))


def _members(path: Path, file: BinaryIO) -> Iterator[Member]:
    if why := _no_tar(path, file.read(max(map(len, COMPRESSED)))):
        yield _none(why)
        return
    file.seek(0)
    try:
        tar = tarfile.open(fileobj=_Headers(path, file), mode="r:")  # type: ignore[call-overload]  # noqa: SIM115 - closed by its opener
    except BROKEN as error:
        yield _none(f"{path} is no tar ({error}); check `path`")
    except SourceError as error:
        yield _header(0, error)
    else:
        yield from _walked(path, file, tar)


def _no_tar(path: Path, start: bytes) -> str:
    """What is wrong with a file that begins so; empty for one that may be a tar."""
    for magic, (kind, command) in COMPRESSED.items():
        if start.startswith(magic):
            return (
                f"{path} is compressed ({kind}), so that its members have no place in the file that can be read by itself; "
                f"unpack it with `{command} {path.name}` and name the .tar (media are compressed already: it hardly grows)"
            )
    return "" if start else f"{path} is empty, not a tar; fetch it again, or take it out of `path`"


def _walked(path: Path, file: BinaryIO, tar: Any) -> Iterator[Member]:
    end = os.fstat(file.fileno()).st_size
    while True:
        before = tar.offset
        try:
            info = tar.next()
        except BROKEN as error:
            yield _broken(path, tar.offset, str(error))
            return
        except SourceError as error:
            yield _header(before, error)
            return
        if info is None:
            break
        plain = info.isreg() and not info.issparse()
        if tar.offset < before or (plain and not 0 <= info.size <= tar.offset - info.offset_data):
            yield _broken(path, info.offset, f"the size of {info.name!r} is said to be {info.size}")
            return
        if plain and info.offset_data + info.size > end:
            yield _broken(
                path, info.offset, f"{info.name!r} is said to end at byte {info.offset_data + info.size}, and the file ends at {end}"
            )
            return
        tar.members = []  # else it keeps all of them
        if not info.isdir():
            yield _checked(path, info)
    yield from _end(path, file, tar.offset)


def _header(offset: int, error: SourceError) -> Member:
    return Member("", offset, 0, Refused("source/header", str(error)))


def _none(why: str) -> Member:
    return Member("", 0, 0, Refused("source/no_tar", why))


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
    refused = _refused(path, info)
    return Member(info.name, info.offset if refused else info.offset_data, info.size, refused)


def _refused(path: Path, info: tarfile.TarInfo) -> Refused | None:
    """Why a member is not read; None for a file with a name that stays where it is."""
    name, parts = info.name, info.name.split("/")
    where = f"{path}: the member {name!r}"
    if name.startswith("/") or ".." in parts:
        return Refused("source/outside", f"{where} points out of its folder; it is refused, pack the tar again with plain names")
    if info.issym() or info.islnk():
        kind = "a link to" if info.issym() else "the same file as"
        why = f"{where} is {kind} {info.linkname!r}, and links are not followed"
        return Refused("source/link", f"{why}; pack the tar again with `tar --dereference --hard-dereference`")
    if not info.isreg():
        return Refused("source/kind", f"{where} is a device or a pipe, not a file; it is refused, pack the tar without")
    if info.issparse():
        return Refused("source/sparse", f"{where} is stored with holes (sparse); pack the tar again without `--sparse`")
    try:
        name.encode()
    except UnicodeEncodeError:
        return Refused("source/name", f"{path}: the name of the member {name!r} is not UTF-8; rename it and pack the tar again")
    return None


def _end(path: Path, file: BinaryIO, offset: int) -> Iterator[Member]:
    """A tar ends in blocks of zeros. What else is there would be overlooked by every reader."""
    file.seek(offset)
    mark = file.read(BLOCK)
    if len(mark) < BLOCK:
        yield _broken(path, offset, "there is no end mark")
        return
    if any(mark):
        yield _broken(path, offset, "the header there is damaged")
        return
    while chunk := file.read(CHUNK_BYTES):
        if any(chunk):
            why = (
                f"{path}: after its end, at byte {offset}, there is more, which tar readers overlook: were tars joined with `cat`? "
                "Name the single tars, or join them with `tar --concatenate`"
            )
            yield Member("", offset, 0, Refused("source/after_end", why))
            return


def _broken(path: Path, offset: int, why: str) -> Member:
    said = f"{path} breaks off at byte {offset} ({why}): it is cut off or damaged; fetch it again, or take it out of `path`"
    return Member("", offset, 0, Refused("source/cut_off", said))
