"""The top of the page: what was measured, the number, and whether it beats what it is compared with."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from tasks.evaluation.measures import MEASURED, Measure, primary_of
from tasks.evaluation.page import figures, written
from tasks.evaluation.page.document import heading, listed
from tasks.evaluation.page.markup import Markup, shorten, tag

Report = Mapping[str, Any]


def masthead(report: Report) -> Markup:
    recipe = report["lineage"]["recipe"] or "Evaluation"
    baseline = report["baseline"]
    compared = f", beside {baseline['reference']} on the same rows" if baseline else ""
    has_groups = report["groups"] < report["samples"]
    grouped = f" in {figures.count(report['groups'])} groups" if has_groups else ""
    resampled = ", resampled by group" if has_groups else ""
    lede = (
        f"A model of {listed(report['modalities'])}, measured on {figures.count(report['samples'])} {report['split']} samples{grouped}"
        f"{compared}. Ranges are {100 * report['confidence']:g}{figures.NARROW}% bootstrap intervals{resampled}."
    )
    return heading("evaluation report", recipe, lede, report["notes"])


def verdict(name: str, head: Mapping[str, Any], report: Report) -> Markup:
    """The three figures of one head: its own, over the best single modality, over the baseline."""
    measure = primary_of(head)
    best, baseline = head["best_single"], report["baseline"]
    tiles = [_own(name, head, report, measure)]
    if best is not None:
        tiles.append(difference_tile(f"over {best['modalities']} alone, its best single modality", best["difference"], measure, None))
    if baseline is not None and "difference" in head:
        mcnemar = head.get("mcnemar")
        extra = None if mcnemar is None else _disagreements(mcnemar)
        tiles.append(difference_tile(f"over the baseline, {shorten(baseline['reference'], 60)}", head["difference"], measure, extra))
    return tag("section", tag("div", tiles, class_="tiles"), class_="verdict", aria_label=f"Result for {name}")


def _disagreements(mcnemar: Mapping[str, Any]) -> str:
    gained, lost = figures.count(mcnemar["candidate_only"]), figures.count(mcnemar["baseline_only"])
    return f"{gained} right where the baseline is wrong, {lost} the other way; McNemar {figures.p_value(mcnemar['p'])}"


def _own(name: str, head: Mapping[str, Any], report: Report, measure: Measure) -> Markup:
    value, bounds = written.value(measure, head[measure.name]), written.bounds(measure, head["interval"])
    return tag(
        "div",
        tag(
            "p",
            tag("b", shorten(name, 60)),
            f" {measure.short} with {listed(report['modalities'])}",
            class_="what",
        ),
        tag("p", value, class_="big"),
        tag("p", bounds, class_="range"),
        tag("p", _further(head), class_="further"),
        class_="tile own",
    )


def _further(head: Mapping[str, Any]) -> str:
    """The next metrics of its kind."""
    if head["kind"] == "category":
        return f"F1 macro {figures.percent(head['f1_macro'])} · always the commonest class {figures.percent(head['majority_accuracy'])}"
    return " · ".join(f"{each.short} {written.value(each, head[each.name])}" for each in MEASURED[head["kind"]].measures[1:3])


def value_tile(what: str, value: float, bounds: list[float] | None, measure: Measure) -> Markup:
    """A number of one model, with its interval."""
    return tag(
        "div",
        tag("p", what, class_="what"),
        tag("p", written.value(measure, value), class_="big"),
        tag("p", written.bounds(measure, bounds), class_="range"),
        class_="tile",
    )


def difference_tile(what: str, difference: Mapping[str, Any], measure: Measure, extra: str | None) -> Markup:
    """A paired difference, in words too; `extra` is a line more."""
    value, bounds = difference["value"], difference["interval"]
    sign = "+" if not measure.is_share and (value or 0) > 0 else ""
    shown, drawn = f"{sign}{written.difference(measure, value)}", written.difference_bounds(measure, bounds)
    word, tone = judgement(bounds, higher_is_better=measure.higher)
    unit = tag("span", f" {written.unit_of_difference(measure)}", class_="unit")
    return tag(
        "div",
        tag("p", what, class_="what"),
        tag("p", shown, unit, class_="big"),
        tag("p", drawn, class_="range"),
        tag("p", tag("span", word, class_=f"word {tone}"), [tag("br"), extra] if extra else None, class_="further"),
        class_="tile",
    )


def judgement(bounds: list[float] | None, *, higher_is_better: bool) -> tuple[str, str]:
    """In words, and the tone it is coloured by."""
    if bounds is None:
        return "not known", "even"
    low, high = bounds if higher_is_better else (-bounds[1], -bounds[0])
    if low > 0:
        return "clearly better", "good"
    if high < 0:
        return "clearly worse", "bad"
    return "no clear difference", "even"
