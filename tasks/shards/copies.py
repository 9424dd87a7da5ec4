"""Encoded members taken over from finished units, so that a changed shard decodes only what is new.

In: a unit and a row of it. Out: what `encode` returned when that row was written. Must not import ray or torch.
"""

from __future__ import annotations

import functools
import json
import os
import zlib
from pathlib import Path
from typing import Any

from tasks.contracts import Encoded, Store
from tasks.errors import CorruptArtifact
from tasks.shards.pool import Place, read_unit, tar_name

_OPEN_UNITS = 16


class Copies:
    """Reads members of finished units; keeps the rows of a few of them at hand."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._rows = functools.lru_cache(_OPEN_UNITS)(self._read_rows)
        self.num_copied = 0

    def find(self, modality: str, place: Place) -> Encoded | None:
        """The encoded member, or None when it is not whole: it is then encoded anew."""
        try:
            at = self._rows(place.unit, modality)[place.row]
            data = _pread(self._store.local_path(tar_name(place.unit)), at[f"{modality}.offset"], at[f"{modality}.size"])
        except (CorruptArtifact, OSError):
            return None
        if zlib.crc32(data) != at[f"{modality}.crc32"]:
            return None
        self.num_copied += 1
        return Encoded(at[f"{modality}.ext"], data, json.loads(at[f"{modality}.stats"]))

    def _read_rows(self, unit: str, modality: str) -> list[dict[str, Any]]:
        columns = [f"{modality}.{name}" for name in ("offset", "size", "ext", "crc32", "stats")]
        rows: list[dict[str, Any]] = read_unit(self._store, unit, columns).table.to_pylist()
        return rows


def _pread(path: Path, offset: int, size: int) -> bytes:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        return os.pread(descriptor, size, offset)
    finally:
        os.close(descriptor)
