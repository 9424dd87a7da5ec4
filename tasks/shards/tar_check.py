"""One tar against the index: which members are missing, extra, doubled, in another order, somewhere else, or of other bytes.

In: a tar and the rows of the index that belong to it. Out: its SHA-256, and a sentence for each thing that is wrong. Every byte
is read once, block by block; the headers are the standard library's matter, so that our writer is checked by somebody else's code. Must not
import ray or torch.
"""

from __future__ import annotations

import hashlib
import tarfile
import zlib
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

from tasks.shards.write import LABELS_EXTENSION

BLOCK_BYTES = 1 << 20
NUM_SHOWN = 20
"""Members of other bytes that are named one by one, in each tar."""


@dataclass(frozen=True)
class Member:
    """A member of a tar: as the index has it, or as it was found."""

    name: str
    offset: int
    size: int
    crc32: int
    key: str = ""
    modality: str = ""
    """Of the index alone."""


def members_of(rows: Sequence[Mapping[str, Any]], modalities: Sequence[str]) -> list[Member]:
    """What the index says of a tar, in the order of its bytes: samples one behind the other, in each by extension."""
    return [
        Member(f"{row['key']}.{row[f'{each}.ext']}", row[f"{each}.offset"], row[f"{each}.size"], row[f"{each}.crc32"], row["key"], each)
        for row in rows
        for each in sorted((each for each in modalities if row[f"{each}.offset"] is not None), key=lambda each: str(row[f"{each}.ext"]))
    ]


def check_tar(path: Path, name: str, expected: Sequence[Member], keys: Sequence[str]) -> tuple[str, list[str]]:
    """SHA-256 of the file and what is wrong with its members; `keys` are all samples in it. Raises OSError."""
    with path.open("rb", buffering=BLOCK_BYTES) as file:
        hashed = _Hashed(file)
        try:
            found = list(_found(path, hashed))
        except (tarfile.TarError, ValueError, EOFError) as error:  # what is left is hashed all the same
            hashed.up_to(None)
            return hashed.sha256, [f"{name}: cannot be read as a tar: {error}"]
        hashed.up_to(None)
    return hashed.sha256, [f"{name}: {problem}" for problem in _compared(expected, _without_labels(found, expected, keys))]


def _found(path: Path, hashed: _Hashed) -> Iterator[Member]:
    """Members in the order of the tar. The tar reader jumps from header to header while the bytes between them are hashed."""
    with tarfile.open(path, "r:") as tar:
        for entry in tar:
            hashed.up_to(entry.offset_data)
            crc32 = hashed.up_to(entry.offset_data + entry.size)
            yield Member(entry.name, entry.offset_data, entry.size, crc32)


def _without_labels(found: Sequence[Member], expected: Sequence[Member], keys: Sequence[str]) -> list[Member]:
    """Labels that the recipe had embedded are in every sample and not in the index."""
    indexed = {member.name for member in expected}
    labels = {f"{key}.{LABELS_EXTENSION}" for key in keys} - indexed
    embedded = labels & {member.name for member in found}
    return [member for member in found if member.name not in embedded] if len(embedded) == len(labels) else list(found)


def _compared(expected: Sequence[Member], found: Sequence[Member]) -> Iterator[str]:
    wanted, names = {member.name: member for member in expected}, [member.name for member in found]
    there = set(names)
    missing = [member.name for member in expected if member.name not in there]
    if missing:
        yield f"{_members(missing)} missing, such as {missing[0]}"
    extra = [name for name in names if name not in wanted]
    if extra:
        yield f"{_members(extra)} not in the index, such as {extra[0]}"
    yield from (f"the member {name} is there {count} times" for name, count in Counter(names).items() if count > 1)
    order = [name for name in dict.fromkeys(names) if name in wanted]
    ordered = [member.name for member in expected if member.name in there]
    moved = [(here, name) for here, name in zip(order, ordered, strict=True) if here != name]
    if moved:
        yield f"its members are in another order than in the index: {moved[0][0]} stands where {moved[0][1]} belongs"
    yield from _contents(wanted, found, in_place=not (missing or extra or moved or len(there) < len(names)))


def _contents(wanted: Mapping[str, Member], found: Sequence[Member], *, in_place: bool) -> Iterator[str]:
    """Members of other bytes, by key; and when every member is in its place, those of which the index says another place."""
    known = [(wanted[member.name], member) for member in found if member.name in wanted]
    changed = [right for right, member in known if (right.size, right.crc32) != (member.size, member.crc32)]
    yield from (f"the {right.modality} of {right.key!r} has other bytes than were written" for right in changed[:NUM_SHOWN])
    if len(changed) > NUM_SHOWN:
        yield f"{len(changed) - NUM_SHOWN} more members have other bytes than were written"
    wrong = [right.name for right, member in known if (right.offset, right.size) != (member.offset, member.size)]
    if in_place and wrong:
        yield f"the index is wrong about {len(wrong)} members, such as {wrong[0]}"


def _members(names: Sequence[str]) -> str:
    return f"{len(names)} members are" if len(names) > 1 else "1 member is"


class _Hashed:
    """A file that is hashed from its first byte to its last, a piece at a time."""

    def __init__(self, file: IO[bytes]) -> None:
        self._file = file
        self._sha256 = hashlib.sha256()
        self._position = 0

    @property
    def sha256(self) -> str:
        """Of what was read so far, 64 hex digits."""
        return self._sha256.hexdigest()

    def up_to(self, end: int | None) -> int:
        """Read on to this place, or to the end. Returns the CRC-32 of what was read, which is less where the file ends before."""
        crc32 = 0
        while end is None or self._position < end:
            data = self._file.read(BLOCK_BYTES if end is None else min(BLOCK_BYTES, end - self._position))
            if not data:
                break
            self._position += len(data)
            self._sha256.update(data)
            crc32 = zlib.crc32(data, crc32)
        return crc32
