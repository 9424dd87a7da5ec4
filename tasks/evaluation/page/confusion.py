"""Where a classifier errs: the confusion matrix as a heat map that is a real table, and the numbers of each class."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from tasks.evaluation.page import figures
from tasks.evaluation.page.markup import Markup, shorten, tag

MAX_MATRIX = 40
MAX_CLASS_ROWS = 60
MANY = 12
"""Classes beyond which a matrix takes the width of the page, with its headings turned upright."""
_LEVELS = 10


def confusion_section(head: Mapping[str, Any]) -> Markup:
    matrix = _matrix(head) if len(head["classes"]) <= MAX_MATRIX else _worst_pairs(head)
    return tag("div", matrix, _class_table(head), class_="pair stacked" if len(head["classes"]) > MANY else "pair")


def _matrix(head: Mapping[str, Any]) -> Markup:
    classes, confusion = head["classes"], head["confusion"]
    support = [max(1, sum(row)) for row in confusion]
    heading = tag(
        "tr",
        tag("td", class_="corner"),
        [tag("th", tag("span", shorten(name, 12)), scope="col", title=shorten(name, 60)) for name in classes],
    )
    rows = [
        tag(
            "tr",
            tag("th", shorten(name, 16), scope="row", title=shorten(name, 60)),
            [_cell(number, support[index], name, classes[column], index == column) for column, number in enumerate(confusion[index])],
        )
        for index, name in enumerate(classes)
    ]
    table = tag(
        "table",
        tag("caption", "Rows are the labels, columns the predictions; the stronger a colour, the larger the share of its row."),
        tag("thead", heading),
        tag("tbody", rows),
        class_="matrix" + (" upright" if len(classes) > MANY else "") + (" dense" if len(classes) > 16 else ""),
    )
    return tag("div", table, class_="scroll", role="region", tabindex=0, aria_label="Confusion matrix")


def _cell(number: int, support: int, label: str, prediction: str, is_hit: bool) -> Markup:
    share = number / support
    level = 0 if number == 0 else max(1, round(share * _LEVELS))
    tip = f"{shorten(label, 40)} taken for {shorten(prediction, 40)}: {number} of {support}"
    if is_hit:
        tip = f"{shorten(label, 40)}: {number} of {support} right"
    return tag("td", number or tag("span", "·", aria_label="0"), class_=f"{'hit' if is_hit else 'miss'} level{level}", data_tip=tip)


def _worst_pairs(head: Mapping[str, Any]) -> Markup:
    classes, confusion = head["classes"], head["confusion"]
    pairs = [
        (number, row, column) for row, numbers in enumerate(confusion) for column, number in enumerate(numbers) if row != column and number
    ]
    worst = sorted(pairs, reverse=True)[:25]
    rows = [
        tag("tr", tag("td", shorten(classes[row], 40)), tag("td", shorten(classes[column], 40)), tag("td", number, class_="number"))
        for number, row, column in worst
    ]
    heading = tag(
        "tr", [tag("th", text, scope="col") for text in ("Label", "Taken for")], tag("th", "Samples", scope="col", class_="number")
    )
    caption = tag("caption", f"The most frequent confusions; the whole matrix of {len(classes)} classes is in report.json.")
    return tag(
        "div",
        tag("table", caption, tag("thead", heading), tag("tbody", rows)),
        class_="scroll",
        tabindex=0,
        role="region",
        aria_label="Confusions",
    )


def _class_table(head: Mapping[str, Any]) -> Markup:
    per_class = head["per_class"]
    names = list(head["classes"])
    caption = "Each class for itself, and the unweighted mean of those that occur."
    if len(names) > MAX_CLASS_ROWS:
        names = sorted(names, key=lambda name: per_class[name]["f1"])[:MAX_CLASS_ROWS]
        caption = f"The {MAX_CLASS_ROWS} classes with the lowest F1 of {len(per_class)}; all are in report.json."
    rows = [_class_row(shorten(name, 40), per_class[name]) for name in names]
    macro = {
        "precision": head["precision_macro"],
        "recall": head["recall_macro"],
        "f1": head["f1_macro"],
        "support": head["samples"],
    }
    columns = ("Precision", "Recall", "F1", "Samples")
    heading = tag("tr", tag("th", "Class", scope="col"), [tag("th", text, scope="col", class_="number") for text in columns])
    table = tag(
        "table",
        tag("caption", caption),
        tag("thead", heading),
        tag("tbody", rows),
        tag("tfoot", _class_row("mean", macro)),
        class_="classes",
    )
    return tag("div", table, class_="scroll", role="region", tabindex=0, aria_label="Numbers for each class")


def _class_row(name: str, numbers: Mapping[str, Any]) -> Markup:
    shares = [tag("td", figures.percent(numbers[key]), class_="number") for key in ("precision", "recall", "f1")]
    return tag(
        "tr",
        tag("th", name, scope="row"),
        shares,
        tag("td", figures.count(numbers["support"]), class_="number soft"),
    )
