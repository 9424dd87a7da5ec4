"""How a metric is written on a page: as a percentage or as a number, its differences as points or in its own unit, and which side is
better."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any

from tasks.evaluation.measures import Measure
from tasks.evaluation.page import figures
from tasks.evaluation.page.axis import Axis, axis_over
from tasks.evaluation.page.interval_rows import points_text, share_text

Bounds = Sequence[float] | None


def heading(measure: Measure) -> str:
    """At the top of a column."""
    return measure.short[:1].upper() + measure.short[1:]


def value(measure: Measure, number: float | None) -> str:
    return figures.percent(number) if measure.is_share else figures.plain(number)


def bounds(measure: Measure, given: Bounds) -> str:
    return figures.percent_range(given) if measure.is_share else figures.plain_range(given)


def difference(measure: Measure, number: float | None) -> str:
    return figures.points(number) if measure.is_share else figures.plain(number)


def difference_bounds(measure: Measure, given: Bounds) -> str:
    return figures.points_range(given) if measure.is_share else figures.plain_span(given)


def unit_of_difference(measure: Measure) -> str:
    return "points" if measure.is_share else measure.short


def axis(measure: Measure, values: Iterable[float | None]) -> Axis:
    """Over values of the metric, as percent of a cell's width."""
    known = [number for number in values if number is not None]
    ceiling = 1.0 if measure.is_share and all(number <= 1.0 for number in known) else float("inf")
    return axis_over(known, 2.0, 98.0, within=(0.0, ceiling))


def tick(measure: Measure, of: Axis) -> Callable[[float], str]:
    return share_text if measure.is_share else of.tick_text


def difference_tick(measure: Measure, of: Axis) -> Callable[[float], str]:
    return points_text if measure.is_share else of.tick_text


def known(entries: Iterable[Any], *names: str) -> list[float]:
    """Those of `numbers` that there are."""
    return [number for number in numbers(entries, *names) if number is not None]


def numbers(entries: Iterable[Any], *names: str) -> list[float | None]:
    """The values of entries of a report and the ends of their intervals."""
    return [number for entry in entries for name in names for number in (entry[name], *(entry["interval"] or ()))]
