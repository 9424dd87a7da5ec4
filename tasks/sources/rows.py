"""Rows of Parquet, CSV, TSV and JSONL files.

In: a path. Out: dicts of the asked columns with the row's place in the file, streamed. Every mistake in the file names its line.
"""

from __future__ import annotations

import csv
import itertools
import json
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

from tasks.errors import SourceError
from tasks.registry import closest

Row = tuple[str, dict[str, Any]]
"""(`line 7` or `row 7`, column → value; None when the cell is empty)."""

FORMATS = (".parquet", ".csv", ".tsv", ".jsonl", ".ndjson")
BATCH_ROWS = 256
"""Of Parquet at a time: cells may hold whole pictures."""

BYTE_ORDER_MARK = b"\xef\xbb\xbf"


def read_rows(path: Path, columns: Sequence[str], required: Sequence[str] = ()) -> Iterator[Row]:
    """These columns of every row, in order. SourceError when one of them or of `required` is missing, or the file cannot be read."""
    required = [*columns, *required]
    if path.suffix.lower() not in FORMATS:
        raise SourceError(f"{path}: a table ends in {', '.join(FORMATS)}")
    try:
        if path.suffix.lower() == ".parquet":
            yield from _parquet(path, columns, required)
        elif path.suffix.lower() in {".csv", ".tsv"}:
            yield from _csv(path, columns, required, "\t" if path.suffix.lower() == ".tsv" else ",")
        else:
            yield from _jsonl(path, columns, required)
    except OSError as error:
        raise SourceError(f"the table {path} cannot be read: {error.strerror or error}") from error


def column_names(path: Path) -> list[str]:
    """The columns there are, in order; of JSONL those of its first rows. SourceError when the file cannot be read."""
    if path.suffix.lower() == ".parquet":
        import pyarrow as pa
        import pyarrow.parquet as pq

        try:
            return list(pq.read_schema(path).names)
        except (OSError, pa.ArrowException) as error:
            raise SourceError(f"{path} is no whole Parquet file: {error}") from error
    try:
        with path.open("rb") as file:
            if path.suffix.lower() in {".csv", ".tsv"}:
                return next(csv.reader(_lines(path, file), delimiter="\t" if path.suffix.lower() == ".tsv" else ","), [])
            rows = (json.loads(line) for line in itertools.islice(_lines(path, file), BATCH_ROWS) if line.strip())
            return list(dict.fromkeys(name for row in rows if isinstance(row, dict) for name in row))
    except OSError as error:
        raise SourceError(f"the table {path} cannot be read: {error.strerror or error}") from error
    except (ValueError, RecursionError) as error:
        raise SourceError(f"the table {path} cannot be read: {error}") from error


def _parquet(path: Path, columns: Sequence[str], required: Sequence[str]) -> Iterator[Row]:
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        with pq.ParquetFile(path) as file:
            _check_columns(path, required, file.schema_arrow.names)
            number = 0
            for batch in file.iter_batches(batch_size=BATCH_ROWS, columns=list(columns)):
                for row in batch.to_pylist():
                    number += 1
                    yield f"row {number}", row
    except pa.ArrowException as error:
        raise SourceError(f"{path} is no whole Parquet file: {error}") from error


def _csv(path: Path, columns: Sequence[str], required: Sequence[str], delimiter: str) -> Iterator[Row]:
    with path.open("rb") as file:
        reader = csv.reader(_lines(path, file), delimiter=delimiter, strict=True)
        try:
            header = next(reader, None)
            if header is None:
                raise SourceError(f"the table {path} is empty; its first line must name the columns")
            _check_columns(path, required, header)
            places = [(name, header.index(name)) for name in columns]
            for cells in reader:
                if not cells:
                    continue
                if len(cells) != len(header):
                    raise SourceError(f"{path}, line {reader.line_num}: {len(cells)} cells, but the first line names {len(header)} columns")
                yield f"line {reader.line_num}", {name: cells[place] or None for name, place in places}
        except csv.Error as error:
            raise SourceError(f"{path}, line {reader.line_num}: {error}; very long texts belong into Parquet or JSONL") from error


def _jsonl(path: Path, columns: Sequence[str], required: Sequence[str]) -> Iterator[Row]:
    seen: dict[str, None] = {}
    with path.open("rb") as file:
        for number, line in enumerate(_lines(path, file), start=1):
            if not line.strip():
                continue
            try:
                row = json.loads(line)
            except (ValueError, RecursionError) as error:
                raise SourceError(f"{path}, line {number}: not JSON: {error}") from error
            if not isinstance(row, dict):
                raise SourceError(f'{path}, line {number}: must be an object such as {{"image": "a.png"}}, not {type(row).__name__}')
            seen.update(dict.fromkeys(row))
            yield f"line {number}", {name: row.get(name) for name in columns}
    if seen:
        _check_columns(path, required, list(seen))


def _lines(path: Path, file: Iterable[bytes]) -> Iterator[str]:
    """Lines of a UTF-8 file; SourceError names the first byte that is none."""
    for number, line in enumerate(file, start=1):
        try:
            yield (line.removeprefix(BYTE_ORDER_MARK) if number == 1 else line).decode()
        except UnicodeDecodeError as error:
            byte = f"0x{line[error.start]:02x}"
            raise SourceError(
                f"{path}, line {number}: byte {byte} at offset {error.start} is not UTF-8; save the table as UTF-8"
            ) from error


def _check_columns(path: Path, asked: Sequence[str], there: Sequence[str]) -> None:
    for name in asked:
        if name not in there:
            listed = ", ".join(sorted(there)[:20])
            raise SourceError(f"{path} has no column {name!r}{closest(name, list(there))} (columns: {listed})")
