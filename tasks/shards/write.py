"""One unit of work: some records of the plan become one finished tar in the pool.

In: a job (what all units share) and a unit's rows. Out: the tar and its rows in the pool, and an `Outcome`. Runs in a worker process;
reads media where they are decoded. Bad records are counted, everything else that goes wrong stops the unit. Must not import ray
or torch.
"""

from __future__ import annotations

import json
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pyarrow as pa

from tasks.contracts import Encoded, Modality, Store
from tasks.errors import BadMember, FilteredOut, InputError, RecordError, Stopped
from tasks.modalities import MODALITIES, ModalityEntry, merge_all
from tasks.modalities.fingerprint import check_fingerprint
from tasks.registry import Config, add_code_dir
from tasks.shards.attempts import MAX_DEATHS, Attempt, Watchdog, read_verdicts, store_verdict
from tasks.shards.copies import Copies
from tasks.shards.corpus import read_source, was_read
from tasks.shards.identity import Verdict, unit_key
from tasks.shards.pool import UnitRows, is_finished, publish_unit, rows_schema
from tasks.shards.reasons import meaning
from tasks.shards.tar import TarWriter

LABELS_EXTENSION = "json"
_BUFFER_BYTES = 1 << 20
_STOP_POLL_S = 0.2
_NUM_EXAMPLES = 3
_to_json = json.JSONEncoder(sort_keys=True, separators=(",", ":")).encode  # made once: `json.dumps` makes one for each member


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
    with pa.memory_map(str(job.units_file)) as file:
        rows = pa.ipc.open_file(file).get_batch(index).to_pylist()
    encoded = [row["encoded"] for row in rows]
    with Attempt(job.store, unit_key(encoded, job.options, {})) as attempt:
        _judge(job, rows, attempt)
        verdicts = read_verdicts(job.store, {row["record"] for row in rows})
        known = {row["encoded"]: verdicts[row["record"]] for row in rows if row["record"] in verdicts}
        key = unit_key(encoded, job.options, known)
        if is_finished(job.store, key):
            return Outcome(index, key)
        builder = _Builder(job, attempt, verdicts)
        with Watchdog(attempt, job.decode_timeout_s, lambda mark: _condemn(job, rows, mark, "decoder/hung")):
            builder.build(rows, key)
    return Outcome(index, key, builder.encoded, builder.copies.num_copied, builder.quarantined, tuple(builder.examples))


def _unread(row: Mapping[str, Any], modality: str) -> BadMember:
    """Of a member that ingest could not read, or that its source refused."""
    reason, uri, offset = row[f"{modality}.sha256"], row[f"{modality}.uri"], row[f"{modality}.offset"]
    if not reason:
        return BadMember("source/unreadable", f"the {modality} could not be read when it was ingested: {uri}")
    place = f"{uri} at byte {offset}" if offset is not None else uri
    return BadMember(reason, f"{meaning(reason) or 'its source refused it'}: {place}")


def check_stop(job: Job) -> None:
    """Raises Stopped once the run was asked to stop."""
    if job.stop_file.exists():
        raise Stopped("the run was asked to stop; finished shards are kept, and the same command goes on from them")


def _judge(job: Job, rows: list[dict[str, Any]], attempt: Attempt) -> None:
    for mark, deaths in attempt.dead.items():
        if deaths >= MAX_DEATHS and " " in mark:
            _condemn(job, rows, mark, "decoder/crashed")


def _condemn(job: Job, rows: list[dict[str, Any]], mark: str, reason: str) -> None:
    position, _, modality = mark.partition(" ")
    row = rows[int(position)]
    detail = {
        "decoder/hung": f"decoding the {modality} took longer than decode_timeout_s = {job.decode_timeout_s:g}",
        "decoder/crashed": f"the worker died {MAX_DEATHS} times while decoding the {modality}",
    }[reason]
    store_verdict(job.store, row["record"], row["key"], Verdict(modality, reason, detail))


@dataclass
class _Builder:
    job: Job
    attempt: Attempt
    verdicts: Mapping[str, Verdict]
    """By record digest."""
    encoded: int = 0
    quarantined: int = 0
    examples: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.codecs: dict[str, Modality] = {name: entry.load() for name, entry in self.job.entries.items()}
        self.copies = Copies(self.job.store)
        self._modalities = sorted(self.codecs)
        self._stats: dict[str, list[Mapping[str, Any]]] = {name: [] for name in self._modalities}
        self._polled = time.monotonic()

    def build(self, rows: list[dict[str, Any]], key: str) -> None:
        """Write the tar and publish it with its rows."""
        scratch = self.job.store.scratch()
        try:
            with scratch.open("wb", buffering=_BUFFER_BYTES) as file:
                tar = TarWriter(file)
                written = [self._record(position, row, tar) for position, row in enumerate(rows)]
                sha256 = tar.finish()
            stats = {name: merge_all(stats) for name, stats in self._stats.items() if stats}
            meta = {"format": 1, "sha256": sha256, "bytes": tar.num_bytes, "samples": tar.num_samples, "stats": stats}
            table = pa.Table.from_pylist(written, rows_schema(self._modalities))
            publish_unit(self.job.store, key, scratch, UnitRows(meta, table))
        finally:
            scratch.unlink(missing_ok=True)

    def _record(self, position: int, row: dict[str, Any], tar: TarWriter) -> dict[str, Any]:
        """Encode one record and append it. Returns its row."""
        self._check_stop()
        dropped: dict[str, RecordError] = {}
        try:
            members = self._members(position, row, dropped)
        except FilteredOut as error:
            return {"key": row["key"], "status": "filtered", "reason": error.reason, "detail": error.detail, "dropped": []}
        except RecordError as error:
            self.quarantined += 1
            if len(self.examples) < _NUM_EXAMPLES:
                self.examples.append(f"{row['key']}: {error}")
            return {"key": row["key"], "status": "quarantined", "reason": error.reason, "detail": error.detail, "dropped": []}
        return {
            "key": row["key"],
            "status": "written",
            "reason": "; ".join(error.reason for error in dropped.values()) or None,
            "detail": "; ".join(error.detail for error in dropped.values()) or None,
            "dropped": list(dropped),
            **self._append(row, members, tar),
        }

    def _members(self, position: int, row: dict[str, Any], dropped: dict[str, RecordError]) -> dict[str, Encoded]:
        members = {}
        for modality in self._modalities:
            if row[f"{modality}.sha256"] is None:
                continue
            try:
                members[modality] = self._member(position, row, modality)
            except FilteredOut:
                raise
            except RecordError as error:
                if self.job.options["on_bad_member"] != "drop":
                    raise
                dropped[modality] = error
        if not members:
            raise next(iter(dropped.values())) if dropped else BadMember("record/no_modality", "it has no member that the recipe prepares")
        return members

    def _member(self, position: int, row: dict[str, Any], modality: str) -> Encoded:
        verdict = self.verdicts.get(row["record"])
        if verdict and verdict.modality == modality:
            raise BadMember(verdict.reason, verdict.detail)
        if not was_read(row[f"{modality}.sha256"]):
            raise _unread(row, modality)
        copy = self.copies.find(modality, row[f"{modality}.copy_unit"], row[f"{modality}.copy_row"])
        if copy is not None:
            return copy
        source = {name: row[f"{modality}.{name}"] for name in ("uri", "offset", "length", "inline", "sha256")}
        data = read_source(self.job.corpus_dir, row["key"], modality, source)
        self.attempt.begin(f"{position} {modality}")
        try:
            encoded = self.codecs[modality].encode(data, self.job.prepare[modality])
        except RecordError:
            raise
        except Exception as error:
            error.add_note(f"while encoding the {modality} of record {row['key']!r}; this is an error of the program, not of the record")
            raise
        finally:
            self.attempt.end()
        self.encoded += 1
        return encoded

    def _append(self, row: dict[str, Any], members: Mapping[str, Encoded], tar: TarWriter) -> dict[str, Any]:
        contents = {encoded.extension: encoded.data for encoded in members.values()}
        if row["labels"] is not None:
            contents[LABELS_EXTENSION] = row["labels"].encode()
        if len(contents) != len(members) + (row["labels"] is not None):
            raise InputError(
                f"record {row['key']!r}: of {', '.join(members)}, two have one file extension; prepare one of them, or in another format"
            )
        spans = tar.add(row["key"], contents)
        columns: dict[str, Any] = {}
        for modality, encoded in members.items():
            span = spans[encoded.extension]
            columns[f"{modality}.member"] = row[f"{modality}.member"]
            columns[f"{modality}.offset"], columns[f"{modality}.size"] = span.offset, span.size
            columns[f"{modality}.ext"], columns[f"{modality}.crc32"] = encoded.extension, span.crc32
            columns[f"{modality}.stats"] = _to_json(dict(encoded.stats))
            self._stats[modality].append(encoded.stats)
        return columns

    def _check_stop(self) -> None:
        if (now := time.monotonic()) - self._polled > _STOP_POLL_S:
            self._polled = now
            check_stop(self.job)
