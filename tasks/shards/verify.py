"""Is a shards artifact what it says it is, and what is in it.

In: its folder. Out: sentences about what is wrong; or a summary. Holds one tar's part of the index at a time. Must not import ray or torch.
"""

from __future__ import annotations

import itertools
import json
from collections import Counter
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from tasks.contracts import Store
from tasks.errors import CorruptArtifact, TaskError
from tasks.file_digest import sha256_or_empty
from tasks.shards.pool import rows_name, tar_name
from tasks.shards.read import ShardSet
from tasks.shards.tar_check import check_tar, members_of


def inspect(path: Path) -> dict[str, Any]:
    """What an artifact holds: shards (name, split, partition, sha256, samples, bytes), ledger, modalities, labels, bad records by reason.

    Raises CorruptArtifact when it is no shards artifact.
    """
    meta = ShardSet.open(path).meta
    return {
        "path": str(path),
        "shards": [
            {name: shard[name] for name in ("name", "split", "partition", "sha256", "samples", "bytes")} for shard in meta["shards"]
        ],
        "ledger": meta["ledger"],
        "modalities": meta["modalities"],
        "prepare": meta["prepare"],
        "labels": meta["labels"],
        "quarantined": _reasons(path),
    }


def _reasons(path: Path) -> dict[str, int]:
    ledger = _table(path, "ledger")
    if ledger is None:
        raise CorruptArtifact(f"{path / 'ledger.parquet'} cannot be read; run the shard step anew")
    bad = ledger.filter(pc.equal(ledger["status"], "quarantined"))["reason"]
    return dict(sorted(Counter(bad.to_pylist()).items()))


def verify(path: Path) -> list[str]:
    """Hash every file and compare tars, index, labels and ledger. One sentence for each thing that is wrong, none when all is well."""
    try:
        meta = ShardSet.open(path).meta
        return [*_files(path, meta), *_shards(path, meta), *_tables(path, meta)]
    except TaskError as error:
        return [str(error)]


def repair(store: Store, path: Path) -> list[str]:
    """Take the shards whose bytes are wrong out of the store's pool, so that the next build of the step makes them anew.

    Returns their names. The artifact itself stays as it is; remove it to have it built again.
    """
    wrong = [shard for shard in ShardSet.open(path).meta["shards"] if sha256_or_empty(path / shard["name"]) != shard["sha256"]]
    for shard in wrong:
        store.delete(rows_name(shard["unit"]))
        store.delete(tar_name(shard["unit"]))
    return [shard["name"] for shard in wrong]


def _files(path: Path, meta: Mapping[str, Any]) -> Iterator[str]:
    for name, sha256 in meta["files"].items():
        found = sha256_or_empty(path / name)
        if not found:
            yield f"{name}: {'cannot be read' if (path / name).exists() else 'is missing'}"
        elif found != sha256:
            yield f"{name}: its SHA-256 is {found[:16]}…, shards.json says {sha256[:16]}…"
    known = {*meta["files"], *(shard["name"] for shard in meta["shards"]), "shards.json", "manifest.json"}
    for found_path in sorted(path.rglob("*")):
        if found_path.is_file() and found_path.relative_to(path).as_posix() not in known:
            yield f"{found_path.relative_to(path).as_posix()}: does not belong to the artifact"


def _shards(path: Path, meta: Mapping[str, Any]) -> Iterator[str]:
    index = _table(path, "index")
    parts = _by_shard(index, len(meta["shards"])) if index is not None else itertools.repeat([])
    for shard, rows in zip(meta["shards"], parts, strict=False):
        name, keys = shard["name"], [row["key"] for row in rows]
        try:
            sha256, problems = check_tar(path / name, name, members_of(rows, meta["modalities"]), keys)
        except OSError:
            yield f"{name}: {'cannot be read' if (path / name).exists() else 'is missing'}"
            continue
        if sha256 != shard["sha256"]:
            yield f"{name}: its SHA-256 is {sha256[:16]}…, shards.json says {shard['sha256'][:16]}…"
        if index is not None:  # else it is named by its hash already
            yield from problems


def _by_shard(index: pa.Table, num_shards: int) -> Iterator[list[dict[str, Any]]]:
    """The rows of each shard, one shard at a time."""
    shards_N = index["shard"].to_numpy()
    if (np.diff(shards_N) < 0).any():  # not as it is written
        order = np.argsort(shards_N, kind="stable")
        index, shards_N = index.take(pa.array(order)), shards_N[order]
    bounds = np.searchsorted(shards_N, np.arange(num_shards + 1))
    for first, last in itertools.pairwise(bounds.tolist()):
        yield index.slice(first, last - first).to_pylist()


def _tables(path: Path, meta: Mapping[str, Any]) -> Iterator[str]:
    index, labels, ledger = (_table(path, name) for name in ("index", "labels", "ledger"))
    if index is None or labels is None or ledger is None:
        return  # named by their hashes already
    samples = sum(shard["samples"] for shard in meta["shards"])
    if index["key"].to_pylist() != labels["key"].to_pylist():
        yield "labels.parquet: its keys are not those of index.parquet"
    if len(index) != samples:
        yield f"index.parquet: {len(index)} samples, the shards have {samples}"
    statuses = ledger["status"].to_pylist()
    counts = {"in": len(ledger), **{status: statuses.count(status) for status in meta["ledger"] if status != "in"}}
    if counts != meta["ledger"] or counts["in"] != sum(count for status, count in counts.items() if status != "in"):
        yield f"ledger.parquet: counts are {json.dumps(counts)}, shards.json says {json.dumps(meta['ledger'])}"


def _table(path: Path, name: str) -> pa.Table | None:
    try:
        return pq.read_table(path / f"{name}.parquet", partitioning=None)
    except (OSError, ValueError):
        return None
