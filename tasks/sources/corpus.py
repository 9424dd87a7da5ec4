"""Records to the two files of a corpus.

In: regular records with their digests. Out: `records.parquet` and `corpus.json`, whose bytes depend neither on the order in which the
source listed nor on the number of threads. Rows wait as Arrow tables, so that millions of them fit into memory.
"""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from tasks.contracts import FORMAT_VERSION, SPLITS, SourceRecord, Summary
from tasks.errors import LabelError, SourceError
from tasks.sources.digest import Digested, Row

MAX_LISTED = 1000
"""Unreadable members in `corpus.json`, and values of a label in the summary; `records.parquet` has them all."""

ROW_GROUP = 16_384

LOCATOR = {
    "uri": pa.string(),
    "offset": pa.int64(),
    "length": pa.int64(),
    "inline": pa.binary(),
    "size": pa.int64(),
    "mtime_ns": pa.int64(),
    "sha256": pa.string(),
}
REFUSED = "refused"
"""Column of members that their source gave up unread; only there when some were."""
RECORD = {"key": pa.string(), "split": pa.string(), "partition": pa.string(), "group": pa.string()}
GIVEN_KEY = "given_key"
"""The key as the source gave it; only kept until keys are known to be unique."""


def split_of(group: str, val: float, test: float, salt: str) -> str:
    """train, val or test by sha256(salt, group) as a number from 0 to 1. Test comes first, so that `val` never changes it."""
    point = int.from_bytes(hashlib.sha256(f"{salt}\0{group}".encode()).digest()[:8], "big") / 2**64
    if point < test:
        return "test"
    return "val" if point < test + val else "train"


class CorpusWriter:
    """Collects rows, then writes the corpus."""

    def __init__(self) -> None:
        self._tables: list[pa.Table] = []
        self._first: dict[str, tuple[type, str]] = {}
        """Label → its type, and the key that showed it first."""
        self._num_bytes = 0
        self._unreadable: list[dict[str, str]] = []

    def add(self, rows: Sequence[Row]) -> None:
        """LabelError when a label is a text here and a number there."""
        records = [listed.record for listed, _ in rows]
        columns: dict[str, pa.Array] = {
            GIVEN_KEY: pa.array([listed.given_key for listed, _ in rows], pa.string()),
            **{name: pa.array([getattr(record, name) for record in records], kind) for name, kind in RECORD.items()},
        }
        for name in sorted({name for record in records for name in record.labels}):
            columns[f"label.{name}"] = pa.array([record.labels.get(name) for record in records], self._kind(name, records))
        for modality in sorted({modality for record in records for modality in record.members}):
            members = [digested.get(modality) for _, digested in rows]
            for name, kind in LOCATOR.items():
                columns[f"{modality}.{name}"] = pa.array([_value(member, name) for member in members], kind)
            if any(member and member.locator.refused for member in members):
                columns[f"{modality}.{REFUSED}"] = pa.array([member.locator.refused or None if member else None for member in members])
        self._tables.append(pa.table(columns))
        self._count(rows)

    def write(self, output_dir: Path, val: float, test: float, salt: str, forgotten: Sequence[str] = ()) -> Summary:
        """Both files, and the summary of the step; `forgotten` samples were left out and are counted.

        SourceError for keys that are not unique and groups that are in two splits.
        """
        if not self._tables:
            also = f" but {len(forgotten)} that are forgotten" if forgotten else ""
            raise SourceError(f"the source gave no records{also}; check its path and its options")
        table = pa.concat_tables(self._tables, promote_options="default").sort_by([("key", "ascending"), (GIVEN_KEY, "ascending")])
        _refuse_equal_keys(table)
        modalities = sorted({name.split(".")[0] for name in table.column_names if name.endswith(".sha256")})
        labels = sorted(name.removeprefix("label.") for name in table.column_names if name.startswith("label."))
        splits = _splits(table, val, test, salt)
        table = table.set_column(table.column_names.index("split"), "split", pa.array(splits, pa.string()))
        names = [*RECORD, *(f"label.{name}" for name in labels)]
        names += [f"{modality}.{name}" for modality in modalities for name in (*LOCATOR, REFUSED)]
        table = table.select([name for name in names if name in table.column_names])
        pq.write_table(table.combine_chunks(), output_dir / "records.parquet", compression="zstd", row_group_size=ROW_GROUP)
        counts = Counter(splits)
        facts = {
            "format": FORMAT_VERSION,
            "modalities": modalities,
            "labels": {name: _label_info(table, name) for name in labels},
            "splits": {split: counts[split] for split in SPLITS if counts[split]},
            "unreadable": sorted(self._unreadable, key=lambda entry: (entry["key"], entry["modality"]))[:MAX_LISTED],
        }
        if forgotten:
            facts["forgotten"] = sorted(set(forgotten))
        (output_dir / "corpus.json").write_text(json.dumps(facts, indent=1, sort_keys=True, ensure_ascii=False) + "\n", encoding="utf-8")
        return self._summary(table, facts)

    def _summary(self, table: pa.Table, facts: Mapping[str, Any]) -> Summary:
        summary = {
            "records": table.num_rows,
            "bytes": self._num_bytes,
            "splits": facts["splits"],
            "modalities": {name: _present(table, name) for name in facts["modalities"]},
            "labels": {name: _label_counts(table, name) for name in facts["labels"]},
            "groups": pc.count_distinct(table["group"]).as_py(),
        }
        counted = {"unreadable": len(self._unreadable), "forgotten": len(facts.get("forgotten", ()))}
        return summary | {name: number for name, number in counted.items() if number}

    def _kind(self, name: str, records: Sequence[SourceRecord]) -> pa.DataType:
        """The one Arrow type of a label."""
        for record in records:
            if name not in record.labels:
                continue
            value = record.labels[name]
            kind, key = self._first.setdefault(name, (type(value), record.key))
            if type(value) is not kind:
                both = f"a {'text' if kind is str else 'number'} for {key!r} and {value!r} for {record.key!r}"
                raise LabelError(f"the label {name!r} is {both}; make it the same for all records")
        return pa.string() if self._first[name][0] is str else pa.float64()

    def _count(self, rows: Sequence[Row]) -> None:
        for listed, digested in rows:
            for modality, member in digested.items():
                self._num_bytes += member.num_bytes
                if member.sha256 is None:
                    entry = {"key": listed.record.key, "modality": modality, "uri": member.locator.uri, "reason": member.why}
                    self._unreadable.append(entry)


def _value(member: Digested | None, name: str) -> Any:
    if member is None:
        return None
    if name == "sha256":
        return member.sha256
    if name == "uri":
        return member.locator.uri if member.locator.inline is None else None
    if name == "size" and member.locator.inline is not None:
        return member.num_bytes
    return getattr(member.locator, name)


def _refuse_equal_keys(table: pa.Table) -> None:
    keys = table["key"]
    equal = pc.equal(keys.slice(0, len(keys) - 1), keys.slice(1))
    first = pc.index(equal, True).as_py()
    if first < 0:
        return
    one, other = (_described(table.slice(first + step, 1).to_pylist()[0]) for step in (0, 1))
    number = pc.sum(equal).as_py()
    more = f" ({number - 1} more such pairs)" if number > 1 else ""
    raise SourceError(
        f"two records have the key {keys[first].as_py()!r}: {one} and {other}{more}; rename one, or give the source a unique key"
    )


def _described(row: Mapping[str, Any]) -> str:
    where = next((value for name, value in sorted(row.items()) if name.endswith(".uri") and value), "no file")
    return f"{row[GIVEN_KEY]!r} ({where})"


def _splits(table: pa.Table, val: float, test: float, salt: str) -> list[str]:
    """The split of every row: its group's own when the source says one, else by hash."""
    said = table.filter(pc.not_equal(table["split"], "")).group_by(["group", "split"]).aggregate([("key", "min")]).sort_by("key_min")
    of_group: dict[str, str] = {}
    shown_by: dict[str, str] = {}
    for group, split, key in zip(*(said[name].to_pylist() for name in ("group", "split", "key_min")), strict=True):
        if of_group.setdefault(group, split) != split:
            raise SourceError(
                f"the group {group!r} is in two splits: {of_group[group]} (record {shown_by[group]!r}) and {split} (record {key!r}); "
                "the model would be tested on what it was trained on, so put all records of a group into one split"
            )
        shown_by[group] = key
    groups: list[str] = table["group"].to_pylist()
    for group in groups:
        if group not in of_group:
            of_group[group] = split_of(group, val, test, salt)
    return [of_group[group] for group in groups]


def _present(table: pa.Table, modality: str) -> int:
    there = pc.or_(pc.is_valid(table[f"{modality}.uri"]), pc.is_valid(table[f"{modality}.inline"]))
    return int(pc.sum(there).as_py() or 0)


def _label_info(table: pa.Table, name: str) -> dict[str, Any]:
    column = table[f"label.{name}"]
    if pa.types.is_floating(column.type):
        return {"kind": "number"}
    return {"kind": "category", "values": sorted(column.drop_null().unique().to_pylist())}


def _label_counts(table: pa.Table, name: str) -> dict[str, Any]:
    """How often each value occurs (the most frequent ones when there are very many), or the range of a number."""
    column = table[f"label.{name}"]
    if pa.types.is_floating(column.type):
        return dict(pc.min_max(column).as_py())
    counts = [(entry["values"], entry["counts"]) for entry in pc.value_counts(column.drop_null()).to_pylist()]
    counts.sort(key=lambda pair: (-pair[1], pair[0]))
    return dict(sorted(counts[:MAX_LISTED]))
