"""ingest: a source's records as a corpus.

In: a source. Out: `records.parquet` (one row per record, sorted by key: split, partition, group, labels, and per modality a locator and the
digest of its bytes) and `corpus.json`. Media are read once, for their digests, and stay where they are. Forgotten records are left out and
counted, and their media are not opened. Must not import ray or torch.
"""

from __future__ import annotations

import hashlib
import heapq
import sys
import tempfile
from collections.abc import Collection, Iterable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import Field, model_validator

from tasks.contracts import Inputs, Json, Store, Summary, TaskContext
from tasks.errors import SourceError
from tasks.forgotten import marks, sample_of
from tasks.registry import Config, KindOf, implementation
from tasks.registry import identity as registry_identity
from tasks.sources import SOURCES

if TYPE_CHECKING:
    from tasks.sources import Source
    from tasks.sources.normalise import Listed


class SplitConfig(Config):
    """How records without a split of their own are dealt: by a hash of their group, so that new data never move old records."""

    by: Literal["group"] = "group"
    """Records of a group never part; a record without a group is its own."""
    val: float = Field(default=0.0, ge=0, lt=1)
    """Share of the groups that validate."""
    test: float = Field(default=0.0, ge=0, lt=1)
    """Share of the groups that test. Changing `val` leaves them as they are."""
    salt: str = ""
    """Another salt, another split."""

    @model_validator(mode="after")
    def _some_train(self) -> SplitConfig:
        if self.val + self.test >= 1:
            raise ValueError(f"val ({self.val}) and test ({self.test}) leave nothing to train on; together they must be below 1")
        return self


class IngestConfig(Config):
    """What to read, how to split it, how much of it."""

    source: Annotated[Any, KindOf(SOURCES, tag="format")]
    """Where the records come from: `{format: folder, path: …}`, `{format: table, path: …, columns: …}` or a class of your own."""
    split: SplitConfig | None = None
    """Null: every record trains, unless the source says otherwise."""
    limit: int | None = Field(default=None, ge=1)
    """A smoke run: the first this many records by the hash of their keys, so that splits and classes stay representative."""
    refresh: Literal["always", "never"] = "always"
    """`always`: each plan looks whether the source changed. `never`: what was ingested once is taken as it is."""


def identity(config: IngestConfig, base_dir: Path) -> dict[str, Json]:
    """Snapshot of the source, for the key of the step. SourceError when it is not there."""
    kind = registry_identity(SOURCES, config.source.format)
    if config.refresh == "never":
        return {"source": kind}
    snapshot = _source(config, base_dir).snapshot()
    if "digest" not in snapshot:
        raise SourceError(
            f"{config.source.format}: its snapshot() gives {', '.join(sorted(snapshot)) or 'nothing'} and no `digest`; "
            "add a string that changes whenever the records do"
        )
    return {"source": kind, "snapshot": snapshot["digest"]}


def estimate(config: IngestConfig, base_dir: Path, inputs: dict[str, Summary]) -> dict[str, int]:
    """Records and bytes that ingest will go through; empty when the source cannot say."""
    del inputs
    snapshot = _source(config, base_dir).snapshot()
    found: dict[str, int] = {name: int(snapshot[name]) for name in ("records", "bytes") if name in snapshot}
    records = found.get("records", 0)
    if config.limit is not None and records > config.limit:
        found = {name: value * config.limit // records for name, value in found.items()}
    return found


def changed(config: IngestConfig, base_dir: Path, corpus: Path | None, store: Store) -> int:
    """Records that an ingest would take in now and that are other than in a corpus, or gone from it. Opens no media.

    SourceError and LabelError as `ingest`.
    """
    from tasks.sources.difference import num_changed
    from tasks.sources.normalise import normalise

    with tempfile.TemporaryDirectory(prefix="medley-listing-") as made:
        listed = _limited(map(normalise, _source(config, base_dir).records(Path(made))), config.limit)
        return num_changed(_remembered(listed, marks(store), []), corpus)


def ingest(config: IngestConfig, inputs: Inputs, output_dir: Path, context: TaskContext) -> Summary:
    """List, digest, split, write. Raises SourceError or LabelError for what is wrong with the source, and Stopped."""
    from tasks.sources.corpus import CorpusWriter
    from tasks.sources.digest import digest_records
    from tasks.sources.erase import erase_made
    from tasks.sources.normalise import normalise

    del inputs
    source = _source(config, context.code_dir or Path.cwd())
    snapshot = source.snapshot()
    total = min(snapshot.get("records") or 0, config.limit or sys.maxsize) or None
    writer, done = CorpusWriter(), 0
    listed = _limited(map(normalise, source.records(output_dir)), config.limit)
    forgotten: list[Listed] = []
    for rows in digest_records(_remembered(listed, marks(context.store), forgotten), output_dir, context.stop):
        writer.add(rows)
        done += len(rows)
        context.sink.progress(done, total, "records")
    split = config.split or SplitConfig()
    summary = writer.write(output_dir, split.val, split.test, split.salt, [sample_of(one.record.key) for one in forgotten])
    erase_made(forgotten, output_dir)
    return _with_left_out(summary, snapshot, context)


def _source(config: IngestConfig, base_dir: Path) -> Source:
    made: Source = implementation(SOURCES, config.source.format)(config.source, base_dir)
    return made


def _limited(listed: Iterator[Listed], limit: int | None) -> Iterable[Listed]:
    """All, or the `limit` whose keys have the smallest hashes."""
    if limit is None:
        return listed
    return heapq.nsmallest(limit, listed, key=lambda one: hashlib.sha256(f"limit\0{one.record.key}".encode()).digest())


def _remembered(listed: Iterable[Listed], samples: Collection[str], forgotten: list[Listed]) -> Iterator[Listed]:
    """Those that are not forgotten; the others are appended to `forgotten`."""
    for one in listed:
        if samples and sample_of(one.record.key) in samples:
            forgotten.append(one)
        else:
            yield one


def _with_left_out(summary: Summary, snapshot: Mapping[str, Json], context: TaskContext) -> Summary:
    """Files that the source left out stand in the summary and in the run's log."""
    ignored, reasons = snapshot.get("ignored") or {}, snapshot.get("left_out") or {}
    if ignored:
        listed = ", ".join(f"{count} x .{name}" if name else f"{count} without extension" for name, count in ignored.items())
        context.sink.note(f"files of unknown kind were left out: {listed}")
    if "forgotten" in summary:
        context.sink.note(f"{summary['forgotten']} records of the source are forgotten and were left out")
    if reasons:
        listed = ", ".join(f"{count} x {reason}" for reason, count in reasons.items())
        context.sink.note(f"{sum(reasons.values())} files are in no record: {listed}")
    return summary | ({"ignored": ignored} if ignored else {}) | ({"left_out": reasons} if reasons else {})
