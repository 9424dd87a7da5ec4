"""The rows of a unit while it is written: what became of each record, and where its members lie.

In: outcomes one by one, in order. Out: the table of `tasks.shards.pool.UnitRows`, and merged statistics. Kept column by column: a dict for
each row, turned into columns at the end, took longer than reading the record's media. Must not import ray or torch.
"""

from __future__ import annotations

import functools
import json
import operator
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import pyarrow as pa

from tasks.contracts import Encoded
from tasks.errors import RecordError
from tasks.modalities import merge_all
from tasks.shards.pool import rows_schema
from tasks.shards.tar import Span

_PLACED = ("offset", "size", "ext", "crc32", "stats")
_ABSENT = (None,) * len(_PLACED)
_WHOLE = ("written", None, None, ())
_to_json = json.JSONEncoder(sort_keys=True, separators=(",", ":")).encode  # made once: `json.dumps` makes one for each member


class RowsWriter:
    """Collects the rows of one unit."""

    def __init__(self, modalities: Sequence[str]) -> None:
        self._outcomes: list[tuple[str, str | None, str | None, Sequence[str]]] = []
        self._placed: dict[str, list[tuple[Any, ...]]] = {modality: [] for modality in modalities}
        self._stats: dict[str, list[Mapping[str, Any]]] = {modality: [] for modality in modalities}

    def left(self, status: str, error: RecordError) -> None:
        """The next record is in no tar."""
        self._outcomes.append((status, error.reason, error.detail, ()))
        for placed in self._placed.values():
            placed.append(_ABSENT)

    def written(self, members: Mapping[str, Encoded], spans: Mapping[str, Span], dropped: Mapping[str, RecordError]) -> None:
        """The next record is in the tar: `spans` by file extension."""
        self._outcomes.append(_partly(dropped) if dropped else _WHOLE)
        for modality, placed in self._placed.items():
            encoded = members.get(modality)
            if encoded is None:
                placed.append(_ABSENT)
                continue
            span = spans[encoded.extension]
            placed.append((span.offset, span.size, encoded.extension, span.crc32, stats_text(encoded.stats)))
            self._stats[modality].append(encoded.stats)

    def stats(self) -> dict[str, dict[str, Any]]:
        """modality → merged statistics; without those that no record has."""
        return {modality: merge_all(stats) for modality, stats in self._stats.items() if stats}

    def table(self, keys: Sequence[str], member_keys: Mapping[str, Sequence[str | None]]) -> pa.Table:
        """All rows; `keys` of the records, and of their members by modality."""
        schema = rows_schema(list(self._placed))
        columns: dict[str, Sequence[Any]] = {"key": keys}
        columns |= _transposed(("status", "reason", "detail", "dropped"), self._outcomes)
        for modality, placed in self._placed.items():
            there = [None if row is _ABSENT else key for row, key in zip(placed, member_keys[modality], strict=True)]
            columns |= {f"{modality}.member": there, **_transposed([f"{modality}.{name}" for name in _PLACED], placed)}
        return pa.table([pa.array(columns[field.name], field.type) for field in schema], schema=schema)


def _partly(dropped: Mapping[str, RecordError]) -> tuple[str, str | None, str | None, Sequence[str]]:
    """Of a record without some of its members."""
    errors = list(dropped.values())
    reasons, details = "; ".join(error.reason for error in errors), "; ".join(error.detail for error in errors)
    return "written", reasons or None, details or None, list(dropped)


def _transposed(names: Sequence[str], rows: Sequence[Sequence[Any]]) -> dict[str, Sequence[Any]]:
    columns: list[Sequence[Any]] = list(zip(*rows, strict=True)) or [()] * len(names)
    return dict(zip(names, columns, strict=True))


def stats_text(stats: Mapping[str, Any]) -> str:
    """Canonical JSON of statistics. Those that are integers alone, which most are, are filled into a text made once for their names."""
    if len(stats) > 1:
        values, text = _form(tuple(stats))
        numbers = values(stats)
        if set(map(type, numbers)) == {int}:
            return text % numbers
    return _to_json(dict(stats))


@functools.lru_cache(256)
def _form(names: tuple[str, ...]) -> tuple[Callable[[Mapping[str, Any]], tuple[Any, ...]], str]:
    """What takes the values in order of name, at least two, and their JSON with a place for each."""
    fields = (json.dumps(name).replace("%", "%%") + ":%d" for name in sorted(names))
    return operator.itemgetter(*sorted(names)), f"{{{','.join(fields)}}}"
