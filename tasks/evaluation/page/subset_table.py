"""Every subset of modalities as a table with one interval drawn in each row, all on the same scale."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from tasks.evaluation.measures import Measure, primary_of
from tasks.evaluation.page import figures, written
from tasks.evaluation.page.axis import Axis
from tasks.evaluation.page.interval_rows import drawn_interval, scale
from tasks.evaluation.page.markup import Markup, shorten, tag
from tasks.evaluation.subsets import subset_members

MAX_ROWS = 40


@dataclass(frozen=True)
class _Row:
    name: str
    value: float | None
    bounds: list[float] | None
    difference: Mapping[str, Any] | None
    kind: str
    """full, subset or baseline."""


def subset_table(head: Mapping[str, Any], baseline: Mapping[str, Any] | None) -> Markup:
    measure = primary_of(head)
    rows = _rows(head, baseline, measure)
    axis = written.axis(measure, [number for row in rows for number in (row.value, *(row.bounds or ()))])
    heading = tag(
        "tr",
        tag("th", "The model sees", scope="col"),
        tag("th", scale(axis, written.tick(measure, axis)), scope="col", class_="plot", aria_label="Interval, drawn"),
        tag("th", written.heading(measure), scope="col", class_="number"),
        tag("th", "Range", scope="col", class_="number wide"),
        tag("th", "All minus this", scope="col", class_="number wide"),
    )
    return tag(
        "div",
        tag("table", tag("thead", heading), tag("tbody", [_line(row, axis, measure) for row in rows]), class_="subsets"),
        class_="scroll",
        role="region",
        tabindex=0,
        aria_label="Results for every subset of modalities",
    )


def _rows(head: Mapping[str, Any], baseline: Mapping[str, Any] | None, measure: Measure) -> list[_Row]:
    """Singles first, each size from worst to best, so that the eye climbs to the full set; the baseline last."""
    entries, metric = head["by_modalities"], measure.name
    full = list(entries)[-1]
    better = 1 if measure.higher else -1
    names = sorted(entries, key=lambda name: (len(subset_members(name)), better * (entries[name][metric] or 0)))
    if len(names) > MAX_ROWS:
        size = len(subset_members(full))
        names = [name for name in names if len(subset_members(name)) in (1, size - 1, size)]
    rows = [
        _Row(
            figures.modality_words(name),
            entries[name][metric],
            entries[name]["interval"],
            None if name == full else entries[name]["difference"],
            "full" if name == full else "subset",
        )
        for name in names
    ]
    if baseline is not None and f"baseline_{metric}" in head:
        rows.append(_Row(baseline["reference"], head[f"baseline_{metric}"], head["baseline_interval"], head["difference"], "baseline"))
    return rows


def _line(row: _Row, axis: Axis, measure: Measure) -> Markup:
    value, bounds = written.value(measure, row.value), written.bounds(measure, row.bounds)
    drawn = None if row.value is None else drawn_interval(row.value, row.bounds, axis, f"{row.name}: {value}, {bounds}")
    return tag(
        "tr",
        tag("th", tag("span", "baseline ", class_="soft") if row.kind == "baseline" else None, shorten(row.name, 60), scope="row"),
        tag("td", drawn, class_="plot"),
        tag("td", value, class_="number strong"),
        tag("td", bounds, class_="number wide soft"),
        tag("td", _difference(row.difference, measure), class_="number wide"),
        class_=row.kind,
    )


def _difference(difference: Mapping[str, Any] | None, measure: Measure) -> Markup | str:
    if difference is None:
        return ""
    shown, drawn = written.difference(measure, difference["value"]), written.difference_bounds(measure, difference["interval"])
    return tag("span", shown, " ", tag("span", f"({drawn})", class_="soft"))
