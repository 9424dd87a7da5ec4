"""What the columns of a table look like they hold.

In: a table and its first rows. Out: one `Column` for each, with a role guessed from names and values, and why. Nothing is certain: the
recipe that is written says of each line what it was guessed from.
"""

from __future__ import annotations

import itertools
import math
import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tasks.contracts import SPLITS
from tasks.errors import BadMember
from tasks.modalities import EXTENSIONS
from tasks.sources.rows import column_names, read_rows

LOOKED_AT = 2000
"""Rows of which every cell is looked at."""

KEY_NAMES = re.compile(r"^(key|id|uid|uuid|index|name|.*_id|sample|.*_key)$", re.IGNORECASE)
GROUP_NAMES = re.compile(
    r"speaker|patient|subject|participant|person|user|author|writer|client|session|recording|site|family|group", re.IGNORECASE
)
LABEL_NAMES = re.compile(r"label|class|categor|target|genre|species|kind|type|emotion|sentiment|digit|diagnosis|^y$", re.IGNORECASE)
NUMBER_NAMES = re.compile(r"target|price|score|rating|value|age|amount|area|weight|height|length|label|^y$", re.IGNORECASE)
MAX_CLASSES = 1000


@dataclass(frozen=True)
class Column:
    """A column and what it is taken for."""

    name: str
    role: str
    """path, inline, text, split, key, group, category, number or nothing."""
    about: str
    """What was seen, for the recipe's comment."""
    modality: str = ""
    """Of path, inline and text."""
    told: bool = False
    """Its name says that it is a label."""


def look(path: Path) -> list[Column]:
    """Every column with its role. SourceError when the table cannot be read."""
    names = column_names(path)
    rows = [row for _, row in itertools.islice(read_rows(path, names), LOOKED_AT)] if names else []
    return [_column(name, [row[name] for row in rows], path.parent) for name in names]


def _column(name: str, cells: Sequence[Any], folder: Path) -> Column:
    there = [cell for cell in cells if cell is not None and cell != "" and not (isinstance(cell, float) and math.isnan(cell))]
    if not there:
        return Column(name, "nothing", "empty")
    if all(isinstance(cell, bytes) for cell in there):
        return _bytes(name, there)
    if all(isinstance(cell, str) for cell in there) and (found := _paths(name, there, folder)):
        return found
    if not all(isinstance(cell, str | int | float) for cell in there):
        return Column(name, "nothing", f"holds {type(there[0]).__name__}")
    return _values(name, there, len(cells))


def _bytes(name: str, cells: Sequence[bytes]) -> Column:
    from tasks.modalities.audio_header import read_header
    from tasks.modalities.image_header import image_format

    for modality, examine in (("image", image_format), ("audio", read_header)):
        try:
            for cell in cells[:5]:
                examine(cell)
        except BadMember:
            continue
        return Column(name, "inline", f"the {modality} itself", modality)
    return Column(name, "nothing", "bytes that are neither a picture nor a sound")


def _paths(name: str, cells: Sequence[str], folder: Path) -> Column | None:
    extensions = Counter(Path(cell).suffix.lstrip(".").lower() for cell in cells if len(cell) < 1000)
    known = {extension: number for extension, number in extensions.items() if extension in EXTENSIONS}
    if sum(known.values()) < 0.9 * len(cells):
        return None
    modality = EXTENSIONS[max(known, key=lambda extension: known[extension])]
    if all("://" in cell for cell in cells):
        return Column(name, "nothing", f"addresses such as {textual(cells[0])}; fetch the files and give their paths")
    some = cells[:200]
    present = sum((folder / cell).is_file() for cell in some)
    if 2 * present < len(some):
        return Column(name, "nothing", f"names {modality} files, but {cells[0]!r} is not below {folder}")
    listed = ", ".join(f".{extension}" for extension in sorted(known))
    return Column(name, "path", f"paths of {listed} files", modality)


def _values(name: str, cells: Sequence[Any], rows: int) -> Column:
    counts = Counter(str(cell) for cell in cells)
    if set(counts) <= set(SPLITS) and "train" in counts:
        return Column(name, "split", _listed(counts))
    if KEY_NAMES.search(name) and len(counts) == rows:
        return Column(name, "key", "another value in every row")
    if GROUP_NAMES.search(name) and 2 < len(counts) < rows:
        return Column(name, "group", f"{len(counts):,} values in {rows:,} rows")
    numbers = [_number(cell) for cell in cells]
    told = bool(LABEL_NAMES.search(name))
    few = 2 <= len(counts) <= min(MAX_CLASSES, max(2, len(cells) // 3))
    if all(number is not None for number in numbers):
        finite = [number for number in numbers if number is not None]
        whole = all(number == int(number) for number in finite)
        if few and whole and (told or len(counts) <= 20):
            return Column(name, "category", f"whole numbers: {_listed(counts)}", told=told)
        return Column(name, "number", f"numbers from {min(finite):g} to {max(finite):g}", told=bool(NUMBER_NAMES.search(name)))
    words = sum(len(str(cell).split()) for cell in cells) / len(cells)
    if words >= 3 and len(counts) > len(cells) / 2:
        return Column(name, "text", f"free text, {words:.0f} words on average", "text")
    if few:
        return Column(name, "category", _listed(counts), told=told)
    one = textual(next(iter(counts)))
    return Column(name, "nothing", f"{len(counts):,} values, such as {one}" if len(counts) > 1 else f"{one} in every row")


def _number(cell: Any) -> float | None:
    if isinstance(cell, bool):
        return None
    try:
        number = float(cell)
    except ValueError:
        return None
    return number if math.isfinite(number) else None


def _listed(counts: Counter[str]) -> str:
    shown = ", ".join(f"{textual(value)} ({number:,})" for value, number in counts.most_common(5))
    return f"{shown}{f' and {len(counts) - 5:,} more' if len(counts) > 5 else ''}"


def textual(value: str) -> str:
    """A value short enough for a comment, on one line."""
    flat = " ".join(value.split())
    return flat if len(flat) <= 30 else f"{flat[:29]}…"
