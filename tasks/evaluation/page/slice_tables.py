"""Slices as tables: one for each column, a row a value, with the interval drawn in each row, all on the same scale."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import Any

from tasks.evaluation.measures import primary_of
from tasks.evaluation.page import figures, written
from tasks.evaluation.page.axis import axis_over
from tasks.evaluation.page.interval_rows import drawn_interval, scale
from tasks.evaluation.page.markup import Markup, join, shorten, tag

MAX_ROWS = 60
"""Of a column; the rest is in report.json."""

Report = Mapping[str, Any]


def slices_section(head: str, report: Report) -> Markup | None:
    """The head's own value in every slice; None when there is none."""
    whole = report["heads"][head]
    measure = primary_of(whole)
    metric, value = measure.name, partial(written.value, measure)
    tables = []
    for column, rows in _rows(head, report).items():
        axis = written.axis(measure, [*written.numbers((entry for _, entry in rows), metric), whole[metric]])
        lines = [
            tag(
                "tr",
                tag("th", shorten(name, 60), scope="row"),
                tag(
                    "td",
                    drawn_interval(entry[metric], entry["interval"], axis, f"{name}: {value(entry[metric])}", mark=whole[metric]),
                    class_="plot",
                ),
                tag("td", value(entry[metric]), class_="number strong"),
                tag("td", written.bounds(measure, entry["interval"]), class_="number wide soft"),
                tag("td", figures.count(entry["samples"]), class_="number soft"),
            )
            for name, entry in rows
        ]
        heading = _heading(column, scale(axis, written.tick(measure, axis)), written.heading(measure))
        caption = f"The line is the value over all samples, {value(whole[metric])}. {_cut(column, report)}"
        tables.append(_table(column, caption, heading, lines))
    return join(tables) if tables else None


def differences_section(head: str, report: Report) -> Markup | None:
    """Candidate minus baseline in every slice, paired; None when there is none."""
    measure = primary_of(report["heads"][head])
    unit = written.unit_of_difference(measure)
    metric, shown = measure.name, partial(written.value, measure)
    tables = []
    for column, rows in _rows(head, report).items():
        if not all("difference" in entry for _, entry in rows):
            continue
        axis = axis_over([*written.known((entry["difference"] for _, entry in rows), "value"), 0.0], 2.0, 98.0)
        lines = []
        for name, entry in rows:
            value, interval = entry["difference"]["value"], entry["difference"]["interval"]
            said, drawn = written.difference(measure, value), written.difference_bounds(measure, interval)
            lines.append(
                tag(
                    "tr",
                    tag("th", shorten(name, 60), scope="row"),
                    tag("td", drawn_interval(value, interval, axis, f"{name}: {said}", mark=0.0), class_="plot"),
                    tag("td", said, class_="number strong"),
                    tag("td", drawn, class_="number wide soft"),
                    tag("td", f"{shown(entry[metric])} / {shown(entry[f'baseline_{metric}'])}", class_="number wide soft"),
                    tag("td", figures.count(entry["samples"]), class_="number soft"),
                )
            )
        heading = _heading(column, scale(axis, written.difference_tick(measure, axis)), unit[:1].upper() + unit[1:], "Candidate / baseline")
        better = "above" if measure.higher else "below"
        caption = f"Candidate minus baseline; {better} zero the candidate is better. {_cut(column, report)}"
        tables.append(_table(column, caption, heading, lines))
    return join(tables) if tables else None


def _rows(head: str, report: Report) -> dict[str, list[tuple[str, Mapping[str, Any]]]]:
    """Column → (value, the head's part), of columns that have any."""
    found = {
        column: [(name, entry["heads"][head]) for name, entry in values.items() if head in entry["heads"]][:MAX_ROWS]
        for column, values in report.get("slices", {}).items()
    }
    return {column: rows for column, rows in found.items() if rows}


def _cut(column: str, report: Report) -> str:
    """How the column was cut, in words, and what is not shown here."""
    facts, number = report["slicing"][column], len(report["slices"][column])
    said = [f"The first {MAX_ROWS} of {number} slices; all are in report.json."] if number > MAX_ROWS else []
    if facts["kind"] == "number":
        said.append(f"Cut into {len(facts['edges']) + 1} parts at the quantiles of these samples.")
    if facts["missing"]:
        said.append(f"{figures.count(facts['missing'])} samples have no value.")
    return " ".join(said)


def _heading(column: str, drawn: Markup, value: str, both: str = "") -> Markup:
    return tag(
        "tr",
        tag("th", shorten(column, 40), scope="col"),
        tag("th", drawn, scope="col", class_="plot", aria_label="Interval, drawn"),
        tag("th", value, scope="col", class_="number"),
        tag("th", "Range", scope="col", class_="number wide"),
        tag("th", both, scope="col", class_="number wide") if both else None,
        tag("th", "Samples", scope="col", class_="number"),
    )


def _table(column: str, caption: str, heading: Markup, lines: list[Markup]) -> Markup:
    table = tag("table", tag("caption", caption), tag("thead", heading), tag("tbody", lines), class_="subsets slices")
    return tag(
        "div",
        tag("h3", "by ", shorten(column, 60)),
        tag("div", table, class_="scroll", role="region", tabindex=0, aria_label=f"Slices by {shorten(column, 60)}"),
        class_="block",
    )
