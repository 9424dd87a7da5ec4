"""Samples to a sketch.

In: samples with their stored members, as they are in shards or as `prepare` makes them. Out: a `Sketch`. Members are measured by a few
threads, since decoding and transforming let go of the interpreter. Must not import torch.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from tasks.drift.features import LABEL, Measured, measure_of
from tasks.drift.sketch import Sketch, hashed
from tasks.errors import RecordError

NUM_EXAMPLES = 3
MAX_THREADS = 8


@dataclass(frozen=True)
class Sample:
    """One chosen sample, as it is stored."""

    key: str
    group: str
    members: Mapping[str, bytes]
    """Modality → bytes as a tar has them."""
    labels: Mapping[str, str | float] = field(default_factory=dict)
    problems: Mapping[str, str] = field(default_factory=dict)
    """Modality → why its member could not be read or prepared."""


def sketch_samples(samples: Iterable[Sample], records: int, label_kinds: Mapping[str, str]) -> Sketch:
    """Measure samples. `records`: how many they were chosen from. `label_kinds`: label → category or number."""
    with ThreadPoolExecutor(min(MAX_THREADS, os.cpu_count() or 1), "drift") as pool:
        rows = sorted(pool.map(_row, samples), key=lambda row: (row.group, row.record))
    modalities = sorted({modality for row in rows for modality in row.present})
    quantities = [_flat(row, "numbers") for row in rows]
    numbers = {name: np.array([each.get(name, np.nan) for each in quantities], dtype=np.float64) for name in _names(quantities)}
    kinds = [_flat(row, "classes") for row in rows]
    classes = {name: np.array([each.get(name, "") for each in kinds], dtype=np.str_) for name in _names(kinds)}
    for label, kind in sorted(label_kinds.items()):
        given = [row.labels.get(label) for row in rows]
        if kind == "category":
            classes[f"{LABEL}.{label}"] = np.array([value or "" for value in given], dtype=np.str_)
        else:
            numbers[f"{LABEL}.{label}"] = np.array([np.nan if value is None else value for value in given], dtype=np.float64)
    problems = [f"{row.key}: {problem}" for row in rows for problem in row.problems]
    return Sketch(
        np.array([row.group for row in rows], dtype=np.uint64),
        np.array([row.record for row in rows], dtype=np.uint64),
        numbers,
        classes,
        _vectors(rows),
        {modality: np.array([modality in row.present for row in rows], dtype=np.bool_) for modality in modalities},
        {"records": records, "unusable": sum(bool(row.problems) for row in rows), "examples": problems[:NUM_EXAMPLES]},
    )


@dataclass(frozen=True)
class _Row:
    key: str
    group: int
    record: int
    measured: Mapping[str, Measured]
    present: frozenset[str]
    """Modalities that the sample has, whether or not they could be read."""
    labels: Mapping[str, str | float]
    problems: Sequence[str]


def _row(sample: Sample) -> _Row:
    measured, problems = {}, [f"{modality}: {why}" for modality, why in sorted(sample.problems.items())]
    for modality, data in sorted(sample.members.items()):
        try:
            measured[modality] = measure_of(modality)(data)
        except RecordError as error:
            problems.append(f"{modality}: {error}")
    present = frozenset({*sample.members, *sample.problems})
    return _Row(sample.key, hashed(sample.group), hashed(sample.key), measured, present, sample.labels, problems)


def _flat(row: _Row, part: str) -> dict[str, Any]:
    """`image.brightness` → value, of all media of a row."""
    return {f"{modality}.{name}": value for modality, found in row.measured.items() for name, value in getattr(found, part).items()}


def _names(values: Sequence[Mapping[str, Any]]) -> list[str]:
    return sorted({name for value in values for name in value})


def _vectors(rows: Sequence[_Row]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for at, row in enumerate(rows):
        for modality, measured in row.measured.items():
            for name, vector in measured.vectors.items():
                column = found.setdefault(f"{modality}.{name}", np.full((len(rows), len(vector)), np.nan, dtype=np.float32))
                column[at] = vector
    return found
