"""Sharding: a corpus becomes WebDataset shards, an index, a ledger and what is learned from the training split.

In: a corpus. Out: a shards artifact. Plans units, builds those that the pool lacks, then assembles. What is in the pool is reused
without opening its sources; Ray is started only when there is something to build.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Field, model_validator

from tasks.contracts import Inputs, Summary, TaskContext
from tasks.registry import Config
from tasks.shards.settings import OfModalities


class Sizes(Config):
    """How large a shard becomes. A cut falls where a hash says so between the bounds, so that new data moves few cuts."""

    min_records: int = Field(default=256, ge=1, le=10_000_000)
    """Records a shard holds at least, if its split has as many. 1 to 10,000,000."""
    max_records: int = Field(default=1024, ge=1, le=10_000_000)
    """Records a shard holds at most, at least `min_records`. Raise both for corpora of many millions."""
    max_bytes: int = Field(default=256 << 20, ge=1)
    """Bytes of sources a shard holds at most, before encoding; one larger record makes a shard of its own."""

    @model_validator(mode="after")
    def _in_order(self) -> Sizes:
        if self.min_records > self.max_records:
            raise ValueError(f"min_records is {self.min_records}, above max_records, which is {self.max_records}")
        return self


class BadRecords(Config):
    """How many records may be bad before the step stops."""

    max_rate: float = Field(default=0.05, ge=0, le=1)
    """Quarantined records over all records that are to be written, 0 to 1."""
    probation: int = Field(default=100, ge=0)
    """Fewer records than this are never judged by their rate."""


class ShardConfig(Config):
    """What a `shard` step may say."""

    prepare: Annotated[dict[str, Any], OfModalities("prepare")] = Field(min_length=1)
    """modality → how its members are stored. Only these modalities are in the shards. Enters every shard's key."""
    fit: Annotated[dict[str, Any], OfModalities("fit")] = Field(default_factory=dict)
    """modality → what is learned about it from the training split. A prepared modality that is not named is fitted with its defaults."""
    sizes: Sizes = Sizes()
    """Records and bytes of a shard."""
    salt: str = "medley"
    """Decides the order of the records; another one is another mixture."""
    bad_records: BadRecords = BadRecords()
    """Allowed rate of bad records."""
    on_bad_member: Literal["quarantine", "drop"] = "quarantine"
    """A record of which one member is bad is left out whole, or keeps its other members."""
    duplicates: Literal["drop", "keep"] = "drop"
    """Records with the same members and labels as another: one is kept (test before val before train, then the smallest key), or all."""
    embed_labels: bool = False
    """Also store the labels in the tar, as `<key>.json`; a changed label then makes its shard anew."""
    unseen_labels: Literal["error", "drop", "keep"] = "error"
    """What becomes of records of val and test with a category that train never saw: the step stops, the ledger has them as filtered, or
    they stay as they are, which is for labels whose text has parts: sets, tags, spans."""
    decode_timeout_s: float = Field(default=60.0, gt=0, le=86_400)
    """Seconds one member may take to decode and encode; the record is then quarantined for good, until `retry`."""

    @model_validator(mode="after")
    def _fits_what_is_prepared(self) -> ShardConfig:
        extra = sorted(set(self.fit) - set(self.prepare))
        if extra:
            raise ValueError(f"fit names {', '.join(extra)}, which prepare does not; prepare has {', '.join(sorted(self.prepare))}")
        return self


def identity(config: ShardConfig, base_dir: Path) -> dict[str, Any]:  # noqa: ARG001
    """What enters the step's key beside its config: versions and fingerprints of the codecs on this machine."""
    from tasks.shards.prepare import codecs

    return {
        "codecs": {name: {"version": codec.version, "fingerprint": codec.fingerprint} for name, codec in codecs(config.prepare).items()}
    }


def estimate(config: ShardConfig, base_dir: Path, inputs: Mapping[str, Mapping[str, Any]]) -> dict[str, Any]:  # noqa: ARG001
    """Records, source bytes and splits of the corpus."""
    corpus = inputs.get("corpus", {})
    return {name: corpus[name] for name in ("records", "bytes", "splits") if name in corpus}


def lint(config: ShardConfig, inputs: Mapping[str, Any]) -> list[str]:
    """What cannot work between this step and the ingest step before it: a modality that the source's columns do not give."""
    columns = getattr(getattr(inputs.get("corpus"), "source", None), "columns", None)
    if not isinstance(columns, Mapping) or not columns:  # a source of tars without columns reads the usual extensions
        return []
    missing = sorted(set(config.prepare) - set(columns))
    if not missing:
        return []
    return [f"prepare names {', '.join(missing)}, but the source of the corpus has columns for {', '.join(sorted(columns))} only"]


def shard(config: ShardConfig, inputs: Inputs, output_dir: Path, context: TaskContext) -> Summary:
    """Make the shards artifact of a corpus in `output_dir`.

    Raises LabelError and TooManyBadRecords for data that cannot be used, ChangedSource for files that changed since ingest,
    FingerprintMismatch for workers whose codecs differ, Stopped. Finished shards stay in the store's pool in every case.
    """
    from tasks.shards.assemble import assemble
    from tasks.shards.corpus import Corpus
    from tasks.shards.prepare import prepare_plan
    from tasks.shards.produce import produce

    corpus = Corpus.open(inputs["corpus"].path)
    planned = prepare_plan(config, corpus, context)
    finished = produce(config, corpus, planned, context)
    return assemble(config, corpus, planned, finished, output_dir, context, source=inputs["corpus"])
