"""Building what the pool lacks, and stopping when too much of it is bad.

In: a plan. Out: `Finished`: every unit's key in the pool. Ray comes in through `execute` alone, and only when there is work.
"""

from __future__ import annotations

import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from tasks.contracts import TaskContext
from tasks.errors import ChangedSource, TooManyBadRecords
from tasks.modalities import MODALITIES
from tasks.modalities.fingerprint import codec_versions
from tasks.shards.corpus import Corpus
from tasks.shards.plan import Unit
from tasks.shards.pool import Place, find_members, index_units, is_finished
from tasks.shards.prepare import Planned
from tasks.shards.units import write_units
from tasks.shards.write import Job, Outcome

if TYPE_CHECKING:
    from tasks.shard import BadRecords, ShardConfig

_NUM_SHOWN = 5


@dataclass
class Finished:
    """Where the units of a plan are."""

    keys: list[str]
    """In plan order: the key of each unit in the pool."""
    built: int = 0
    reused: int = 0
    encoded: int = 0
    """Members."""
    copied: int = 0


@dataclass
class _Progress:
    """What is known while units end."""

    quarantined: int = 0
    records: int = 0
    num_bytes: int = 0
    examples: list[str] = field(default_factory=list)
    changed: list[str] = field(default_factory=list)


def produce(config: ShardConfig, corpus: Corpus, planned: Planned, context: TaskContext) -> Finished:
    """Make sure that every unit of the plan is in the pool.

    Raises TooManyBadRecords as soon as it is certain; ChangedSource at the end, when all other units are finished.
    """
    missing = [position for position, unit in enumerate(planned.units) if not is_finished(context.store, unit.key)]
    missing.sort(key=lambda position: -planned.units[position].num_bytes)  # the largest first, so that no worker ends long after the others
    finished = Finished([unit.key for unit in planned.units], reused=len(planned.units) - len(missing))
    if missing:
        _build(config, corpus, planned, missing, finished, context)
    for modality, codec in planned.codecs.items():
        index_units(context.store, codec.id, modality, finished.keys)
    return finished


def _build(config: ShardConfig, corpus: Corpus, planned: Planned, missing: Sequence[int], finished: Finished, context: TaskContext) -> None:
    from tasks.shards.execute import run_units

    units = [planned.units[position] for position in missing]
    job = _job(config, corpus, planned, units, context)
    progress = _Progress()
    num_planned = sum(len(unit.rows) for unit in planned.units)
    context.sink.progress(0, sum(len(unit.rows) for unit in units), "records", f"{len(units)} shards to build")
    try:
        for index, result in run_units(job, limit=context.resources.data_tasks, stop=context.stop):
            if isinstance(result, ChangedSource):
                progress.changed.append(str(result))
                continue
            if isinstance(result, Exception):
                raise result
            finished.keys[missing[index]] = result.key
            _count(result, units, finished, progress, context)
            check_rate(config.bad_records, progress.quarantined, num_planned, progress.records, progress.examples)
    finally:
        job.units_file.unlink(missing_ok=True)
    if progress.changed:
        raise _changed(progress.changed)


def _count(outcome: Outcome, units: Sequence[Unit], finished: Finished, progress: _Progress, context: TaskContext) -> None:
    finished.built += 1
    finished.encoded += outcome.encoded
    finished.copied += outcome.copied
    progress.quarantined += outcome.quarantined
    progress.examples += outcome.examples
    progress.records += len(units[outcome.index].rows)
    progress.num_bytes += units[outcome.index].num_bytes
    total = sum(len(unit.rows) for unit in units)
    context.sink.progress(progress.records, total, "records", f"{progress.num_bytes / 1e6:.0f} MB, shard {finished.built} of {len(units)}")


def check_rate(limits: BadRecords, quarantined: int, total: int, seen: int, examples: Sequence[str]) -> None:
    """Raises TooManyBadRecords once it is certain that the rate over all `total` records is above the limit."""
    if min(seen, total) < limits.probation or quarantined <= limits.max_rate * total:
        return
    shown = "\n".join(f"  {example}" for example in examples[:_NUM_SHOWN])
    raise TooManyBadRecords(
        f"{quarantined} of the first {seen} records are bad; the recipe allows {limits.max_rate:.1%} of {total}, for example:\n{shown}\n"
        "Mend or remove them, or raise bad_records.max_rate; finished shards are kept"
    )


def _changed(messages: Sequence[str]) -> ChangedSource:
    more = f"\n… and {len(messages) - _NUM_SHOWN} more shards with changed files" if len(messages) > _NUM_SHOWN else ""
    return ChangedSource("\n".join(messages[:_NUM_SHOWN]) + more + "\nEvery other shard is finished and kept")


def _job(config: ShardConfig, corpus: Corpus, planned: Planned, units: Sequence[Unit], context: TaskContext) -> Job:
    run = uuid.uuid4().hex[:12]
    job = Job(
        store=context.store,
        corpus_dir=corpus.path,
        units_file=context.work_dir / f"units-{run}.arrow",
        num_units=len(units),
        entries={name: MODALITIES[name] for name in config.prepare},
        prepare=config.prepare,
        fingerprints={name: codec.fingerprint for name, codec in planned.codecs.items()},
        versions=codec_versions(),
        options=planned.options,
        decode_timeout_s=config.decode_timeout_s,
        stop_file=context.work_dir / f"stop-{run}",
        code_dir=context.code_dir,
    )
    write_units(job.units_file, corpus, units, planned.identities, _copies(planned, units, context), embed_labels=config.embed_labels)
    return job


def _copies(planned: Planned, units: Sequence[Unit], context: TaskContext) -> Mapping[str, Mapping[str, Place]]:
    rows = [row for unit in units for row in unit.rows]
    copies = {}
    for modality, codec in planned.codecs.items():
        keys = planned.identities.members.get(modality, ())
        wanted = {key for row in rows if keys and (key := keys[row])}
        copies[modality] = find_members(context.store, codec.id, wanted) if wanted else {}
    return copies
