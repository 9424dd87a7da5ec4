"""What verbs print with: text for a person, or one JSON document."""

from __future__ import annotations

import csv
import json
import shutil
import sys
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any


def document(value: Any) -> None:
    """One JSON document on stdout."""
    sys.stdout.write(json.dumps(value, indent=1, default=str) + "\n")


def line(value: Any) -> None:
    """One of many JSON documents, on a line of its own."""
    sys.stdout.write(json.dumps(value, default=str) + "\n")


def comma_separated(header: Sequence[str], rows: Iterable[Mapping[str, Any]]) -> None:
    """CSV (RFC 4180) with a header."""
    writer = csv.DictWriter(sys.stdout, header, lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)


def failure(messages: Sequence[str], exit_code: int) -> None:
    """The one document of a verb that ended with an error."""
    document({"error": {"messages": list(messages), "exit_code": exit_code}})


def say(text: str) -> None:
    """A line for a person on stdout."""
    sys.stdout.write(text + "\n")


def program(name: str) -> str:
    """How a command of this installation is called from here: by its name when that is on the PATH, else by its path."""
    beside = Path(sys.executable).parent / name
    if shutil.which(name) or not beside.exists():
        return name
    return str(beside.relative_to(Path.cwd())) if beside.is_relative_to(Path.cwd()) else str(beside)


def table(header: Sequence[str], rows: Iterable[Sequence[str]]) -> None:
    """Columns as wide as they need to be; the last one runs free."""
    cells = [list(header), *(list(row) for row in rows)]
    widths = [max(len(row[column]) for row in cells) for column in range(len(header) - 1)]
    for row in cells:
        say("  ".join([*(cell.ljust(width) for cell, width in zip(row, widths, strict=False)), row[-1]]).rstrip())


def count(number: float) -> str:
    """`12,345`."""
    return f"{int(number):,}"


def size(number: float) -> str:
    """Bytes in the largest fitting unit: `1.2 MB`."""
    for unit in ("B", "kB", "MB", "GB"):
        if number < 1000:
            return f"{number:.0f} {unit}" if unit == "B" else f"{number:.1f} {unit}"
        number /= 1000
    return f"{number:.1f} TB"


def duration(seconds: float) -> str:
    """`0.4 s`, `75 s`, `2 h 05 min`."""
    if seconds < 10:
        return f"{seconds:.1f} s"
    if seconds < 120:
        return f"{seconds:.0f} s"
    minutes = int(seconds // 60)
    return f"{minutes} min {int(seconds % 60):02d} s" if minutes < 60 else f"{minutes // 60} h {minutes % 60:02d} min"
