"""The data behind the numbers: what went in, what was left out and why, splits, class balance, sizes of the media."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from tasks.evaluation.page import figures
from tasks.evaluation.page.markup import Markup, join, shorten, tag

MAX_BARS = 30
MAX_ROWS = 60
_MAX_REASONS = 30
_STATUSES = ("written", "filtered", "duplicate", "quarantined", "forgotten")

Facts = Mapping[str, Any]


def data_section(facts: Facts) -> Markup:
    return join(
        _ledger(facts),
        tag("div", _splits(facts), _modalities(facts), class_="pair even"),
        [_balance(name, splits) for name, splits in facts["classes"].items()],
        _numbers(facts["numbers"]) if facts["numbers"] else None,
    )


def _ledger(facts: Facts) -> Markup:
    """The identity that must hold, written as the sum it is."""
    ledger = facts["ledger"]
    terms = [tag("div", tag("b", figures.count(ledger["in"])), tag("span", "records in"), class_="term total")]
    for place, status in enumerate(_STATUSES):
        terms.append(tag("span", "=" if place == 0 else "+", class_="sign", aria_hidden="true"))
        number = ledger.get(status, 0)
        terms.append(tag("div", tag("b", figures.count(number)), tag("span", status), class_="term" if number else "term none"))
    return tag("div", tag("div", terms, class_="ledger", role="group", aria_label="Ledger"), _reasons(facts["left_out"]))


def _reasons(left_out: Mapping[str, Mapping[str, int]]) -> Markup | None:
    rows = [
        tag(
            "tr",
            tag("td", status),
            tag("th", shorten(reason, 80) or "no reason given", scope="row"),
            tag("td", figures.count(number), class_="number"),
        )
        for status, reasons in left_out.items()
        for reason, number in list(reasons.items())[:_MAX_REASONS]
    ]
    if not rows:
        return None
    heading = tag(
        "tr", tag("th", "Left out as", scope="col"), tag("th", "Reason", scope="col"), tag("th", "Records", scope="col", class_="number")
    )
    return _table("What was left out, and why", heading, rows, "narrow")


def _splits(facts: Facts) -> Markup:
    total = max(1, facts["samples"])
    rows = [
        tag(
            "tr",
            tag("th", split, scope="row"),
            tag("td", figures.count(numbers["samples"]), class_="number"),
            tag("td", figures.percent(numbers["samples"] / total), class_="number soft"),
            tag("td", figures.count(numbers["groups"]), class_="number"),
            tag("td", figures.count(numbers["shards"]), class_="number"),
            tag("td", figures.num_bytes(numbers["bytes"]), class_="number"),
        )
        for split, numbers in facts["splits"].items()
    ]
    heading = _heading("Split", "Samples", "Share", "Groups", "Shards", "Size")
    return _table("Splits; no group is in two of them", heading, rows)


def _modalities(facts: Facts) -> Markup:
    total = max(1, facts["samples"])
    rows = [
        tag(
            "tr",
            tag("th", shorten(name, 40), scope="row"),
            tag("td", figures.count(numbers["samples"]), class_="number"),
            tag("td", figures.percent(numbers["samples"] / total), class_="number soft"),
            tag("td", figures.num_bytes(numbers["bytes"]), class_="number"),
            tag("td", figures.num_bytes(numbers["bytes"] / max(1, numbers["samples"])), class_="number"),
            tag("td", ", ".join(shorten(name, 12) for name in list(numbers["extensions"])[:4]), class_="number soft"),
        )
        for name, numbers in facts["modalities"].items()
    ]
    return _table("Modalities as stored", _heading("Modality", "Samples", "Share", "Size", "Mean", "As"), rows)


def _balance(name: str, splits: Mapping[str, Mapping[str, int]]) -> Markup:
    totals: dict[str, int] = {}
    for counted in splits.values():
        for value, number in counted.items():
            totals[value] = totals.get(value, 0) + number
    names = sorted(totals)
    if len(names) > MAX_BARS:
        names = sorted(names, key=lambda value: -totals[value])[:MAX_ROWS]
        return tag("div", _balance_table(name, names, splits, len(totals)), class_="block")
    highest = max((number / max(1, sum(counted.values())) for counted in splits.values() for number in counted.values()), default=1.0)
    charts = [
        tag(
            "figure",
            tag("figcaption", tag("b", split), tag("span", f" {figures.count(sum(counted.values()))}", class_="soft")),
            _bars(name, split, names, counted, highest),
        )
        for split, counted in splits.items()
        if counted
    ]
    return tag(
        "div",
        tag("h3", "Balance of ", tag("em", shorten(name, 60))),
        tag("div", charts, class_="small-multiples"),
        tag("details", tag("summary", "Counts"), _balance_table(name, names, splits, len(totals))),
        class_="block",
    )


def _bars(name: str, split: str, names: list[str], counted: Mapping[str, int], highest: float) -> Markup:
    width, height, base = 300, 112, 90
    pitch = width / len(names)
    total = max(1, sum(counted.values()))
    has_names = max(len(value) for value in names) * 7 <= pitch
    drawn = []
    for index, value in enumerate(names):
        share = counted.get(value, 0) / total
        tall = max(1.0, 82 * share / highest)
        tip = f"{shorten(value, 40)}: {figures.count(counted.get(value, 0))}, {figures.percent(share)}"
        drawn.append(tag("rect", x=index * pitch, y=0, width=pitch, height=height, class_="band", data_tip=tip))
        drawn.append(tag("rect", x=(index + 0.14) * pitch, y=base - tall, width=0.72 * pitch, height=tall, rx=1.5, class_="share"))
        if has_names:
            drawn.append(tag("text", value, x=(index + 0.5) * pitch, y=base + 16, text_anchor="middle"))
    label = f"Share of each {shorten(name, 40)} in {split}"
    return tag("svg", drawn, viewBox=f"0 0 {width} {height}", role="img", aria_label=label, class_="columns")


def _balance_table(name: str, names: list[str], splits: Mapping[str, Mapping[str, int]], number: int) -> Markup:
    rows = [
        tag(
            "tr",
            tag("th", shorten(value, 60), scope="row"),
            [tag("td", figures.count(counted.get(value, 0)), class_="number") for counted in splits.values()],
        )
        for value in names
    ]
    rest = f", the {len(names)} most frequent of {number}" if len(names) < number else ""
    return _table(f"Samples of each {shorten(name, 60)}{rest}", _heading("Class", *splits), rows)


def _numbers(labels: Mapping[str, Mapping[str, Mapping[str, float]]]) -> Markup:
    rows = [
        tag(
            "tr",
            tag("th", shorten(name, 60), scope="row"),
            tag("td", split),
            tag("td", figures.count(spread["samples"]), class_="number"),
            [tag("td", figures.plain(spread.get(key)), class_="number") for key in ("min", "mean", "max")],
        )
        for name, splits in labels.items()
        for split, spread in splits.items()
    ]
    heading = tag(
        "tr",
        tag("th", "Label", scope="col"),
        tag("th", "Split", scope="col"),
        [tag("th", text, scope="col", class_="number") for text in ("Samples", "Lowest", "Mean", "Highest")],
    )
    return tag("div", _table("Labels that are numbers", heading, rows), class_="block")


def _heading(first: str, *others: str) -> Markup:
    return tag("tr", tag("th", first, scope="col"), [tag("th", text, scope="col", class_="number") for text in others])


def _table(caption: str, heading: Markup, rows: list[Markup], width: str = "") -> Markup:
    table = tag("table", tag("caption", caption), tag("thead", heading), tag("tbody", rows))
    return tag("div", table, class_=f"scroll {width}".strip(), role="region", tabindex=0, aria_label=caption)
