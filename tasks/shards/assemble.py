"""From finished units to a shards artifact: hard links, index, labels, ledger, fits, statistics, cards.

In: a plan whose units are all in the pool. Out: the files of the artifact in `output_dir`, and the step's summary. Decodes nothing.
Must not import ray or torch.
"""

from __future__ import annotations

import errno
import hashlib
import itertools
import json
import os
import re
import shutil
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from tasks.contracts import FORMAT_VERSION, SPLITS, Artifact, Store, Summary, TaskContext
from tasks.errors import CorruptArtifact, TaskError, TooManyBadRecords
from tasks.shards.card import croissant, readme
from tasks.shards.corpus import Corpus
from tasks.shards.fits import fit_all
from tasks.shards.plan import Unit
from tasks.shards.pool import UnitRows, read_unit, tar_name
from tasks.shards.prepare import Planned
from tasks.shards.produce import Finished, check_rate
from tasks.shards.tables import index_table, labels_table, ledger_table
from tasks.shards.targets import label_facts, label_targets

if TYPE_CHECKING:
    from tasks.shard import ShardConfig

READERS = 4
"""Threads that read rows of units: small files, so that most of the time is opening them."""
STATUSES = ("written", "filtered", "duplicate", "quarantined", "forgotten")
"""What becomes of a record; the ledger holds exactly one for each."""


@dataclass(frozen=True)
class Part:
    """A unit of the plan with what is known of it once it is finished."""

    unit: Unit
    rows: UnitRows
    key: str
    shard: int | None
    """Position in the list of shards; None when no record was left."""
    name: str
    """`shards/….tar`, or empty."""


def assemble(
    config: ShardConfig, corpus: Corpus, planned: Planned, finished: Finished, output_dir: Path, context: TaskContext, *, source: Artifact
) -> Summary:
    """Write the artifact. Raises TooManyBadRecords, and TaskError when the ledger does not reconcile."""
    parts = _parts(planned.units, finished, context.store)
    ledger = ledger_table(corpus, parts, planned.left)
    counts = reconcile(ledger, corpus.num_records + len(corpus.forgotten))
    _check_bad(config, ledger, counts, corpus)
    _link(parts, output_dir, context.store)
    index = index_table(parts, sorted(planned.codecs))
    labels = labels_table(corpus, parts)
    for name, table in (("index", index), ("labels", labels), ("ledger", ledger)):
        pq.write_table(table, output_dir / f"{name}.parquet", compression="zstd")
    fit_files = fit_all(config, parts, output_dir, context)
    stats = _stats(corpus, parts, index, labels)
    (output_dir / "stats.json").write_text(_pretty(stats))
    _write_urls(parts, output_dir)
    meta = _meta(config, corpus, planned, parts, counts, fit_files, source)
    (output_dir / "croissant.json").write_text(_pretty(croissant(meta, _digests(output_dir), context.key)))
    (output_dir / "README.md").write_text(readme(meta, stats, context.key))
    meta["files"] = _digests(output_dir)
    (output_dir / "shards.json").write_text(_pretty(meta))
    return _summary(meta, ledger, finished, stats)


def reconcile(ledger: pa.Table, num_records: int) -> dict[str, int]:
    """Counts of the ledger: `in` and each status. Raises TaskError unless every record of the corpus is there exactly once."""
    found = Counter(ledger["status"].to_pylist())
    counts = {"in": num_records, **{status: found.pop(status, 0) for status in STATUSES}}
    if found or sum(counts[status] for status in STATUSES) != num_records or len(ledger["key"].unique()) != num_records:
        raise TaskError(f"the ledger does not reconcile: {counts}, beside {dict(found)}; this is an error of the program, please report it")
    return counts


def _parts(units: Sequence[Unit], finished: Finished, store: Store) -> list[Part]:
    parts: list[Part] = []
    numbers: Counter[tuple[str, str]] = Counter()
    with ThreadPoolExecutor(READERS) as pool:
        tables = list(pool.map(lambda key: read_unit(store, key), finished.keys))
    for unit, key, rows in zip(units, finished.keys, tables, strict=True):
        name, shard = "", None
        if rows.meta["samples"]:
            shard = sum(numbers.values())
            name = _shard_name(unit, numbers[unit.split, unit.partition])
            numbers[unit.split, unit.partition] += 1
        parts.append(Part(unit, rows, key, shard, name))
    return parts


def _shard_name(unit: Unit, number: int) -> str:
    partition = "" if unit.partition == "default" else f"-{_file_name(unit.partition)}"
    return f"shards/{unit.split}{partition}-{number:06d}.tar"


def _file_name(partition: str) -> str:
    """The partition itself where every character is harmless in a file name and a glob, else with a digest that keeps it apart."""
    harmless = re.sub(r"[^A-Za-z0-9_-]", "_", partition)
    return partition if harmless == partition else f"{harmless}-{hashlib.sha256(partition.encode()).hexdigest()[:8]}"


def _check_bad(config: ShardConfig, ledger: pa.Table, counts: Mapping[str, int], corpus: Corpus) -> None:
    examples = [f"{row['key']}: {row['reason']}: {row['detail']}" for row in _first_bad(ledger)]
    planned = counts["in"] - counts["duplicate"] - counts["forgotten"]
    check_rate(config.bad_records, counts["quarantined"], planned, planned, examples)
    if not counts["written"]:
        shown = "\n".join(f"  {example}" for example in examples)
        raise TooManyBadRecords(f"none of the {corpus.num_records} records can be written{':' if shown else ''}\n{shown}".rstrip())


def _first_bad(ledger: pa.Table) -> Iterator[dict[str, Any]]:
    bad = ledger.filter(pc.equal(ledger["status"], "quarantined"))
    yield from bad.slice(0, 5).to_pylist()


def _link(parts: Sequence[Part], output_dir: Path, store: Store) -> None:
    (output_dir / "shards").mkdir(parents=True)
    for part in parts:
        if not part.name:
            continue
        source = store.local_path(tar_name(part.key))
        _check_size(source, part)
        try:
            os.link(source, output_dir / part.name)
        except OSError as error:
            if error.errno not in (errno.EXDEV, errno.EPERM, errno.EMLINK, errno.ENOTSUP):
                raise
            shutil.copyfile(source, output_dir / part.name)


def _check_size(tar: Path, part: Part) -> None:
    found = tar.stat().st_size if tar.exists() else 0
    if found != part.rows.meta["bytes"]:
        raise CorruptArtifact(
            f"{tar} has {found} bytes, not {part.rows.meta['bytes']} as when it was written; "
            f"remove it and {tar.with_suffix('.parquet').name} beside it, and run again: that shard is built anew"
        )


def _write_urls(parts: Sequence[Part], output_dir: Path) -> None:
    for split in SPLITS:
        names = [part.name for part in parts if part.name and part.unit.split == split]
        if names:
            (output_dir / f"urls-{split}.txt").write_text("".join(f"{name}\n" for name in names))


def _stats(corpus: Corpus, parts: Sequence[Part], index: pa.Table, labels: pa.Table) -> dict[str, Any]:
    from tasks.modalities import merge_all

    splits = [split for split in SPLITS if any(part.name and part.unit.split == split for part in parts)]
    modalities = sorted({name for part in parts for name in part.rows.meta["stats"]})
    merged = {
        split: {
            name: merge_all(part.rows.meta["stats"][name] for part in parts if part.unit.split == split and name in part.rows.meta["stats"])
            for name in modalities
        }
        for split in splits
    }
    return {
        "format": FORMAT_VERSION,
        "samples": {split: sum(part.rows.meta["samples"] for part in parts if part.unit.split == split) for split in splits},
        "modalities": merged,
        "labels": label_facts(corpus.meta["labels"], labels, index["split"].to_pylist()),
        "subsets": _subsets(index, modalities),
    }


def _subsets(index: pa.Table, modalities: Sequence[str]) -> dict[str, int]:
    """`audio+image` → samples with just these modalities."""
    present = Counter(zip(*(index[f"{name}.size"].is_valid().to_pylist() for name in modalities), strict=True))
    named = {"+".join(itertools.compress(modalities, here)): count for here, count in present.items()}
    return dict(sorted(named.items()))


def _meta(
    config: ShardConfig,
    corpus: Corpus,
    planned: Planned,
    parts: Sequence[Part],
    counts: Mapping[str, int],
    fit_files: Mapping[str, Sequence[str]],
    source: Artifact,
) -> dict[str, Any]:
    return {
        "format": FORMAT_VERSION,
        "corpus": source.key,
        "shards": [
            {
                "name": part.name,
                "split": part.unit.split,
                "partition": part.unit.partition,
                "unit": part.key,
                "sha256": part.rows.meta["sha256"],
                "bytes": part.rows.meta["bytes"],
                "samples": part.rows.meta["samples"],
            }
            for part in parts
            if part.name
        ],
        "units": [part.key for part in parts],
        "ledger": dict(counts),
        "modalities": sorted(planned.codecs),
        "prepare": {name: codec.prepare for name, codec in planned.codecs.items()},
        "codecs": {name: {"version": codec.version, "fingerprint": codec.fingerprint} for name, codec in planned.codecs.items()},
        "fit": {name: chosen.model_dump(mode="json") for name, chosen in config.fit.items()},
        "fit_files": {name: sorted(files) for name, files in fit_files.items()},
        "labels": label_targets(corpus, planned.left, parts),
    }


def _summary(meta: Mapping[str, Any], ledger: pa.Table, finished: Finished, stats: Mapping[str, Any]) -> Summary:
    reasons = Counter(ledger.filter(pc.equal(ledger["status"], "quarantined"))["reason"].to_pylist())
    return {
        "ledger": meta["ledger"],
        "samples": sum(shard["samples"] for shard in meta["shards"]),
        "shards": len(meta["shards"]),
        "bytes": sum(shard["bytes"] for shard in meta["shards"]),
        "units": {"built": finished.built, "reused": finished.reused},
        "members": {"encoded": finished.encoded, "copied": finished.copied},
        "quarantined": dict(sorted(reasons.items())),
        "splits": stats["samples"],
    }


def _digests(folder: Path) -> dict[str, str]:
    """SHA-256 of every file but the shards, by its name in the artifact."""
    paths = [path for path in sorted(folder.rglob("*")) if path.is_file() and path.parent != folder / "shards"]
    return {path.relative_to(folder).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest() for path in paths}


def _pretty(value: Any) -> str:
    return json.dumps(value, indent=1, sort_keys=True, ensure_ascii=False) + "\n"
