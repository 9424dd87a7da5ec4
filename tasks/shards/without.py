"""The pool without some samples: which units hold them, and those units taken away with nothing else lost.

In: a store and keys. Out: no tar, row or entry of the member index has the samples any more. The other members of a unit that goes are
copied, not decoded, into a unit that stands for no plan; the member index leads to it, so the next build copies them from there, and `gc`
takes it away once nothing needs it. Must not import ray or torch.

Killed in between, the same call goes on: the copy comes first, then the index, and the rows that name the samples go before their tar, so
whatever is left is found again.
"""

from __future__ import annotations

import hashlib
import json
import os
import zlib
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from tasks.contracts import Store
from tasks.errors import CorruptArtifact
from tasks.forgotten import sample_of
from tasks.modalities import merge_all
from tasks.shards.identity import digest
from tasks.shards.pool import META, UnitRows, publish_unit, read_unit, rows_name, rows_schema, tar_name, units_of_index
from tasks.shards.tar import TarWriter


@dataclass(frozen=True)
class Held:
    """What of the pool has to go."""

    units: tuple[str, ...]
    """Units with the samples, and units whose rows cannot be read, which nothing can use."""
    unfinished: tuple[str, ...]
    """Tars without rows: a build was killed between the two, and nothing says whose samples they hold."""


def held(store: Store, keys: Collection[str]) -> Held:
    """Look through the rows of every unit. Reads one column of each."""
    wanted = pa.array(sorted(keys), pa.string())
    names = [name for name in store.list("pool") if not name.startswith(("pool/members/", "pool/attempts/"))]
    finished = {Path(name).stem for name in names if name.endswith(".parquet")}
    unfinished = [Path(name).stem for name in names if name.endswith(".tar") and Path(name).stem not in finished]
    return Held(tuple(sorted(unit for unit in finished if _holds(store, unit, wanted))), tuple(sorted(unfinished)))


def _holds(store: Store, unit: str, wanted: pa.Array) -> bool:
    try:
        column = pq.read_table(store.local_path(rows_name(unit)), columns=["key"], partitioning=None)["key"]
    except (OSError, ValueError, KeyError):
        return True
    return bool(pc.any(pc.is_in(column, value_set=wanted)).as_py())


def take_away(store: Store, found: Held, keys: Collection[str]) -> None:
    """Replace the units by copies without the samples. Nobody may build in this pool meanwhile."""
    moved = {unit: _copied(store, unit, keys) for unit in found.units}
    for name in store.list("pool/members"):
        units = units_of_index(store.local_path(name))
        if not units or moved.keys() & set(units):
            _reindex(store, name, moved)
    for unit in (*found.units, *found.unfinished):
        store.delete(rows_name(unit))
        store.delete(tar_name(unit))
        store.delete(f"pool/attempts/{unit}")


# ---- units -------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class _Moved:
    """Where the other members of a unit are now."""

    unit: str
    rows: Mapping[int, int]
    """Row in the unit that goes → row in the copy."""


def _copied(store: Store, unit: str, keys: Collection[str]) -> _Moved:
    """A copy of what a unit has of other samples. Its name follows from the unit and the samples, so a second call finds it there."""
    name = digest("without", unit, sorted(sample_of(key) for key in keys))
    scratch = store.scratch()
    written: list[dict[str, Any]] = []
    moved: dict[int, int] = {}
    try:
        with scratch.open("wb") as file:
            tar = TarWriter(file)
            for number, row, members in _others(store, unit, keys):
                moved[number] = len(written)
                written.append(_append(row, members, tar))
            sha256 = tar.finish()
        if written:
            modalities = _modalities(written[0])
            stats = {each: merge_all(json.loads(row[f"{each}.stats"]) for row in written if row[f"{each}.stats"]) for each in modalities}
            meta = {"format": 1, "sha256": sha256, "bytes": tar.num_bytes, "samples": tar.num_samples, "stats": stats}
            publish_unit(store, name, scratch, UnitRows(meta, pa.Table.from_pylist(written, rows_schema(modalities))))
    finally:
        scratch.unlink(missing_ok=True)
    return _Moved(name, moved)


def _others(store: Store, unit: str, keys: Collection[str]) -> Iterator[tuple[int, dict[str, Any], dict[str, bytes]]]:
    """Row, its columns and its members (modality → data) of each other sample; one with a damaged byte is left out and encoded anew."""
    try:
        rows = read_unit(store, unit).table.to_pylist()
        descriptor = os.open(store.local_path(tar_name(unit)), os.O_RDONLY)
    except (CorruptArtifact, FileNotFoundError):
        return
    try:
        for number, row in enumerate(rows):
            if row["status"] != "written" or row["key"] in keys:
                continue
            present = [each for each in _modalities(row) if row[f"{each}.offset"] is not None]
            members = {each: os.pread(descriptor, row[f"{each}.size"], row[f"{each}.offset"]) for each in present}
            if all(zlib.crc32(data) == row[f"{each}.crc32"] for each, data in members.items()):
                yield number, row, members
    finally:
        os.close(descriptor)


def _append(row: dict[str, Any], members: Mapping[str, bytes], tar: TarWriter) -> dict[str, Any]:
    """Its row in the copy."""
    spans = tar.add(row["key"], {row[f"{each}.ext"]: data for each, data in members.items()})
    places = {each: spans[row[f"{each}.ext"]] for each in members}
    return row | {f"{each}.offset": span.offset for each, span in places.items()}


def _modalities(row: Mapping[str, Any]) -> list[str]:
    return sorted(column.removesuffix(".member") for column in row if column.endswith(".member"))


# ---- the member index --------------------------------------------------------------------------------------------------


def _reindex(store: Store, name: str, moved: Mapping[str, _Moved]) -> None:
    """The same file of the index with the copies in place of the units that go: the new file first. A damaged one is only taken away."""
    path = store.local_path(name)
    units = sorted({moved[unit].unit if unit in moved else unit for unit in units_of_index(path)})
    table = _entries(path, moved)
    if table is not None and len(table):
        meta = {META: json.dumps(units).encode()}
        scratch = store.scratch()
        pq.write_table(table.replace_schema_metadata(meta), scratch, compression="zstd")
        store.publish(scratch, f"{name.rpartition('/')[0]}/{hashlib.sha256(meta[META]).hexdigest()}.parquet")
    store.delete(name)


def _entries(path: Path, moved: Mapping[str, _Moved]) -> pa.Table | None:
    """Rows of an index file with every place where it is now, without those that are nowhere; None for a damaged file."""
    try:
        table = pq.read_table(path, partitioning=None)
    except (OSError, ValueError):
        return None
    gone = pc.is_in(table["unit"], value_set=pa.array(sorted(moved), pa.string()))
    placed = []
    for row in table.filter(gone).to_pylist():
        now = moved[row["unit"]]
        if row["row"] in now.rows:
            placed.append({"member": row["member"], "unit": now.unit, "row": now.rows[row["row"]]})
    schema = table.schema.remove_metadata()
    return pa.concat_tables([table.filter(pc.invert(gone)).replace_schema_metadata(), pa.Table.from_pylist(placed, schema)])
