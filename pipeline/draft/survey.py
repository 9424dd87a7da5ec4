"""What there is to learn from: records, media, labels, splits.

In: a path. Out: a `Survey`, counted through the very source that the recipe will name. Raises SourceError and LabelError as ingest would.
"""

from __future__ import annotations

import itertools
from collections import Counter, defaultdict
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pipeline.draft.columns import Column
from pipeline.draft.layout import find_layout
from pipeline.draft.media import Reading, examine
from tasks.contracts import Locator, SourceRecord
from tasks.registry import implementation
from tasks.sources import SOURCES
from tasks.sources.normalise import normalise

MAX_COUNTED = 200_000
"""Records whose media, labels and groups are counted; the rest is only numbered."""


@dataclass(frozen=True)
class Survey:
    """What was seen."""

    source: Any
    columns: tuple[Column, ...]
    records: int
    num_bytes: int
    modalities: Mapping[str, int]
    """Modality → records that have it."""
    labels: Mapping[str, Mapping[str, int]]
    """Label → class → records; a label that is a number has none."""
    groups: tuple[tuple[str, tuple[str, ...]], ...]
    """For each counted record its group and, as `label=class`, what it is; what a split has to keep together and to spread."""
    splits: Mapping[str, int]
    """Split → records, where the source says."""
    readings: Mapping[str, Reading]
    ignored: Mapping[str, int]
    """Extension → files of unknown kind."""
    notes: tuple[str, ...]


def survey(path: Path) -> Survey:
    """Look at a folder or a table."""
    layout = find_layout(path)
    source = implementation(SOURCES, layout.source.format)(layout.source, path.absolute().parent)
    snapshot = source.snapshot()
    records = [normalise(record).record for record in itertools.islice(source.records(path), MAX_COUNTED)]
    total = int(snapshot.get("records") or len(records))
    notes = list(layout.notes)
    if total > len(records):
        notes.append(f"counted in the first {len(records):,} of {total:,} records")
    modalities = Counter(modality for record in records for modality in record.members)
    members = _members(records)
    readings = {name: examine(name, members[name], total) for name in modalities}
    notes += [
        f"{reading.unreadable} of the {name}s looked at could not be read" for name, reading in readings.items() if reading.unreadable
    ]
    return Survey(
        source=layout.source,
        columns=layout.columns,
        records=total,
        num_bytes=int(snapshot.get("bytes") or 0),
        modalities=dict(sorted(modalities.items())),
        labels=_labels(records),
        groups=tuple((record.group, _classes(record)) for record in records),
        splits=dict(Counter(record.split for record in records if record.split)),
        readings=readings,
        ignored=snapshot.get("ignored") or {},
        notes=tuple(notes),
    )


def _members(records: list[SourceRecord]) -> dict[str, list[Locator]]:
    found: dict[str, list[Locator]] = defaultdict(list)
    for record in records:
        for modality, locator in record.members.items():
            found[modality].append(locator)
    return found


def _labels(records: list[SourceRecord]) -> dict[str, dict[str, int]]:
    found: dict[str, Counter[str]] = {}
    for record in records:
        for name, value in record.labels.items():
            counts = found.setdefault(name, Counter())
            if isinstance(value, str):
                counts[value] += 1
    return {name: dict(counts.most_common()) for name, counts in found.items()}


def _classes(record: SourceRecord) -> tuple[str, ...]:
    return tuple(f"{name}={value}" for name, value in record.labels.items() if isinstance(value, str))
