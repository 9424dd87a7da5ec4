"""Statistics that merge: of a member, of a unit, of a split.

In and out: flat dicts of integers and lists of integers, so that the order of merging never shows. A name that begins with `min_`
or `max_` merges by minimum or maximum, every other by addition; lists item by item. A name that only one side has is kept.
"""

from __future__ import annotations

import functools
import operator
from collections.abc import Callable, Iterable, Mapping

Stat = int | list[int]


def merge_stats(first: Mapping[str, Stat], second: Mapping[str, Stat]) -> dict[str, Stat]:
    """Both together. ValueError when a list meets a number or a list of another length."""
    merged = dict(first)
    for name, value in second.items():
        merged[name] = _merge(name, merged[name], value) if name in merged else value
    return dict(sorted(merged.items()))


def merge_all(stats: Iterable[Mapping[str, Stat]]) -> dict[str, Stat]:
    """All together; empty when there are none."""
    return functools.reduce(merge_stats, stats, {})


def _merge(name: str, first: Stat, second: Stat) -> Stat:
    combine = _rule(name)
    if isinstance(first, int) and isinstance(second, int):
        return combine(first, second)
    if isinstance(first, list) and isinstance(second, list) and len(first) == len(second):
        return [combine(one, other) for one, other in zip(first, second, strict=True)]
    raise ValueError(f"the statistic {name!r} has two shapes: {first!r} and {second!r}")


def _rule(name: str) -> Callable[[int, int], int]:
    if name.startswith("min_"):
        return min
    return max if name.startswith("max_") else operator.add
