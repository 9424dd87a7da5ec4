"""One table as records.

In: a Parquet, CSV, TSV or JSONL file whose columns hold paths or the media themselves. Out: records, in the table's order. A row without
any medium stays a record: sharding counts it as such.
"""

from __future__ import annotations

import base64
import hashlib
import json
import math
import os
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from tasks.contracts import SPLITS, Json, Locator, SourceRecord
from tasks.errors import SourceError
from tasks.registry import closest
from tasks.sources.config import TableColumn, TableLabel, TableSource
from tasks.sources.normalise import readable, shown
from tasks.sources.rows import read_rows


class Table:
    """`tasks.sources.config.Source` of one table."""

    def __init__(self, config: TableSource, base_dir: Path) -> None:
        self.config = config
        self.path = (base_dir / Path(config.path).expanduser()).absolute()

    def snapshot(self) -> dict[str, Json]:
        """Digest over the table's path, size and modification time and those of every file it names."""
        status = self._status()
        digest = hashlib.sha256(f"{self.path}\0{status.st_size}\0{status.st_mtime_ns}\n".encode())
        records = num_bytes = 0
        paths = [column.column for column in self.config.columns.values() if not column.inline]
        missing, first = 0, ""
        for _, row in read_rows(self.path, paths, required=self.config.names()):
            records += 1
            for cell in (row[name] for name in paths if row[name] is not None):
                found = _stat(self.path.parent / str(cell))
                num_bytes += found[0] if found else 0
                missing, first = (missing, first) if found else (missing + 1, first or str(cell))
                digest.update(f"{cell}\0{found}\n".encode("utf-8", "surrogatepass"))
        self._refuse_nothing(records, num_bytes, missing, first)
        if len(paths) < len(self.config.columns):
            num_bytes += status.st_size
        return {"digest": digest.hexdigest(), "records": records, "bytes": num_bytes}

    def records(self, output_dir: Path) -> Iterator[SourceRecord]:
        """One record for each row."""
        del output_dir
        self._status()
        repeated: Counter[str] = Counter()
        for place, row in read_rows(self.path, self.config.names()):
            yield self._record(f"{self.path}, {place}", row, repeated)

    def _record(self, place: str, row: dict[str, Any], repeated: Counter[str]) -> SourceRecord:
        config = self.config
        members = {
            name: self._locator(place, column, row[column.column])
            for name, column in config.columns.items()
            if row[column.column] is not None
        }
        labels = {name: _label(place, label, row[label.column]) for name, label in config.labels.items() if row[label.column] is not None}
        return SourceRecord(
            key=self._key(place, row, repeated),
            members=members,
            labels={name: value for name, value in labels.items() if value is not None},
            group=_cell(row, config.group),
            split=_split(place, _cell(row, config.split)),
            partition=_cell(row, config.partition) or "default",
        )

    def _key(self, place: str, row: dict[str, Any], repeated: Counter[str]) -> str:
        """The key column's cell, or a hash of the media's cells: a row keeps its name when others are added or labels corrected."""
        if self.config.key is not None:
            key = _cell(row, self.config.key)
            if not key:
                raise SourceError(f"{place}: the key column {self.config.key!r} is empty; give every row a key")
            return key
        cells = {name: _printable(row[column.column]) for name, column in sorted(self.config.columns.items())}
        key = "row-" + hashlib.sha256(json.dumps(cells, sort_keys=True).encode()).hexdigest()[:20]
        repeated[key] += 1
        return key if repeated[key] == 1 else f"{key}-{repeated[key]}"

    def _locator(self, place: str, column: TableColumn, cell: Any) -> Locator:
        if column.inline:
            if not isinstance(cell, str | bytes):
                raise SourceError(f"{place}: the column {column.column!r} holds {type(cell).__name__}; inline media are text or bytes")
            data = cell.encode("utf-8", "surrogatepass") if isinstance(cell, str) else cell  # JSON may hold halves of characters
            return Locator(inline=data, size=len(data))
        if not isinstance(cell, str):
            hint = f"if it holds the medium itself, write {{column: {column.column}, inline: true}}"
            raise SourceError(f"{place}: the column {column.column!r} holds {type(cell).__name__}, not a path; {hint}")
        if "://" in cell:
            raise SourceError(f"{place}: {cell!r} is remote; this source reads local files, so fetch them and give their paths")
        path = self.path.parent / cell
        size, mtime_ns = _stat(path) or (0, 0)
        return Locator(uri=readable(str(path)), size=size, mtime_ns=mtime_ns)

    def _status(self) -> os.stat_result:
        if not self.path.is_file():
            what = "is a folder; for a folder of media write `format: folder`" if self.path.is_dir() else "is not there"
            raise SourceError(f"the table {self.path} {what}; check `path`, which is relative to the recipe")
        return self.path.stat()

    def _refuse_nothing(self, records: int, num_bytes: int, missing: int, first: str) -> None:
        if records == 0:
            raise SourceError(f"the table {self.path} has no rows; fill it, or check `path`")
        if missing and num_bytes == 0 and not any(column.inline for column in self.config.columns.values()):
            raise SourceError(
                f"none of the {missing} files that {self.path} names can be found, the first is {first!r}; "
                f"relative paths are meant from {self.path.parent}"
            )


def _cell(row: dict[str, Any], name: str | None) -> str:
    return "" if name is None or row[name] is None else str(row[name])


def _split(place: str, cell: str) -> str:
    if cell and cell not in SPLITS:
        hint = closest(cell, list(SPLITS))
        raise SourceError(f"{place}: the split {cell!r} is not known; allowed: {', '.join(SPLITS)}, or an empty cell{hint}")
    return cell


def _label(place: str, label: TableLabel, cell: Any) -> str | float | None:
    """A class as text, a quantity as a number; None for not-a-number, which is how many tools write an empty cell."""
    if label.kind == "category":
        return None if isinstance(cell, float) and math.isnan(cell) else str(cell)
    try:
        number = float(cell)
    except (TypeError, ValueError, OverflowError) as error:
        raise SourceError(f"{place}: the label column {label.column!r} holds {shown(cell)}, which is no number") from error
    if math.isinf(number):
        raise SourceError(f"{place}: the label column {label.column!r} holds {cell!r}; numbers must be finite")
    return None if math.isnan(number) else number


def _printable(cell: Any) -> Any:
    return base64.b64encode(cell).decode() if isinstance(cell, bytes) else cell


def _stat(path: Path) -> tuple[int, int] | None:
    """Size and modification time of a file; None when it is not there."""
    try:
        status = path.stat()
    except (OSError, ValueError):
        return None
    return status.st_size, status.st_mtime_ns
