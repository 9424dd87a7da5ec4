"""Versions that saw a sample which was forgotten since carry a mark, for whoever decides on them later.

In: a store in which it is remembered which models saw which samples. Out: an entry `marked` in the promotion log of each version, and a tag
on the version in MLflow. Nothing follows from a mark by itself: the version stays in force, and a person rolls it back or trains anew. A
sample is named by the SHA-256 of its key alone. Again is fine: what is marked is not marked twice. Must not import ray, torch or mlflow.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator
from dataclasses import dataclass

from pipeline import versions
from pipeline.store import LocalStore
from tasks import forgotten, promotions
from tasks.contracts import Tracking
from tasks.errors import TrackingError
from tasks.promotions import Decision, Entry

TAG = "medley.saw_forgotten"
"""On a version in MLflow: how many samples it saw that were forgotten since."""


@dataclass(frozen=True)
class Mark:
    """A version that saw some of the samples."""

    name: str
    version: str
    samples: int
    """Of all samples that were ever forgotten, those that it saw."""
    entry: int
    """The entry of the promotion log that says so."""


def mark(store: LocalStore, samples: Collection[str]) -> list[Mark]:
    """Mark every registered version of a model that saw one of the samples (digests of keys)."""
    seen = forgotten.models_that_saw(store, frozenset(samples))
    return [_mark(store, version, seen[version.model_key]) for version in versions.every(store) if version.model_key in seen]


def tell(tracking: Tracking, marks: Collection[Mark]) -> Iterator[str]:
    """Tag the versions in MLflow; what could not be told, as sentences."""
    from tasks.tracking.look import tag_version

    for each in marks:
        try:
            tag_version(tracking, each.name, each.version, {TAG: str(each.samples)})
        except TrackingError as error:
            yield f"MLflow does not say that {each.name}/{each.version} saw it: {error}. The same command again only tells MLflow"
            return


def _mark(store: LocalStore, version: versions.Registered, splits: dict[str, str]) -> Mark:
    total = len(versions.forgotten_samples(store, version.model_key))
    entries = promotions.read_log(store, version.name)
    while True:
        entry = _found(entries, version, splits) or promotions.append_after(store, version.name, entries, _decision(version, splits))
        if entry is not None:
            return Mark(version.name, version.number, total, entry.n)
        entries = promotions.read_log(store, version.name, entries)


def _found(entries: Collection[Entry], version: versions.Registered, splits: dict[str, str]) -> Entry | None:
    """The entry by which all of these samples are marked already."""
    missing = set(splits)
    for entry in entries:
        if entry.action == "marked" and entry.version == version.number:
            missing -= set(entry.numbers.get("samples", {}))
            if not missing:
                return entry
    return None


def _decision(version: versions.Registered, splits: dict[str, str]) -> Decision:
    number = len(splits)
    what = f"{number} samples that were forgotten since" if number > 1 else "a sample that was forgotten since"
    return Decision(
        action="marked",
        alias="",
        version=version.number,
        model_key=version.model_key,
        report_key=version.report_key,
        reasons=(f"its model saw {what} ({' and '.join(sorted(set(splits.values())))})",),
        numbers={"samples": dict(sorted(splits.items()))},
    )
