"""What a source made of records that are forgotten, taken out of its own media.

In: the forgotten records of a listing and the folder with the corpus. Out: files that no record of the corpus uses are deleted, and byte
ranges are filled with zeros, so that all others stay where they are. Sources that point at files of the user have nothing here, and those
files are never touched.
"""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path

import pyarrow.parquet as pq

from tasks.sources.normalise import Listed

Range = tuple[int | None, int | None]


def erase_made(forgotten: Iterable[Listed], output_dir: Path) -> None:
    """Take away the media below `output_dir` that only forgotten records have."""
    made: dict[str, list[Range]] = {}
    for listed in forgotten:
        for locator in listed.record.members.values():
            if locator.inline is None and not locator.uri.startswith("/"):
                made.setdefault(locator.uri, []).append((locator.offset, locator.length))
    kept = _kept(output_dir) if made else {}
    for uri, ranges in made.items():
        if uri not in kept:
            (output_dir / uri).unlink(missing_ok=True)
            continue
        for offset, length in ranges:
            if offset is not None and length is not None and not any(_overlap((offset, length), other) for other in kept[uri]):
                _fill(output_dir / uri, offset, length)


def _kept(output_dir: Path) -> dict[str, list[Range]]:
    """Relative uri → the ranges that records of the corpus have of it."""
    path = output_dir / "records.parquet"
    modalities = [name.removesuffix(".uri") for name in pq.read_schema(path).names if name.endswith(".uri")]
    kept: dict[str, list[Range]] = {}
    for modality in modalities:
        columns = [f"{modality}.{name}" for name in ("uri", "offset", "length")]
        table = pq.read_table(path, columns=columns, partitioning=None)
        for uri, offset, length in zip(*(table[name].to_pylist() for name in columns), strict=True):
            if uri and not uri.startswith("/"):
                kept.setdefault(uri, []).append((offset, length))
    return kept


def _overlap(here: tuple[int, int], other: Range) -> bool:
    """Whether two ranges share a byte; one without bounds is the whole file."""
    offset, length = other
    return offset is None or length is None or (here[0] < offset + length and offset < here[0] + here[1])


def _fill(path: Path, offset: int, length: int) -> None:
    with path.open("r+b") as file:
        end = min(offset + length, os.fstat(file.fileno()).st_size)
        file.seek(offset)
        file.write(bytes(max(0, end - offset)))
