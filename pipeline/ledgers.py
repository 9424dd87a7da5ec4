"""The ledger of shards row by row: what became of each record, which tar holds it, and the digests of its members.

In: a store and the `Origin` of shards. Out: rows, few of them in memory at once, so that a million is no matter. The ledger and the corpus
are both in key order and are read side by side. Must not import ray or torch.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from pipeline import rows
from pipeline.lineage import Origin
from pipeline.store import LocalStore

_LEDGER = ("key", "split", "status", "reason", "detail", "duplicate_of")
COLUMNS = ("shards", *_LEDGER, "shard", "shard_sha256", "dropped", "members")
_SHA256 = ".sha256"


def ledger(store: LocalStore, origin: Origin) -> Iterator[dict[str, Any]]:
    """Every row, with the names of COLUMNS. `members`: modality → sha256 of the source's bytes; None when the corpus is not there."""
    manifest = store.manifest(origin.key)
    assert manifest is not None, "only shards that are there are asked for"
    tars = origin.facts.get("shards", [])
    digests = _digests(store, origin)
    current = next(digests, None)
    with rows.opened(store, manifest, "ledger.parquet") as file:
        for row in rows.every(file, [*_LEDGER, "shard", "members"]):
            while current is not None and current[0] < row["key"]:
                current = next(digests, None)
            tar = tars[row["shard"]] if row["shard"] is not None and row["shard"] < len(tars) else {}
            yield {
                "shards": origin.key,
                **{name: row[name] for name in _LEDGER},
                "shard": tar.get("name"),
                "shard_sha256": tar.get("sha256"),
                "dropped": row["members"] or [],
                "members": current[1] if current is not None and current[0] == row["key"] else None,
            }


def _digests(store: LocalStore, origin: Origin) -> Iterator[tuple[str, dict[str, str]]]:
    """Key and digests of each record of the corpus, in key order; nothing when it is gone."""
    manifest = store.manifest(origin.inputs.get("corpus", ""))
    if manifest is None or "records.parquet" not in manifest["files"]:
        return
    with rows.opened(store, manifest, "records.parquet") as file:
        names = [name for name in file.schema_arrow.names if name.endswith(_SHA256)]
        for row in rows.every(file, ["key", *names]):
            yield row["key"], {name.removesuffix(_SHA256): row[name] for name in names if row[name]}
