"""A step's `matrix:` → what each of its variants sets.

In: a step's keys as they stand in the recipe. Out: one `Draft` a variant, its keys with the variant's values put in; or problems, each with
its line. A matrix is a mapping, dotted path → list of values, of which every combination is a variant; or a list of variants, each a
mapping, dotted path → value. Knows nothing of edges; must not import ray, torch or mlflow.
"""

from __future__ import annotations

import copy
import itertools
import json
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from pipeline.labels import label
from pipeline.positions import Document, Path, Unset, dotted

MAX_VARIANTS = 100
"""Of one family: each is a step with an output, a log and a line of its own."""


@dataclass(frozen=True)
class Draft:
    """One variant, not checked yet."""

    sets: Mapping[str, Any]
    """Dotted path → value."""
    data: Mapping[str, Any]
    """The step's keys with these values put in."""
    document: Document
    """Knows that these values stand in the matrix; collects the variant's problems."""


def drafts(name: str, value: Mapping[str, Any], inputs: Sequence[str], reserved: Sequence[str], document: Document) -> list[Draft]:
    """The variants of a step, of whose keys `inputs` and `reserved` can't vary. Problems go into `document`."""
    path: Path = ("steps", name, "matrix")
    matrix = value["matrix"]
    before = len(document.problems)
    if isinstance(matrix, Unset):
        return []
    if isinstance(matrix, Mapping) and matrix:
        chosen = _combinations(matrix, path, document)
    elif isinstance(matrix, list) and matrix:
        chosen = _listed(matrix, path, document)
    else:
        document.problems.append(
            f"{document.at(path)}: {dotted(path)}: needs paths with lists of values, such as {{model.fusion: [concat, attention], "
            f"seed: [0, 1]}}, or a list of variants, such as [{{seed: 0}}, {{seed: 1}}]; given {matrix!r}"
        )
        return []
    _check_paths(chosen, name, inputs, reserved, document)
    if len(document.problems) > before:
        return []
    found = []
    for sets, origins in chosen:
        where = {path: document.at(origin) for key, origin in origins.items() for path in _blamed(("steps", name, *_keys(key)), document)}
        within = replace(document, lines=_without(document.lines, list(where)), origins={**document.origins, **where}, problems=[])
        data = copy.deepcopy({key: item for key, item in value.items() if key != "matrix"})
        for key, item in sets.items():
            _put(data, key, copy.deepcopy(item), within, name)
        found.append(Draft(sets, data, within))
    _check_labels(found, path, document)
    return found


Chosen = list[tuple[dict[str, Any], dict[str, Path]]]
"""What each variant sets, and where each value stands."""


def _combinations(matrix: Mapping[str, Any], path: Path, document: Document) -> Chosen:
    for key, values in matrix.items():
        where = f"{document.at((*path, key))}: {dotted((*path, key))}"
        if isinstance(values, Unset):
            continue
        if isinstance(values, Mapping):
            inner = next(iter(values), "kind")
            document.problems.append(f"{where}: needs a list of values; write a path in one key, such as `{key}.{inner}: [...]`")
        elif not isinstance(values, list):
            document.problems.append(f"{where}: needs a list of values, given {values!r}; write [{values}]")
        elif not values:
            document.problems.append(f"{where}: the list is empty, so there would be no variant; give it a value or take the path out")
        else:
            texts = [json.dumps(value, sort_keys=True, default=str) for value in values]
            if twice := next((text for text in texts if texts.count(text) > 1), None):
                document.problems.append(f"{where}: {twice} is given twice; keep one")
    if any(not isinstance(values, list) for values in matrix.values()):
        return []
    num = math.prod(len(values) for values in matrix.values())
    if num > MAX_VARIANTS:
        lengths = " × ".join(str(len(values)) for values in matrix.values())
        document.problems.append(f"{document.at(path)}: {dotted(path)}: {too_many(f'{lengths} = {num}' if len(matrix) > 1 else str(num))}")
        return []
    combined = itertools.product(*(enumerate(values) for values in matrix.values()))
    return [
        (
            {key: value for key, (_, value) in zip(matrix, values, strict=True)},
            {key: (*path, key, index) for key, (index, _) in zip(matrix, values, strict=True)},
        )
        for values in combined
    ]


def too_many(num: str) -> str:
    """What is wrong with so many variants."""
    return (
        f"{num} variants, and a family has at most {MAX_VARIANTS}: each is a step with an output, a log and a line of its own; take fewer "
        "values, or list the variants that you want: matrix: [{path: value, …}, …]"
    )


def _listed(matrix: Sequence[Any], path: Path, document: Document) -> Chosen:
    found: Chosen = []
    for index, sets in enumerate(matrix):
        if isinstance(sets, Mapping):
            found.append((dict(sets), {key: (*path, index, key) for key in sets}))
        elif not isinstance(sets, Unset):
            document.problems.append(
                f"{document.at((*path, index))}: {dotted((*path, index))}: needs a variant, a mapping of paths to values, given {sets!r}"
            )
    if len(matrix) > MAX_VARIANTS:
        document.problems.append(f"{document.at(path)}: {dotted(path)}: {too_many(str(len(matrix)))}")
    return found


def _check_paths(chosen: Chosen, name: str, inputs: Sequence[str], reserved: Sequence[str], document: Document) -> None:
    origins = {key: origin for _, found in reversed(chosen) for key, origin in found.items()}
    for key, origin in origins.items():
        where = f"{document.at(origin)}: steps.{name}.matrix: {key!r}"
        first = key.partition(".")[0]
        if first in inputs:
            document.problems.append(f"{where} is an input; let the step that it names be a family, and this one becomes a family too")
        elif first in reserved:
            document.problems.append(f"{where} can't vary; a matrix varies what stands in the step's config")
        other = next((other for other in origins if other.startswith(f"{key}.")), None)
        if other is not None:
            document.problems.append(f"{where} holds {other!r}, which is in the matrix too; keep one of them")
        target = ("steps", name, *_keys(key))
        if overridden := next((origin for path, origin in document.origins.items() if path[: len(target)] == target), None):
            document.problems.append(f"{overridden}: the step's matrix sets {key!r}; override steps.{name}.matrix.{key} instead")


def _check_labels(found: Sequence[Draft], path: Path, document: Document) -> None:
    paths = list(dict.fromkeys(key for draft in found for key in draft.sets))
    labels = [label(draft.sets, paths) for draft in found]
    if twice := next((each for each in labels if labels.count(each) > 1), None):
        document.problems.append(f"{document.at(path)}: {dotted(path)}: two variants are {twice}; keep one of them")


def _keys(key: str) -> tuple[str, ...]:
    return tuple(key.split("."))


def _blamed(path: Path, document: Document) -> Iterator[Path]:
    """Where a problem with a value may be found: at its path, at what it tells the kind of, and at mappings made on the way to it."""
    yield path
    if path[-1] in ("kind", "format"):
        yield path[:-1]
    yield from (path[:length] for length in range(3, len(path)) if path[:length] not in document.lines)


def _without(lines: Mapping[Path, int], paths: Sequence[Path]) -> dict[Path, int]:
    """Lines of the recipe, less those of values that a variant replaces."""
    return {known: line for known, line in lines.items() if not any(known[: len(path)] == path for path in paths)}


def _put(data: dict[str, Any], key: str, value: Any, document: Document, name: str) -> None:
    """Set a value at a dotted path; mappings on the way are made when they are missing."""
    parent: Any = data
    keys = _keys(key)
    for depth, part in enumerate(keys):
        last = depth == len(keys) - 1
        if isinstance(parent, list) and part.isdigit() and int(part) < len(parent):
            index = int(part)
            parent[index] = value if last else parent[index]
            parent = parent[index]
        elif isinstance(parent, dict):
            parent[part] = value if last else parent.get(part, {})
            parent = parent[part]
        else:
            at = ("steps", name, *keys)
            before = dotted(("steps", name, *keys[:depth]))
            document.problems.append(
                f"{document.at(at)}: {dotted(at)}: {before} is {parent!r}, which has no {part!r}; write it as a mapping, such as "
                f"{{kind: {parent}}}"
            )
            return


def told(problems: Mapping[str, Sequence[str]], num_variants: int) -> Iterator[str]:
    """Problem → the variants that have it; as one line each, which names the variants when it isn't all of them."""
    for problem, labels in problems.items():
        more = f" and {len(labels) - 1} more" if len(labels) > 1 else ""
        yield problem if len(labels) == num_variants else f"{problem} (in the variant {labels[0]}{more})"
