"""One unit of work: some records of the plan become one finished tar in the pool.

In: a job (what all units share) and a unit's rows. Out: the tar and its rows in the pool, and an `Outcome`. Runs in a worker process;
reads media where they are decoded. Bad records are counted, everything else that goes wrong stops the unit. Must not import ray
or torch.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tasks.contracts import Encoded, Modality, Store
from tasks.errors import BadMember, FilteredOut, InputError, RecordError, Stopped
from tasks.modalities import MODALITIES, ModalityEntry
from tasks.modalities.fingerprint import check_fingerprint
from tasks.registry import Config, add_code_dir
from tasks.shards.attempts import MAX_DEATHS, Attempt, Watchdog, read_verdicts, store_verdict
from tasks.shards.copies import Copies
from tasks.shards.corpus import Source, read_member, was_read
from tasks.shards.identity import Verdict, unit_key
from tasks.shards.pool import UnitRows, is_finished, publish_unit
from tasks.shards.reasons import meaning
from tasks.shards.rows import RowsWriter
from tasks.shards.tar import TarWriter
from tasks.shards.units import UnitRecords, read_records
from tasks.shards.writeback import EVERY_BYTES, begin_writing

LABELS_EXTENSION = "json"
_BUFFER_BYTES = 1 << 20
_STOP_POLL_S = 0.2
_NUM_EXAMPLES = 3


@dataclass(frozen=True)
class Job:
    """What all units of a run share. Small; pickles to workers."""

    store: Store
    corpus_dir: Path
    units_file: Path
    """Arrow IPC file, a record batch for each unit: see `tasks.shards.units`."""
    num_units: int
    entries: Mapping[str, ModalityEntry]
    prepare: Mapping[str, Config]
    fingerprints: Mapping[str, str]
    versions: Mapping[str, str]
    """Versions of the codecs' libraries where the plan was made, for messages."""
    options: Mapping[str, Any]
    """What enters unit keys: on_bad_member, embed_labels."""
    decode_timeout_s: float
    stop_file: Path
    """Its existence asks workers to stop."""
    code_dir: Path | None = None
    """The recipe's folder, for media of the user's own."""


@dataclass(frozen=True)
class Outcome:
    """What became of a unit."""

    index: int
    """Position in the job."""
    key: str = ""
    """Under which it is in the pool: another than planned when there is a new verdict."""
    encoded: int = 0
    """Members decoded and encoded."""
    copied: int = 0
    """Encoded members copied from earlier units."""
    quarantined: int = 0
    examples: tuple[str, ...] = ()
    """A few bad records and why."""


def build(job: Job, index: int) -> Outcome:
    """Build a unit in this process, which a decoder or the watchdog may end. Safe to repeat and to run twice at once.

    Raises ChangedSource, FingerprintMismatch, Stopped, and whatever is no fault of a record.
    """
    check_stop(job)
    if job.code_dir is not None:
        add_code_dir(job.code_dir)
    for name, entry in job.entries.items():
        MODALITIES.setdefault(name, entry)  # a medium that the planning process registered itself
    for name, prepare in job.prepare.items():
        check_fingerprint(job.fingerprints[name], job.versions, {name: prepare})
    records = read_records(job.units_file, index, sorted(job.entries))
    with Attempt(job.store, unit_key(records.encoded, job.options, {})) as attempt:
        _judge(job, records, attempt)
        verdicts = read_verdicts(job.store, set(records.digests))
        names = zip(records.encoded, records.digests, strict=True)
        known = {encoded: verdicts[record] for encoded, record in names if record in verdicts} if verdicts else {}
        key = unit_key(records.encoded, job.options, known)
        if is_finished(job.store, key):
            return Outcome(index, key)
        builder = _Builder(job, attempt, verdicts, records)
        with Watchdog(attempt, job.decode_timeout_s, lambda mark: _condemn(job, records, mark, "decoder/hung")):
            builder.build(key)
    return Outcome(index, key, builder.encoded, builder.copies.num_copied, builder.quarantined, tuple(builder.examples))


def _unread(source: Source, modality: str) -> BadMember:
    """Of a member that ingest could not read, or that its source refused."""
    if not source.sha256:
        return BadMember("source/unreadable", f"the {modality} could not be read when it was ingested: {source.uri}")
    place = f"{source.uri} at byte {source.offset}" if source.offset is not None else source.uri
    return BadMember(source.sha256, f"{meaning(source.sha256) or 'its source refused it'}: {place}")


def check_stop(job: Job) -> None:
    """Raises Stopped once the run was asked to stop."""
    if job.stop_file.exists():
        raise Stopped("the run was asked to stop; finished shards are kept, and the same command goes on from them")


def _judge(job: Job, records: UnitRecords, attempt: Attempt) -> None:
    for mark, deaths in attempt.dead.items():
        if deaths >= MAX_DEATHS and " " in mark:
            _condemn(job, records, mark, "decoder/crashed")


def _condemn(job: Job, records: UnitRecords, mark: str, reason: str) -> None:
    position, _, modality = mark.partition(" ")
    detail = {
        "decoder/hung": f"decoding the {modality} took longer than decode_timeout_s = {job.decode_timeout_s:g}",
        "decoder/crashed": f"the worker died {MAX_DEATHS} times while decoding the {modality}",
    }[reason]
    store_verdict(job.store, records.digests[int(position)], records.keys[int(position)], Verdict(modality, reason, detail))


@dataclass
class _Builder:
    job: Job
    attempt: Attempt
    verdicts: Mapping[str, Verdict]
    """By record digest."""
    records: UnitRecords
    encoded: int = 0
    quarantined: int = 0
    examples: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.copies = Copies(self.job.store)
        self._codecs: dict[str, Modality] = {name: self.job.entries[name].load() for name in sorted(self.job.entries)}
        self._rows = RowsWriter(list(self._codecs))
        self._corpus_dir = str(self.job.corpus_dir)
        self._polled = time.monotonic()

    def build(self, key: str) -> None:
        """Write the tar and publish it with its rows."""
        scratch = self.job.store.scratch()
        try:
            with scratch.open("wb", buffering=_BUFFER_BYTES) as file:
                tar, begun = TarWriter(file), 0
                for position in range(len(self.records.keys)):
                    self._record(position, tar)
                    if tar.num_bytes - begun >= EVERY_BYTES:
                        begin_writing(file)
                        begun = tar.num_bytes
                sha256 = tar.finish()
            meta = {"format": 1, "sha256": sha256, "bytes": tar.num_bytes, "samples": tar.num_samples, "stats": self._rows.stats()}
            member_keys = {name: members.keys for name, members in self.records.members.items()}
            publish_unit(self.job.store, key, scratch, UnitRows(meta, self._rows.table(self.records.keys, member_keys)))
        finally:
            scratch.unlink(missing_ok=True)

    def _record(self, position: int, tar: TarWriter) -> None:
        """Encode one record and append it, to the tar and to the rows."""
        self._check_stop()
        dropped: dict[str, RecordError] = {}
        try:
            members = self._members(position, dropped)
        except FilteredOut as error:
            self._rows.left("filtered", error)
        except RecordError as error:
            self.quarantined += 1
            if len(self.examples) < _NUM_EXAMPLES:
                self.examples.append(f"{self.records.keys[position]}: {error}")
            self._rows.left("quarantined", error)
        else:
            self._append(position, members, dropped, tar)

    def _members(self, position: int, dropped: dict[str, RecordError]) -> dict[str, Encoded]:
        members = {}
        for modality, given in self.records.members.items():
            if given.sources[position].sha256 is None:
                continue
            try:
                members[modality] = self._member(position, modality)
            except FilteredOut:
                raise
            except RecordError as error:
                if self.job.options["on_bad_member"] != "drop":
                    raise
                dropped[modality] = error
        if not members:
            raise next(iter(dropped.values())) if dropped else BadMember("record/no_modality", "it has no member that the recipe prepares")
        return members

    def _member(self, position: int, modality: str) -> Encoded:
        verdict = self.verdicts.get(self.records.digests[position])
        if verdict and verdict.modality == modality:
            raise BadMember(verdict.reason, verdict.detail)
        given = self.records.members[modality]
        source, place = given.sources[position], given.copies[position]
        if not was_read(source.sha256):
            raise _unread(source, modality)
        if place is not None and (copy := self.copies.find(modality, place)) is not None:
            return copy
        data = read_member(self._corpus_dir, self.records.keys[position], modality, source)
        self.attempt.begin(f"{position} {modality}")
        try:
            encoded = self._codecs[modality].encode(data, self.job.prepare[modality])
        except RecordError:
            raise
        except Exception as error:
            error.add_note(
                f"while encoding the {modality} of record {self.records.keys[position]!r}; "
                "this is an error of the program, not of the record"
            )
            raise
        finally:
            self.attempt.end()
        self.encoded += 1
        return encoded

    def _append(self, position: int, members: Mapping[str, Encoded], dropped: Mapping[str, RecordError], tar: TarWriter) -> None:
        key, labels = self.records.keys[position], self.records.labels[position]
        contents = {encoded.extension: encoded.data for encoded in members.values()}
        if labels is not None:
            contents[LABELS_EXTENSION] = labels.encode()
        if len(contents) != len(members) + (labels is not None):
            raise InputError(
                f"record {key!r}: of {', '.join(members)}, two have one file extension; prepare one of them, or in another format"
            )
        self._rows.written(members, tar.add(key, contents), dropped)

    def _check_stop(self) -> None:
        if (now := time.monotonic()) - self._polled > _STOP_POLL_S:
            self._polled = now
            check_stop(self.job)
