"""Every subset of modalities as a table with one interval drawn in each row, all on the same scale."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from tasks.evaluation.page import figures
from tasks.evaluation.page.axis import Axis, axis_over
from tasks.evaluation.page.interval_rows import drawn_interval, scale, share_text
from tasks.evaluation.page.markup import Markup, shorten, tag
from tasks.evaluation.subsets import subset_members

MAX_ROWS = 40


@dataclass(frozen=True)
class _Row:
    name: str
    value: float
    bounds: list[float] | None
    difference: Mapping[str, Any] | None
    kind: str
    """full, subset or baseline."""


def subset_table(head: Mapping[str, Any], baseline: Mapping[str, Any] | None) -> Markup:
    is_category = head["kind"] == "category"
    rows = _rows(head, baseline, "accuracy" if is_category else "rmse", is_category)
    values = [number for row in rows for number in (row.value, *(row.bounds or ()))]
    axis = axis_over(values, 2.0, 98.0, within=(0.0, 1.0) if is_category else (0.0, float("inf")))
    heading = tag(
        "tr",
        tag("th", "The model sees", scope="col"),
        tag("th", scale(axis, share_text if is_category else axis.tick_text), scope="col", class_="plot", aria_label="Interval, drawn"),
        tag("th", "Accuracy" if is_category else "RMSE", scope="col", class_="number"),
        tag("th", "Range", scope="col", class_="number wide"),
        tag("th", "All minus this", scope="col", class_="number wide"),
    )
    return tag(
        "div",
        tag("table", tag("thead", heading), tag("tbody", [_line(row, axis, is_category) for row in rows]), class_="subsets"),
        class_="scroll",
        role="region",
        tabindex=0,
        aria_label="Results for every subset of modalities",
    )


def _rows(head: Mapping[str, Any], baseline: Mapping[str, Any] | None, metric: str, is_category: bool) -> list[_Row]:
    """Singles first, each size from worst to best, so that the eye climbs to the full set; the baseline last."""
    entries = head["by_modalities"]
    full = list(entries)[-1]
    better = 1 if is_category else -1
    names = sorted(entries, key=lambda name: (len(subset_members(name)), better * entries[name][metric]))
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


def _line(row: _Row, axis: Axis, is_category: bool) -> Markup:
    value = figures.percent if is_category else figures.plain
    bounds = figures.percent_range if is_category else figures.plain_range
    return tag(
        "tr",
        tag("th", tag("span", "baseline ", class_="soft") if row.kind == "baseline" else None, shorten(row.name, 60), scope="row"),
        tag("td", drawn_interval(row.value, row.bounds, axis, f"{row.name}: {value(row.value)}, {bounds(row.bounds)}"), class_="plot"),
        tag("td", value(row.value), class_="number strong"),
        tag("td", bounds(row.bounds), class_="number wide soft"),
        tag("td", _difference(row.difference, is_category), class_="number wide"),
        class_=row.kind,
    )


def _difference(difference: Mapping[str, Any] | None, is_category: bool) -> Markup | str:
    if difference is None:
        return ""
    if is_category:
        shown, drawn = figures.points(difference["value"]), figures.points_range(difference["interval"])
    else:
        shown, drawn = figures.plain(difference["value"]), figures.plain_span(difference["interval"])
    return tag("span", shown, " ", tag("span", f"({drawn})", class_="soft"))
