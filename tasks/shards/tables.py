"""The three tables of a shards artifact: index, labels and ledger.

In: a corpus, the finished units of its plan, the rows left out. Out: Arrow tables; index and labels row by row in reading order, the
ledger in key order. Must not import ray or torch.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pyarrow.compute as pc

from tasks.forgotten import ledger_key
from tasks.shards.corpus import Corpus
from tasks.shards.screen import Left

if TYPE_CHECKING:
    from tasks.shards.assemble import Part

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
    entries: list[dict[str, Any]] = [{} for _ in range(corpus.num_records)]
    for part in parts:
        outcomes = part.rows.table.select(["status", "reason", "detail", "dropped"]).to_pylist()
        for row, outcome in zip(part.unit.rows, outcomes, strict=True):
            outcome["members"] = outcome.pop("dropped")
            entries[row] = outcome | {"shard": part.shard if outcome["status"] == "written" else None}
    for row, why in left.items():
        entries[row] = {
            "status": why.status,
            "reason": why.reason,
            "detail": why.detail or None,
            "duplicate_of": why.duplicate_of,
            "members": [],
        }
    for row, entry in enumerate(entries):
        entry["key"], entry["split"] = corpus.keys[row], corpus.splits[row]
    entries += [{"key": ledger_key(sample), "status": "forgotten", "members": []} for sample in corpus.forgotten]
    schema = [(name, pa.string()) for name in ("key", "split", "status", "reason", "detail", "duplicate_of")]
    return pa.Table.from_pylist(entries, pa.schema([*schema, ("shard", pa.int32()), ("members", pa.list_(pa.string()))]))


def written_rows(parts: Sequence[Part]) -> list[int]:
    """Rows of the corpus that are samples, in reading order."""
    return [row for part in parts for row, here in zip(part.unit.rows, _written(part).to_pylist(), strict=True) if here]


def _written(part: Part) -> Any:
    return pc.equal(part.rows.table["status"], "written")
