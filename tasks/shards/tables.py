"""The three tables of a shards artifact: index, labels and ledger.

In: a corpus, the finished units of its plan, the rows left out. Out: Arrow tables; index and labels row by row in reading order, the
ledger in key order. Must not import ray or torch.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from tasks.errors import CorruptArtifact
from tasks.forgotten import ledger_key
from tasks.shards.corpus import Corpus
from tasks.shards.screen import Left

if TYPE_CHECKING:
    from tasks.shards.assemble import Part

_LEDGER = pa.schema(
    [
        *((name, pa.string()) for name in ("key", "split", "status", "reason", "detail", "duplicate_of")),
        ("shard", pa.int32()),
        ("members", pa.list_(pa.string())),
    ]
)
_OUTCOME = pa.schema([field for field in _LEDGER if field.name not in {"key", "split"}])
_MEMBER = {"offset": pa.int64(), "size": pa.int32(), "ext": pa.string(), "crc32": pa.int64()}


def index_table(parts: Sequence[Part], modalities: Sequence[str]) -> pa.Table:
    """A row for each sample in reading order: key, split, shard; per modality offset, size of the data, ext, crc32, or nulls."""
    fields = [("key", pa.string()), ("split", pa.string()), ("shard", pa.int32())]
    fields += [(f"{modality}.{name}", kind) for modality in modalities for name, kind in _MEMBER.items()]
    schema = pa.schema(fields)
    tables = []
    for part in parts:
        if part.shard is None:
            continue
        written = part.rows.table.filter(_written(part))
        here = {"split": pa.repeat(part.unit.split, len(written)), "shard": pa.repeat(pa.scalar(part.shard, pa.int32()), len(written))}
        columns = [here[name] if name in here else written[name] for name in schema.names]
        tables.append(pa.table(columns, names=schema.names).cast(schema))
    return pa.concat_tables(tables).combine_chunks() if tables else schema.empty_table()


def labels_table(corpus: Corpus, parts: Sequence[Part]) -> pa.Table:
    """Row by row with the index: key, group, partition, and the labels without their prefix."""
    rows = pa.array(written_rows(parts), pa.int64())
    names = ["key", "group", "partition", *(f"label.{name}" for name in corpus.labels)]
    return corpus.table.select(names).take(rows).rename_columns([name.removeprefix("label.") for name in names]).combine_chunks()


def ledger_table(corpus: Corpus, parts: Sequence[Part], left: Mapping[int, Left]) -> pa.Table:
    """A row for each record of the corpus in key order: key, split, status, reason, detail, duplicate_of, shard, members (dropped).

    Then one for each forgotten sample, of which nothing but the digest of its key is known.
    """
    outcomes = [_outcomes(part) for part in parts]
    entries: list[dict[str, Any]] = [
        {"status": why.status, "reason": why.reason, "detail": why.detail or None, "duplicate_of": why.duplicate_of, "members": []}
        for why in left.values()
    ]
    outcomes.append(pa.Table.from_pylist(entries, _OUTCOME))
    rows = np.concatenate([np.asarray(rows, np.int64) for rows in (*(part.unit.rows for part in parts), list(left))])
    order = np.argsort(rows, kind="stable")  # a record that is there twice or never shows when the ledger is reconciled
    known = corpus.table.select(["key", "split"]).take(pa.array(rows[order]))
    told = pa.concat_tables(outcomes).take(pa.array(order))
    table = pa.table({name: (known if name in {"key", "split"} else told)[name] for name in _LEDGER.names}).cast(_LEDGER)
    forgotten = [{"key": ledger_key(sample), "status": "forgotten", "members": []} for sample in corpus.forgotten]
    return pa.concat_tables([table, pa.Table.from_pylist(forgotten, _LEDGER)]).combine_chunks()


def _outcomes(part: Part) -> pa.Table:
    """What became of a unit's records, in the unit's order."""
    table = part.rows.table
    if len(table) != len(part.unit.rows):
        raise CorruptArtifact(f"unit {part.key} has rows for {len(table)} records, not {len(part.unit.rows)}; remove it and run again")
    shard = pc.if_else(_written(part), pa.scalar(part.shard, pa.int32()), pa.scalar(None, pa.int32()))
    columns = {**{name: table[name] for name in ("status", "reason", "detail")}, "shard": shard, "members": table["dropped"]}
    columns["duplicate_of"] = pa.nulls(len(table), pa.string())
    return pa.table({name: columns[name] for name in _OUTCOME.names}).cast(_OUTCOME)


def written_rows(parts: Sequence[Part]) -> list[int]:
    """Rows of the corpus that are samples, in reading order."""
    return [row for part in parts for row, here in zip(part.unit.rows, _written(part).to_pylist(), strict=True) if here]


def _written(part: Part) -> Any:
    return pc.equal(part.rows.table["status"], "written")
