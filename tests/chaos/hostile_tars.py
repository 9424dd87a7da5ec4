"""Tars that want to write where they must not, to be read without end, or to be taken for another: for `format: webdataset`."""

from __future__ import annotations

import functools
import io
import struct
import tarfile
from collections.abc import Iterator
from pathlib import Path

from tests.chaos.malformed import pickled
from tests.tasks.shards.corpora import picture

BLOCK = 512


def field(value: int | bytes, width: int) -> bytes:
    """An octal number, or bytes as they are."""
    return value.ljust(width, b"\0") if isinstance(value, bytes) else b"%0*o\0" % (width - 1, value)


def head(name: bytes, size: int | bytes = 0, kind: bytes = b"0", link: bytes = b"") -> bytes:
    """The header of a member, with a right checksum."""
    fields = [field(name, 100), field(0o644, 8), field(0, 8), field(0, 8), field(size, 12), field(0, 12)]
    rest = kind + field(link, 100) + b"ustar\x0000" + bytes(64) + field(0, 8) + field(0, 8) + bytes(167)
    block = b"".join(fields) + b" " * 8 + rest
    return block[:148] + b"%06o\0 " % sum(block) + block[156:]


def padded(data: bytes) -> bytes:
    return data + bytes(-len(data) % BLOCK)


def member(name: bytes, data: bytes = b"text", kind: bytes = b"0", link: bytes = b"") -> bytes:
    return head(name, len(data), kind, link) + padded(data)


def pax(*lines: tuple[str, bytes], kind: bytes = b"x") -> bytes:
    """A PAX header with these records."""
    body = b""
    for name, value in lines:
        rest = b" " + name.encode() + b"=" + value + b"\n"
        size = len(rest) + 1
        while size != len(str(size)) + len(rest):
            size = len(str(size)) + len(rest)
        body += str(size).encode() + rest
    return member(b"pax", body, kind)


def large(size: int) -> bytes:
    """A size in the base of 256, as GNU writes those that octal has no room for."""
    return b"\xff" + struct.pack(">q", size).rjust(11, b"\xff") if size < 0 else b"\x80" + struct.pack(">q", size).rjust(11, b"\0")


END = bytes(2 * BLOCK)
GOOD = member(b"good.txt", b"a good text")


@functools.cache
def hostile_tars() -> dict[str, bytes]:
    """What is wrong → the tar."""
    one = member(b"a.txt")
    return {name: data + END for name, data in _members(one).items()} | _broken(one)


def _members(one: bytes) -> dict[str, bytes]:
    return {
        "a name that leads out": member(b"../../escaped.txt") + one,
        "a name that leads out in the middle": member(b"a/../../../escaped.txt") + one,
        "an absolute name": member(b"/tmp/escaped.txt") + one,
        "a name in PAX that leads out": pax(("path", b"../../escaped.txt")) + one,
        "an absolute name in PAX for all": pax(("path", b"/tmp/escaped.txt"), kind=b"g") + one,
        "a long name of GNU that leads out": member(b"././@LongLink", b"../" * 60 + b"escaped.txt\0", b"L") + one,
        "a symbolic link": member(b"a.txt", b"", b"2", b"/etc/passwd") + GOOD,
        "a hard link": member(b"a.txt", b"", b"1", b"../../../etc/passwd") + GOOD,
        "a link, then a file through it": member(b"dir", b"", b"2", b"/tmp") + member(b"dir/a.txt") + one,
        "a character device": member(b"a.txt", b"", b"3") + GOOD,
        "a block device": member(b"a.txt", b"", b"4") + GOOD,
        "a pipe": member(b"a.txt", b"", b"6") + GOOD,
        "an unknown kind": member(b"a.txt", b"text", b"Z") + GOOD,
        "a volume header": member(b"a.txt", b"", b"V") + GOOD,
        "the same name twice": one + member(b"a.txt", b"other"),
        "the same name in another case": one + member(b"a.TXT", b"other"),
        "the same name in two places": one + GOOD + member(b"a.json", b"{}"),
        "a folder with a size": head(b"a/", 1 << 40, b"5") + one,
        "a size in PAX that is larger": pax(("size", b"99999999999")) + one,
        "a size in PAX that is smaller": pax(("size", b"1")) + one,
        "a size in PAX that is negative": pax(("size", b"-512")) + one,
        "a size in PAX that is no number": pax(("size", b"1e9")) + one,
        "a size of 5,000 digits in PAX": pax(("size", b"9" * 5000)) + one,
        "a size that is negative": head(b"a.txt", large(-512)) + one,
        "a size that is negative and large": head(b"a.txt", large(-(1 << 40))) + one,
        "a size of 8 EB": head(b"a.txt", large((1 << 63) - 1)) + one,
        "a sparse file of old GNU": head(b"a.txt", 4, b"S") + padded(b"text") + GOOD,
        "a sparse file of PAX 0.1": pax(("GNU.sparse.map", b"0,1,9999999999,1"), ("GNU.sparse.size", b"99999999999")) + one,
        "a sparse file of PAX 0.0": pax(("GNU.sparse.offset", b"0"), ("GNU.sparse.numbytes", b"1"), ("GNU.sparse.size", b"9" * 15)) + one,
        "a sparse file of PAX 1.0": pax(("GNU.sparse.major", b"1"), ("GNU.sparse.minor", b"0"), ("GNU.sparse.name", b"a.txt"))
        + member(b"a.txt", b"999999999\n" + b"0\n" * 200),
        "a name in PAX that is not UTF-8": pax(("path", b"\xff\xfe.txt")) + one,
        "a name in PAX with a zero": pax(("path", b"a\0b.txt")) + one,
        "an encoding in PAX": pax(("hdrcharset", b"BINARY"), ("path", b"\xff.txt")) + one,
        "a record of PAX without length": member(b"pax", b"path=../../x\n", b"x") + one,
        "a record of PAX that is too long": member(b"pax", b"99999 path=x\n", b"x") + one,
        "a record of PAX of length nought": member(b"pax", b"0 path=x\n", b"x") + one,
        "a PAX header of digits alone": member(b"pax", b"1" * 900_000, b"x") + one,
        "a PAX header of 2 MB": member(b"pax", b"2097152 comment=" + b"x" * (2 << 20), b"x") + one,
        "3,000 PAX headers in a row": pax(("comment", b"x")) * 3000 + one,
        "3,000 long names in a row": member(b"././@LongLink", b"a.txt\0", b"L") * 3000 + one,
        "a PAX header for nothing": one + pax(("path", b"b.txt")),
        "a name of a million letters": member(b"././@LongLink", b"a" * 1_000_000 + b".txt\0", b"L") + one,
        "a name without letters": member(b".txt") + GOOD,
        "a name of dots": member(b"....txt") + GOOD,
        "a terminal's escapes in a name": member(b"\x1b[31m\x07.txt") + GOOD,
        "a tar inside": member(b"a.tar", GOOD + END) + GOOD,
        "a pickle as every kind of member": b"".join(member(b"a." + name, pickled()) for name in PICKLED) + GOOD,
        "a pickle as a picture": member(b"a.jpg", pickled()) + GOOD,
        "a pickle as a numpy array": member(b"a.npy", b"\x93NUMPY\x01\x00" + pickled()) + GOOD,
    }


PICKLED = (b"json", b"npy", b"npz", b"pickle", b"pkl", b"pth", b"pyd", b"ten", b"txt")


def _broken(one: bytes) -> dict[str, bytes]:
    return {
        "nothing": b"",
        "no end": one[:-100],
        "half a header": one + one[:200],
        "a header that is damaged": one + b"\x01" + one[1:] + END,
        "another tar behind the end": one + END + GOOD + END,
        "compressed": _compressed(),
        "zeros alone": bytes(1 << 20),
        "text": b"this is no tar" * 100,
        "a picture": picture(0),
        "a pickle": pickled(),
        "a member behind the end": head(b"a.txt", 1 << 30),
        "a PAX header behind the end": head(b"pax", 1 << 33, b"x"),
        "a long name behind the end": head(b"././@LongLink", 1 << 33, b"L"),
        "a checksum that is none": one[:148] + b"        " + one[156:] + END,
    }


def _compressed() -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:gz") as file:
        file.addfile(tarfile.TarInfo("a.txt"))
    return buffer.getvalue()


def large_hostile_tars(folder: Path) -> Iterator[Path]:
    """Headers of 3 GB that are there, as holes of a file: they take no room on the disk and must take none in memory."""
    for name, kind in (("pax", b"x"), ("././@LongLink", b"L"), ("././@LongLink", b"K")):
        path = folder / f"hole-{kind.decode()}.tar"
        with path.open("wb") as file:
            file.write(head(name.encode(), 3 << 30, kind))
            file.seek((3 << 30) + BLOCK)
            file.write(GOOD + END)
        yield path
