"""The top of the page: what was measured, the number, and whether it beats what it is compared with."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from tasks.evaluation.page import figures
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
    is_category = head["kind"] == "category"
    best, baseline = head["best_single"], report["baseline"]
    tiles = [_own(name, head, report, is_category)]
    if best is not None:
        tiles.append(difference_tile(f"over {best['modalities']} alone, its best single modality", best["difference"], is_category, None))
    if baseline is not None and "difference" in head:
        mcnemar = head.get("mcnemar")
        extra = None if mcnemar is None else _disagreements(mcnemar)
        tiles.append(difference_tile(f"over the baseline, {shorten(baseline['reference'], 60)}", head["difference"], is_category, extra))
    return tag("section", tag("div", tiles, class_="tiles"), class_="verdict", aria_label=f"Result for {name}")


def _disagreements(mcnemar: Mapping[str, Any]) -> str:
    gained, lost = figures.count(mcnemar["candidate_only"]), figures.count(mcnemar["baseline_only"])
    return f"{gained} right where the baseline is wrong, {lost} the other way; McNemar {figures.p_value(mcnemar['p'])}"


def _own(name: str, head: Mapping[str, Any], report: Report, is_category: bool) -> Markup:
    value = figures.percent(head["accuracy"]) if is_category else figures.plain(head["rmse"])
    bounds = figures.percent_range(head["interval"]) if is_category else figures.plain_range(head["interval"])
    further = (
        f"F1 macro {figures.percent(head['f1_macro'])} · always the commonest class {figures.percent(head['majority_accuracy'])}"
        if is_category
        else f"MAE {figures.plain(head['mae'])} · R² {figures.plain(head['r2'])}"
    )
    return tag(
        "div",
        tag(
            "p",
            tag("b", shorten(name, 60)),
            f" {'accuracy' if is_category else 'RMSE'} with {listed(report['modalities'])}",
            class_="what",
        ),
        tag("p", value, class_="big"),
        tag("p", bounds, class_="range"),
        tag("p", further, class_="further"),
        class_="tile own",
    )


def value_tile(what: str, value: float, bounds: list[float] | None, is_category: bool) -> Markup:
    """A number of one model, with its interval."""
    shown, drawn = (figures.percent, figures.percent_range) if is_category else (figures.plain, figures.plain_range)
    return tag(
        "div", tag("p", what, class_="what"), tag("p", shown(value), class_="big"), tag("p", drawn(bounds), class_="range"), class_="tile"
    )


def difference_tile(what: str, difference: Mapping[str, Any], is_category: bool, extra: str | None) -> Markup:
    """A paired difference, in words too; `extra` is a line more."""
    value, bounds = difference["value"], difference["interval"]
    shown = figures.points(value) if is_category else f"{'+' if value > 0 else ''}{figures.plain(value)}"
    drawn = figures.points_range(bounds) if is_category else figures.plain_span(bounds)
    word, tone = judgement(bounds, higher_is_better=is_category)
    unit = tag("span", " points" if is_category else " RMSE", class_="unit")
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
