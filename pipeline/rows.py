"""Rows of the tables inside artifacts, by key, without reading more of a table than that takes.

In: a store, the manifest of an artifact, a key. Out: rows. A table that is in key order has statistics by which all but one of its row
groups are passed over; of others the key column is read, of nothing more than one group the rest. Must not import ray or torch.
"""

from __future__ import annotations

import io
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import pyarrow.compute as pc
import pyarrow.parquet as pq

from pipeline.object_store import ObjectStore
from pipeline.store import LocalStore

TABLES = {"corpus": "records.parquet", "shards": "ledger.parquet"}
"""Kind of artifact → the table that names each of its samples once; of other kinds every table is looked at."""
BATCH_ROWS = 20_000
"""Rows in memory at once when a whole table is told."""


def tables(manifest: Mapping[str, Any]) -> list[str]:
    """Tables of an artifact that may hold a key."""
    names = sorted(name for name in manifest.get("files", {}) if name.endswith(".parquet") and "/" not in name)
    chosen = TABLES.get(manifest.get("kind", ""), "")
    return [chosen] if chosen in names else names


def opened(store: LocalStore, manifest: Mapping[str, Any], name: str) -> pq.ParquetFile:
    """A table of an artifact in a folder or a bucket. Raises OSError or ValueError for one that cannot be read."""
    key = manifest["key"]
    if isinstance(store, ObjectStore):
        return pq.ParquetFile(io.BytesIO(store.read(manifest["files"][name]["object"])))
    return pq.ParquetFile(store.artifact_path(key) / name, memory_map=True)


def find(file: pq.ParquetFile, key: str, columns: Sequence[str]) -> list[dict[str, Any]]:
    """Rows of this key, with those of the columns that there are."""
    names = file.schema_arrow.names
    if "key" not in names:
        return []
    wanted = ["key", *(name for name in columns if name in names)]
    found: list[dict[str, Any]] = []
    for group in _groups(file, key):
        column = file.read_row_group(group, ["key"])["key"]
        alike = pc.and_(pc.starts_with(column, key), pc.ends_with(column, key))  # a comparison would load pandas: half a second
        at = pc.indices_nonzero(alike)
        if key in column.take(at).to_pylist():
            found += [row for row in file.read_row_group(group, wanted).take(at).to_pylist() if row["key"] == key]
    return found


def every(file: pq.ParquetFile, columns: Sequence[str]) -> Iterator[dict[str, Any]]:
    """All rows in order, few of them in memory at once."""
    names = file.schema_arrow.names
    for batch in file.iter_batches(BATCH_ROWS, columns=[name for name in columns if name in names]):
        yield from batch.to_pylist()


def _groups(file: pq.ParquetFile, key: str) -> Iterator[int]:
    """Row groups that may hold the key by their statistics."""
    column = file.schema_arrow.names.index("key")
    for group in range(file.num_row_groups):
        told = file.metadata.row_group(group).column(column).statistics
        if told is None or not told.has_min_max or told.min <= key <= told.max:
            yield group
