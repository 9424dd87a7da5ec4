"""Malformed files over all formats, the same for the same seed: each with a whole file that may take its place.

What each family does: cuts a file short, flips bits, blanks a block, mixes two files, repeats one, gives it another one's extension, packs
it into archives, hides a pickle in its place; and `lies`, whose headers contradict what is there.
"""

from __future__ import annotations

import gzip
import io
import pickle
import random
import tarfile
import zipfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.chaos.good_media import GOOD
from tests.chaos.lies import Lie, lies

CANARY = "UNPICKLED"
"""The file that every pickle here would create in the working folder of whoever unpickles it."""


@dataclass(frozen=True)
class Malformed:
    """One bad file."""

    name: str
    """Path in a folder of media."""
    kind: str
    """Of GOOD."""
    family: str
    what: str
    data: bytes
    mended: bytes
    """A whole file for the same name."""


class Canary:
    """Creates a file when it is unpickled."""

    def __reduce__(self) -> tuple[Callable[..., Any], tuple[Any, ...]]:
        return Path.touch, (Path(CANARY),)


def pickled(protocol: int = 4) -> bytes:
    return pickle.dumps(Canary(), protocol)


Damage = Callable[[bytes, str, random.Random], bytes]


def cut(data: bytes, kind: str, rng: random.Random) -> bytes:
    return data[: rng.choice((0, 1, len(data) - 1, rng.randrange(len(data)), rng.randrange(len(data))))]


def flip(data: bytes, kind: str, rng: random.Random) -> bytes:
    changed = bytearray(data)
    for _ in range(rng.choice((1, 1, 2, 8))):
        changed[rng.randrange(len(changed))] ^= 1 << rng.randrange(8)
    return bytes(changed)


def flip_head(data: bytes, kind: str, rng: random.Random) -> bytes:
    return flip(data[:64], kind, rng) + data[64:]


def blank(data: bytes, kind: str, rng: random.Random) -> bytes:
    start, size = rng.randrange(len(data)), rng.choice((16, 64, 512))
    return (data[:start] + bytes(size) + data[start + size :])[: len(data)]


def scramble(data: bytes, kind: str, rng: random.Random) -> bytes:
    start, size = rng.randrange(len(data)), rng.choice((1, 4, 64))
    return (data[:start] + rng.randbytes(size) + data[start + size :])[: len(data)]


def mix(data: bytes, kind: str, rng: random.Random) -> bytes:
    """The beginning of one file and the end of another of its kind."""
    other = GOOD[kind][2](rng.randrange(1 << 30))
    place = rng.random()
    return data[: int(len(data) * place)] + other[int(len(other) * place) :]


def repeat(data: bytes, kind: str, rng: random.Random) -> bytes:
    return data * rng.choice((2, 3)) + data[: rng.randrange(len(data))]


def foreign(data: bytes, kind: str, rng: random.Random) -> bytes:
    """A file of another medium under this extension."""
    others = [other for other in GOOD if GOOD[other][0] != GOOD[kind][0]]
    return GOOD[rng.choice(others)][2](rng.randrange(1 << 30))


def sibling(data: bytes, kind: str, rng: random.Random) -> bytes:
    """Another format of the same medium: read by content, so mostly whole."""
    others = [other for other in GOOD if GOOD[other][0] == GOOD[kind][0] and other != kind]
    return GOOD[rng.choice(others or [kind])][2](rng.randrange(1 << 30))


def archive(data: bytes, kind: str, rng: random.Random) -> bytes:
    """The file in archives inside one another."""
    for _ in range(rng.choice((1, 1, 3))):
        data = rng.choice((_gzipped, _zipped, _tarred))(data)
    return data


def hidden(data: bytes, kind: str, rng: random.Random) -> bytes:
    """A pickle in its place, behind it, or behind its first bytes."""
    own = pickled(rng.choice((0, 2, 4, 5)))
    return rng.choice((own, data + own, data[:16] + own))


def noise(data: bytes, kind: str, rng: random.Random) -> bytes:
    return rng.choice((b"", data[:4], data[:12])) + rng.randbytes(rng.choice((1, 100, 5000)))


FAMILIES: dict[str, Damage] = {
    "cut": cut,
    "flip": flip,
    "flip_head": flip_head,
    "blank": blank,
    "scramble": scramble,
    "mix": mix,
    "repeat": repeat,
    "foreign": foreign,
    "sibling": sibling,
    "archive": archive,
    "hidden": hidden,
    "noise": noise,
}


def malformed(each: int, seed: int = 0) -> Iterator[Malformed]:
    """`each` files of every family and kind, and one of every lie."""
    for kind in GOOD:
        for family, damage in FAMILIES.items():
            for number in range(each):
                rng = random.Random(f"{seed} {kind} {family} {number}")
                data = damage(GOOD[kind][2](rng.randrange(1 << 30)), kind, rng)
                yield _named(kind, family, str(number), data, rng)
    yield from lying(lies(), seed)


def lying(given: Iterator[Lie], seed: int = 0) -> Iterator[Malformed]:
    for kind, what, data in given:
        yield _named(kind, "lie", what, data, random.Random(f"{seed} {kind} {what}"))


def _named(kind: str, family: str, what: str, data: bytes, rng: random.Random) -> Malformed:
    slug = "".join(letter if letter.isalnum() else "-" for letter in what)
    return Malformed(f"{kind}/{family}_{slug}.{GOOD[kind][1]}", kind, family, what, data, GOOD[kind][2](rng.randrange(1 << 30)))


def _gzipped(data: bytes) -> bytes:
    return gzip.compress(data, mtime=0)


def _zipped(data: bytes) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as file:
        file.writestr(zipfile.ZipInfo("../../inner"), data)
    return buffer.getvalue()


def _tarred(data: bytes) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as file:
        info = tarfile.TarInfo("../../inner")
        info.size = len(data)
        file.addfile(info, io.BytesIO(data))
    return buffer.getvalue()
