"""Is a shards artifact what it says it is, and what is in it.

In: its folder. Out: sentences about what is wrong; or a summary. Uses the standard library's tar reader, so that our writer is
checked by somebody else's code. Must not import ray or torch.
"""

from __future__ import annotations

import hashlib
import json
import tarfile
from collections import Counter
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from tasks.contracts import Store
from tasks.errors import CorruptArtifact, TaskError
from tasks.shards.pool import rows_name, tar_name
from tasks.shards.read import ShardSet


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
        return [*_files(path, meta), *_tars(path, meta), *_tables(path, meta)]
    except TaskError as error:
        return [str(error)]


def repair(store: Store, path: Path) -> list[str]:
    """Take the shards whose bytes are wrong out of the store's pool, so that the next build of the step makes them anew.

    Returns their names. The artifact itself stays as it is; remove it to have it built again.
    """
    wrong = [shard for shard in ShardSet.open(path).meta["shards"] if _sha256(path / shard["name"]) != shard["sha256"]]
    for shard in wrong:
        store.delete(rows_name(shard["unit"]))
        store.delete(tar_name(shard["unit"]))
    return [shard["name"] for shard in wrong]


def _sha256(path: Path) -> str:
    """Empty when the file cannot be read."""
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError:
        return ""


def _files(path: Path, meta: Mapping[str, Any]) -> Iterator[str]:
    for name, sha256 in {**meta["files"], **{shard["name"]: shard["sha256"] for shard in meta["shards"]}}.items():
        found = _sha256(path / name)
        if not found:
            yield f"{name}: {'cannot be read' if (path / name).exists() else 'is missing'}"
        elif found != sha256:
            yield f"{name}: its SHA-256 is {found[:16]}…, shards.json says {sha256[:16]}…"
    known = {*meta["files"], *(shard["name"] for shard in meta["shards"]), "shards.json", "manifest.json"}
    for found_path in sorted(path.rglob("*")):
        if found_path.is_file() and found_path.relative_to(path).as_posix() not in known:
            yield f"{found_path.relative_to(path).as_posix()}: does not belong to the artifact"


def _tars(path: Path, meta: Mapping[str, Any]) -> Iterator[str]:
    table = _table(path, "index")
    if table is None:
        return
    expected: dict[int, dict[str, tuple[int, int]]] = {}
    for row in table.to_pylist():
        members = expected.setdefault(row["shard"], {})
        for modality in meta["modalities"]:
            if row[f"{modality}.offset"] is not None:
                members[f"{row['key']}.{row[f'{modality}.ext']}"] = (row[f"{modality}.offset"], row[f"{modality}.size"])
    for number, shard in enumerate(meta["shards"]):
        try:
            with tarfile.open(path / shard["name"], "r:") as tar:
                found = {member.name: (member.offset_data, member.size) for member in tar}
        except (OSError, tarfile.TarError) as error:
            yield f"{shard['name']}: cannot be read as a tar: {error}"
            continue
        wrong = sorted(name for name, span in expected.get(number, {}).items() if found.get(name) != span)
        if wrong:
            yield f"{shard['name']}: the index is wrong about {len(wrong)} members, such as {wrong[0]}"


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
