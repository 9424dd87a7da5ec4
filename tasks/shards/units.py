"""The units file: what workers need to know of each record they are to build.

In: a plan's units that are not in the pool yet. Out: an Arrow IPC file with one record batch for each, so that a worker maps just its
own. Columns: key, record (digest), encoded (record key), labels (JSON for the tar, or null); per modality uri, offset, length, inline,
sha256 (empty: unreadable, a reason: refused, null: absent), member (its key), copy_unit and copy_row (a finished copy). Must not import
ray or torch.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path

import pyarrow as pa

from tasks.shards.corpus import Corpus
from tasks.shards.plan import Identities, Unit
from tasks.shards.pool import Place

_LOCATOR = {"uri": pa.string(), "offset": pa.int64(), "length": pa.int64(), "inline": pa.binary()}


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
    modalities = sorted(copies)
    sources = {modality: corpus.digests(modality) if modality in corpus.modalities else None for modality in modalities}
    labels = {name: corpus.column(f"label.{name}") for name in corpus.labels} if embed_labels else {}
    with pa.OSFile(str(path), "wb") as file, pa.ipc.new_file(file, _schema(modalities)) as writer:
        for unit in units:
            rows = list(unit.rows)
            taken = corpus.table.take(pa.array(rows, pa.int64()))
            columns = {
                "key": [corpus.keys[row] for row in rows],
                "record": [identities.digests[row] for row in rows],
                "encoded": [identities.keys[row] for row in rows],
                "labels": [
                    json.dumps({name: labels[name][row] for name in labels}, sort_keys=True) if embed_labels else None for row in rows
                ],
            }
            for modality in modalities:
                digests = sources[modality]
                keys = identities.members.get(modality)
                places = [copies[modality].get(keys[row] or "") if keys else None for row in rows]
                for name in _LOCATOR:
                    columns[f"{modality}.{name}"] = taken[f"{modality}.{name}"].to_pylist() if digests else [None] * len(rows)
                columns[f"{modality}.sha256"] = [digests[row] if digests else None for row in rows]
                columns[f"{modality}.member"] = [keys[row] if keys else None for row in rows]
                columns[f"{modality}.copy_unit"] = [place.unit if place else None for place in places]
                columns[f"{modality}.copy_row"] = [place.row if place else None for place in places]
            writer.write_batch(pa.RecordBatch.from_pydict(columns, _schema(modalities)))


def _schema(modalities: Sequence[str]) -> pa.Schema:
    fields = [(name, pa.string()) for name in ("key", "record", "encoded", "labels")]
    for modality in modalities:
        fields += [(f"{modality}.{name}", kind) for name, kind in _LOCATOR.items()]
        fields += [(f"{modality}.{name}", pa.string()) for name in ("sha256", "member", "copy_unit")]
        fields += [(f"{modality}.copy_row", pa.int32())]
    return pa.schema(fields)
