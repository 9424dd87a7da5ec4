"""A list of steps where a task takes a mixture: `shards: [{from: a, weight: 2}, {from: b, weight: 1}]`.

In: a step's keys as they stand in the recipe. Out: an input for each entry, `shards[0]`, `shards[1]`, …, and what the config is told of
their shares; or problems, each with its line. Order and shares thereby enter the step's key. Must not import ray, torch or mlflow.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from pipeline.catalog import Task
from pipeline.explain import validated
from pipeline.labels import in_list
from pipeline.positions import Document, Path, dotted
from pipeline.steps import Step
from tasks.shards.shares import Share

FIELD = "mixture"
"""Of the config, which the shares are put into."""
_EXAMPLE = "[{from: a, weight: 2}, {from: b, weight: 1}]"


@dataclass
class Mixed:
    """What the lists of a step say."""

    inputs: dict[str, str] = field(default_factory=dict)
    """`shards[0]` → the step it names."""
    told: set[str] = field(default_factory=set)
    """Inputs about which something is told."""
    config: dict[str, list[dict[str, float]]] = field(default_factory=dict)
    """What the step's config has beside what the recipe says."""


def read(value: Mapping[str, Any], task: Task, path: Path, document: Document) -> Mixed:
    """Look at every input that is a list. Problems go into the document."""
    mixed = Mixed()
    if any(wanted.mixture for wanted in task.inputs.values()):
        for where in _by_hand(value, path):
            document.problems.append(
                f"{document.at(where)}: {dotted(where)}: is put in by Medley; take it out and say it in the list of sets"
            )
    for key, wanted in task.inputs.items():
        if wanted.mixture and isinstance(value.get(key), list):
            before = len(document.problems)
            _read(value[key], key, path, document, mixed)
            if len(document.problems) > before:
                mixed.told.add(key)
    return mixed


def _by_hand(value: Mapping[str, Any], path: Path) -> Iterator[Path]:
    """Where a recipe sets what Medley puts in."""
    if FIELD in value:
        yield (*path, FIELD)
    matrix = value.get("matrix")
    for sets in matrix if isinstance(matrix, list) else [matrix]:
        for key in sets if isinstance(sets, Mapping) else ():
            if str(key).partition(".")[0] == FIELD:
                yield (*path, "matrix", str(key))


def _read(entries: list[Any], key: str, path: Path, document: Document, mixed: Mixed) -> None:
    where = f"{document.at((*path, key))}: {dotted((*path, key))}"
    if not entries:
        document.problems.append(f"{where}: the list is empty; name the sets to mix, such as {_EXAMPLE}")
        return
    shares = []
    for number, entry in enumerate(entries):
        at = (*path, key, number)
        if not isinstance(entry, Mapping):
            document.problems.append(f"{document.at(at)}: {dotted(at)}: needs a set and its share, such as {_EXAMPLE}; given {entry!r}")
            continue
        source = entry.get("from")
        if not isinstance(source, str):
            document.problems.append(f"{document.at(at)}: {dotted(at)}: needs `from:`, the name of a step; given {source!r}")
        elif source in mixed.inputs.values():
            document.problems.append(f"{document.at(at)}: {dotted(at)}: {source!r} is in the list already; add the two shares up")
        else:
            mixed.inputs[f"{key}[{number}]"] = source
        rest = {name: given for name, given in entry.items() if name != "from"}
        share = validated(Share, rest, at, document, extra=("from",))
        if share is not None:
            shares.append(share)
    if len({share.weight is None for share in shares}) > 1:
        document.problems.append(f"{where}: some sets have a weight and others epochs; give all of them the one or the other")
    mixed.config[FIELD] = [share.model_dump(exclude_none=True) for share in shares]


def shown(step: Step) -> dict[str, str]:
    """`shards[0]` → `weight 2`, for pictures of the graph."""
    shares = getattr(step.config, FIELD, ())
    keys = [key for key in step.inputs if in_list(key)]
    said = [", ".join(f"{name} {value:g}" for name, value in share.model_dump(exclude_none=True).items()) for share in shares]
    return dict(zip(keys, said, strict=True))
