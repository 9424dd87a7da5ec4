"""The units file: what workers need to know of each record they are to build.

In: a plan's units that are not in the pool yet. Out: an Arrow IPC file with one record batch for each, so that a worker maps just its
own. Columns: key, record (digest), encoded (record key), labels (JSON for the tar, or null); per modality uri, offset, length, inline,
sha256 (empty: unreadable, a reason: refused, null: absent), member (its key), copy_unit and copy_row (a finished copy). Must not import
ray or torch.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa

from tasks.shards.corpus import Corpus, Source
from tasks.shards.plan import Identities, Unit
from tasks.shards.pool import Place

_LOCATOR = {"uri": pa.string(), "offset": pa.int64(), "length": pa.int64(), "inline": pa.binary()}


@dataclass(frozen=True)
class Members:
    """One modality of a unit's records, in their order."""

    sources: Sequence[Source]
    keys: Sequence[str | None]
    """Member keys; None where there is nothing to encode."""
    copies: Sequence[Place | None]
    """Finished copies."""


@dataclass(frozen=True)
class UnitRecords:
    """What a worker knows of the records of its unit, column by column: rows as dicts took as long to make as to read their text."""

    keys: Sequence[str]
    digests: Sequence[str]
    """Record digests."""
    encoded: Sequence[str]
    """Record keys."""
    labels: Sequence[str | None]
    """JSON for the tar."""
    members: Mapping[str, Members]


def write_units(
    path: Path,
    corpus: Corpus,
    units: Sequence[Unit],
    identities: Identities,
    copies: Mapping[str, Mapping[str, Place]],
    *,
    embed_labels: bool,
) -> None:
    """Write the file. `copies`: modality → member key → where a finished copy is."""
    sources = {modality: corpus.digests(modality) for modality in copies if modality in corpus.modalities}
    labels = {name: corpus.column(f"label.{name}") for name in corpus.labels} if embed_labels else None
    schema = _schema(sorted(copies))
    located = corpus.table.select(["key", *(f"{modality}.{name}" for modality in sources for name in _LOCATOR)])
    with pa.OSFile(str(path), "wb") as file, pa.ipc.new_file(file, schema) as writer:
        for unit in units:
            rows, absent = list(unit.rows), pa.nulls(len(unit.rows))
            columns = {**dict.fromkeys(schema.names, absent), **_columns(located.take(pa.array(rows, pa.int64())))}
            columns["record"], columns["encoded"] = [identities.digests[row] for row in rows], [identities.keys[row] for row in rows]
            if labels is not None:
                columns["labels"] = [json.dumps({name: labels[name][row] for name in labels}, sort_keys=True) for row in rows]
            for modality, digests in sources.items():
                keys = [identities.members[modality][row] for row in rows]
                columns[f"{modality}.sha256"], columns[f"{modality}.member"] = [digests[row] for row in rows], keys
                if copies[modality]:
                    places = [copies[modality].get(key or "") for key in keys]
                    columns[f"{modality}.copy_unit"] = [place.unit if place else None for place in places]
                    columns[f"{modality}.copy_row"] = [place.row if place else None for place in places]
            (batch,) = pa.table(columns).cast(schema).combine_chunks().to_batches()
            writer.write_batch(batch)


def _columns(table: pa.Table) -> dict[str, Any]:
    return dict(zip(table.column_names, table.columns, strict=True))


def read_records(path: Path, unit: int, modalities: Sequence[str]) -> UnitRecords:
    """One unit of the file."""
    with pa.memory_map(str(path)) as file:
        batch = pa.ipc.open_file(file).get_batch(unit)
        keys, digests, encoded, labels = (_values(batch, name) for name in ("key", "record", "encoded", "labels"))
        return UnitRecords(keys, digests, encoded, labels, {modality: _members(batch, modality) for modality in modalities})


def _members(batch: pa.RecordBatch, modality: str) -> Members:
    sources = zip(*(_values(batch, f"{modality}.{name}") for name in Source._fields), strict=True)
    copies = zip(_values(batch, f"{modality}.copy_unit"), _values(batch, f"{modality}.copy_row"), strict=True)
    return Members(
        list(map(Source._make, sources)),
        _values(batch, f"{modality}.member"),
        [None if unit is None or row is None else Place(unit, row) for unit, row in copies],
    )


def _values(batch: pa.RecordBatch, name: str) -> list[Any]:
    column = batch[name]
    return [None] * len(column) if column.null_count == len(column) else column.to_pylist()


def _schema(modalities: Sequence[str]) -> pa.Schema:
    fields = [(name, pa.string()) for name in ("key", "record", "encoded", "labels")]
    for modality in modalities:
        fields += [(f"{modality}.{name}", kind) for name, kind in _LOCATOR.items()]
        fields += [(f"{modality}.{name}", pa.string()) for name in ("sha256", "member", "copy_unit")]
        fields += [(f"{modality}.copy_row", pa.int32())]
    return pa.schema(fields)
