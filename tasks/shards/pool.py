"""The pool of finished units, and where encoded members can be copied from.

In: finished tars and their rows. Out: `pool/<2>/<unit>.tar`, then `pool/<2>/<unit>.parquet`, whose presence says that the unit is
whole; and `pool/members/<codec>/<digest>.parquet`, rows (member key, unit, row) written once a run is through. A pool file is a pure
function of its name. Must not import ray or torch.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from tasks.contracts import Store
from tasks.errors import CorruptArtifact

META = b"medley"
"""Under which a pool file's own facts stand in its Parquet metadata."""
_KEY_BYTES = 16
"""Of a member key in the index of members: enough to be unique among 10^15."""


def tar_name(unit: str) -> str:
    return f"pool/{unit[:2]}/{unit}.tar"


def rows_name(unit: str) -> str:
    return f"pool/{unit[:2]}/{unit}.parquet"


def is_finished(store: Store, unit: str) -> bool:
    return store.exists(rows_name(unit))


@dataclass(frozen=True)
class UnitRows:
    """What is known of a finished unit."""

    meta: Mapping[str, Any]
    """sha256, bytes, samples (of the tar), stats (modality → merged statistics)."""
    table: pa.Table
    """A row for each record, in order: key, status, reason, detail, dropped; per modality member, offset, size, ext, crc32, stats."""


def rows_schema(modalities: Sequence[str]) -> pa.Schema:
    """Of the rows of a unit."""
    fields = [
        ("key", pa.string()),
        ("status", pa.string()),
        ("reason", pa.string()),
        ("detail", pa.string()),
        ("dropped", pa.list_(pa.string())),
    ]
    for modality in sorted(modalities):
        fields += [
            (f"{modality}.member", pa.string()),
            (f"{modality}.offset", pa.int64()),
            (f"{modality}.size", pa.int64()),
            (f"{modality}.ext", pa.string()),
            (f"{modality}.crc32", pa.int64()),
            (f"{modality}.stats", pa.string()),
        ]
    return pa.schema(fields)


def publish_unit(store: Store, unit: str, tar: Path, rows: UnitRows) -> None:
    """Make a finished unit visible: the tar first, the rows last. Another run may have been first, with the same bytes."""
    tar.chmod(0o444)
    store.publish(tar, tar_name(unit))
    _publish_table(store, rows.table.replace_schema_metadata({META: json.dumps(rows.meta, sort_keys=True).encode()}), rows_name(unit))


def _publish_table(store: Store, table: pa.Table, name: str) -> None:
    scratch = store.scratch()
    try:
        with scratch.open("wb") as file:
            pq.write_table(table, file, compression="zstd")
        store.publish(scratch, name)
    finally:
        scratch.unlink(missing_ok=True)


def read_unit(store: Store, unit: str, columns: Sequence[str] | None = None) -> UnitRows:
    """Raises CorruptArtifact when the unit's rows cannot be read."""
    path = store.local_path(rows_name(unit))
    try:
        with pq.ParquetFile(path) as file:  # `pq.read_table` plans the scan of a data set first, which takes longer than to read a unit
            table = file.read(columns=list(columns) if columns else None, use_threads=False)
        if columns:
            table = table.select(columns)  # KeyError for one that is not there
        return UnitRows(json.loads(table.schema.metadata[META]), table)
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise CorruptArtifact(f"{path} cannot be read ({error}); remove it and run again: the unit is built anew") from error


# ---- what can be copied ------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Place:
    """A finished unit's row that holds an encoded member."""

    unit: str
    row: int


def index_units(store: Store, codec: str, modality: str, units: Collection[str]) -> None:
    """Remember where the members of one codec are, for those of `units` that are not in the index yet."""
    known = {unit for name in store.list(_index_folder(codec)) for unit in units_of_index(store.local_path(name))}
    new = sorted(set(units) - known)
    if not new:
        return
    table = pa.concat_tables(_index_rows(store, unit, modality) for unit in new).combine_chunks()
    meta = {META: json.dumps(new).encode()}
    _publish_table(store, table.replace_schema_metadata(meta), f"{_index_folder(codec)}/{hashlib.sha256(meta[META]).hexdigest()}.parquet")


def find_members(store: Store, codec: str, wanted: Collection[str]) -> dict[str, Place]:
    """Member key → a finished place of it. Reads the whole index of the codec once; a damaged index costs copies, not correctness."""
    prefixes = {bytes.fromhex(key)[:_KEY_BYTES]: key for key in wanted}
    value_set = pa.array(list(prefixes), pa.binary())
    found: dict[str, Place] = {}
    for name in store.list(_index_folder(codec)):
        with contextlib.suppress(OSError, ValueError):
            table = pq.read_table(store.local_path(name), partitioning=None)
            for row in table.filter(pc.is_in(table["member"], value_set=value_set)).to_pylist():
                found.setdefault(prefixes[row["member"]], Place(row["unit"], row["row"]))
    finished = {unit: is_finished(store, unit) for unit in {place.unit for place in found.values()}}
    return {key: place for key, place in found.items() if finished[place.unit]}


def _index_folder(codec: str) -> str:
    return f"pool/members/{codec[:_KEY_BYTES]}"


def units_of_index(path: Path) -> list[str]:
    """Units whose members an index file names; none when it is damaged."""
    with contextlib.suppress(OSError, ValueError, KeyError, TypeError):
        units: list[str] = json.loads(pq.read_schema(path).metadata[META])
        return units
    return []


def _index_rows(store: Store, unit: str, modality: str) -> pa.Table:
    column = f"{modality}.member"
    table = read_unit(store, unit, [column]).table
    rows = pc.indices_nonzero(table[column].is_valid())
    digits = pc.utf8_slice_codeunits(table[column].drop_null(), 0, 2 * _KEY_BYTES)
    member = np.frombuffer(bytes.fromhex("".join(digits.to_pylist())), f"V{_KEY_BYTES}")
    return pa.table(
        {
            "member": pa.array(member.tolist(), pa.binary()),
            "unit": pa.repeat(unit, len(rows)),
            "row": rows.cast(pa.int32()),
        }
    )
