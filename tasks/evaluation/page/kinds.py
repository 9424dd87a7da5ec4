"""Sections of heads that say neither one class nor one number: their metrics, what each class is like, what finds what."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from tasks.evaluation.measures import MEASURED
from tasks.evaluation.page import figures, written
from tasks.evaluation.page.document import section
from tasks.evaluation.page.markup import Markup, shorten, tag
from tasks.evaluation.page.members import Budget
from tasks.evaluation.page.nearest import Example, nearest_section, rank_text

MAX_CLASSES = 60
"""Rows of the table; the rest is in report.json."""

Head = Mapping[str, Any]


def kind_sections(head: Head, found: Sequence[Example], budget: Budget) -> list[Markup | None]:
    """`found`: of a retrieval head. `budget`: what the page's media may still take."""
    parts: list[Markup | None] = [section("Metrics", "", _metrics(head))]
    if "per_class" in head:
        parts.append(section("Classes", "", _classes(head)))
    if "directions" in head:
        parts.append(section("Which way", "Each modality as the question, and another as the answer.", _directions(head)))
    if found:
        lead = "Drawn at random: some whose answer came first, then some that were missed. A frame marks what belongs to the question."
        parts.append(section("Nearest", lead, nearest_section(found, budget)))
    return parts


def unmeasured_section(name: str, head: Head) -> Markup:
    """A head that no metric is for."""
    loss = "" if head["loss"] is None else f" Its loss is {figures.plain(head['loss'])}."
    return tag("p", f"Nothing is measured of {shorten(name, 60)}, a head of kind {shorten(head['head'], 80)}.{loss}", class_="lead")


def _metrics(head: Head) -> Markup:
    measures = MEASURED[head["kind"]].measures
    rows = [
        tag(
            "tr",
            tag("th", written.heading(measure), scope="row"),
            tag("td", written.value(measure, head[measure.name]), class_="number strong"),
            tag("td", written.bounds(measure, head["interval" if place == 0 else f"{measure.name}_interval"]), class_="number soft"),
            tag("td", "higher" if measure.higher else "lower", class_="soft first-word"),
        )
        for place, measure in enumerate(measures)
    ]
    columns = tag("tr", tag("th", "Metric", scope="col"), _numbers("Value", "Range"), tag("th", "Better", scope="col", class_="first-word"))
    strange = f", of which {figures.count(head['strange'])} are strange" if "strange" in head else ""
    return _table(f"Over {figures.count(head['samples'])} samples{strange}. The first decides.", columns, rows)


def _classes(head: Head) -> Markup:
    entries = sorted(head["per_class"].items(), key=lambda item: (-item[1]["support"], item[0]))
    scores = [name for name in ("precision", "recall", "f1", "average_precision") if name in next(iter(head["per_class"].values()), {})]
    rows = [
        tag(
            "tr",
            tag("th", shorten(name, 60), scope="row"),
            [tag("td", figures.percent(entry[score]), class_="number") for score in scores],
            tag("td", figures.count(entry["support"]), class_="number soft"),
            tag("td", figures.count(entry["predicted"]), class_="number soft"),
        )
        for name, entry in entries[:MAX_CLASSES]
    ]
    titles = [{"f1": "F1"}.get(score, score.replace("_", " ").capitalize()) for score in scores]
    columns = tag("tr", tag("th", "Class", scope="col"), _numbers(*titles, "True", "Said"))
    rest = f"The {MAX_CLASSES} commonest of {len(entries)}. " if len(entries) > MAX_CLASSES else ""
    return _table(f"{rest}How often a class is true and how often it is said, beside how well they meet.", columns, rows)


def _directions(head: Head) -> Markup:
    directions = head["directions"]
    places = list(next(iter(directions.values()))["recall"])
    rows = [
        tag(
            "tr",
            tag("th", shorten(name, 60), scope="row"),
            [_with_range(entry["recall"][place], percent=True) for place in places],
            [tag("td", figures.percent(entry["recall"][place]["chance"]), class_="number soft") for place in places[:1]],
            _with_range(entry["reciprocal_rank"], percent=False),
            tag("td", rank_text(entry["median_rank"]), class_="number"),
            tag("td", f"{figures.count(entry['queries'])} in {figures.count(entry['candidates'])}", class_="number soft"),
        )
        for name, entry in directions.items()
    ]
    titles = [*(f"R@{place}" for place in places), "R@1 by chance", "Mean reciprocal rank", "Median rank", "Questions"]
    caption = "R@K: the share of questions with a right answer among the first K. Equal pictures, texts and sounds are one."
    return _table(caption, tag("tr", tag("th", "Direction", scope="col"), _numbers(*titles)), rows)


def _with_range(entry: Mapping[str, Any], *, percent: bool) -> Markup:
    value, bounds = (figures.percent, figures.percent_range) if percent else (figures.plain, figures.plain_range)
    return tag(
        "td", tag("b", value(entry["value"])), tag("br"), tag("span", bounds(entry["interval"]), class_="soft small"), class_="number"
    )


def _numbers(*titles: str) -> list[Markup]:
    return [tag("th", text, scope="col", class_="number") for text in titles]


def _table(caption: str, columns: Markup, rows: list[Markup]) -> Markup:
    table = tag("table", tag("caption", caption), tag("thead", columns), tag("tbody", rows))
    return tag("div", table, class_="scroll", role="region", tabindex=0, aria_label=shorten(caption, 80))
