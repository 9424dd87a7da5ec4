"""The page of a comparison, as one file: what moved, in words; then every feature with both distributions.

In: a comparison and its two sketches. Out: HTML in the manner of the report. No member of a sample is on it, since a sketch holds none.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from tasks.drift import words
from tasks.drift.compare import Comparison, Finding
from tasks.drift.features import LABEL, named
from tasks.drift.plots import class_bars, histogram, legend
from tasks.drift.sketch import Sketch
from tasks.evaluation.page import figures
from tasks.evaluation.page.document import document, heading, section
from tasks.evaluation.page.markup import Markup, join, shorten, tag

TESTS = {"ks": "Kolmogorov and Smirnov", "chi2": "chi squared", "mmd": "MMD, permutations"}


def write_page(
    path: Path, comparison: Comparison, sketches: tuple[Sketch, Sketch], reference: str, new: str, notes: Sequence[str] = ()
) -> None:
    """Write the page to `path`."""
    first, second = (figures.count(size) for size in comparison.sizes)
    lede = f"{second} samples of {shorten(new, 200)} beside {first} of {shorten(reference, 200)}, at most one of each group of records."
    parts: list[Markup | None] = [heading("drift", words.headline(comparison), lede, notes), _tiles(comparison)]
    order = [*comparison.moved, *(group for group in comparison.groups if group not in comparison.moved)]
    for group in order:
        figures_of_group = [picture for test in comparison.of(group) if (picture := _figure(test, sketches)) is not None]
        charts = tag("div", figures_of_group, class_="curves")
        content = join(legend(), charts, _table(comparison, group))
        parts.append(section(_title(group), words.sentence(comparison, group), content))
    parts.append(section("How it is judged", "", _judged(comparison)))
    path.write_text(document("Drift", join(parts)), encoding="utf-8")


def _title(group: str) -> str:
    return "Labels" if group == LABEL else group[:1].upper() + group[1:]


def _tiles(comparison: Comparison) -> Markup:
    """A figure for each modality: its largest significant effect."""
    tiles = []
    for group in comparison.groups:
        moved, effect = group in comparison.moved, comparison.effect(group)
        word = f"moved: {words.size(effect)}" if moved else "a little, below the level" if effect else "did not move"
        tests = comparison.of(group)
        tiles.append(
            tag(
                "div",
                tag("p", tag("b", _title(group)), class_="what"),
                tag("p", figures.plain(effect) if effect else "0", tag("span", " PSI", class_="unit"), class_="big"),
                tag("p", tag("span", word, class_=f"word {'bad' if moved else 'even' if effect else 'good'}"), class_="range"),
                tag("p", f"{len(tests)} tests; most: {named(tests[0].feature)}", class_="further"),
                class_="tile",
            )
        )
    return tag("section", tag("div", tiles, class_="tiles"), class_="verdict", aria_label="What moved")


def _figure(test: Finding, sketches: tuple[Sketch, Sketch]) -> Markup | None:
    """Both distributions; vectors have none that can be drawn."""
    if "shares" in test.details:
        if test.feature.endswith(".present") and not test.moved:
            return None
        picture = class_bars(test.feature, test.details["shares"])
    elif test.feature in sketches[0].numbers:
        first, second = (sketch.numbers[test.feature] for sketch in sketches)
        picture = histogram(test.feature, first[np.isfinite(first)], second[np.isfinite(second)])
    else:
        return None
    verdict = tag("span", f"PSI {figures.plain(test.effect)}, {figures.p_value(test.p_corrected)}", class_="legend")
    mark = tag("span", "moved", class_="word bad") if test.moved else None
    return tag("figure", tag("figcaption", tag("b", named(test.feature)), mark, verdict), picture)


def _table(comparison: Comparison, group: str) -> Markup:
    columns = ("Feature", "Test", "Statistic", "PSI beyond chance", "p", "p, corrected", "Samples", "")
    heading_row = tag("tr", [tag("th", text, scope="col", class_="number" if 2 <= at <= 6 else None) for at, text in enumerate(columns)])
    rows = [
        tag(
            "tr",
            tag("th", named(test.feature), scope="row"),
            tag("td", TESTS[test.test]),
            [tag("td", figures.plain(value), class_="number") for value in (test.statistic, test.effect)],
            [tag("td", _p(value), class_="number") for value in (test.p, test.p_corrected)],
            tag("td", " and ".join(map(figures.count, test.counts)), class_="number soft"),
            tag("td", tag("span", "moved", class_="word bad") if test.moved else ""),
        )
        for test in comparison.of(group)
    ]
    table = tag("table", tag("thead", heading_row), tag("tbody", rows))
    return tag("details", tag("summary", f"The {len(rows)} tests"), tag("div", table, class_="scroll", tabindex=0))


def _p(value: float) -> str:
    return figures.p_value(value).removeprefix("p = ").removeprefix("p ")


def _judged(comparison: Comparison) -> Markup:
    alpha, level = comparison.settings.alpha, comparison.settings.level
    lines = (
        (
            f"Every feature is one test. Their {len(comparison.tests)} p-values are corrected together (Holm), so that the chance of any "
            f"false alarm on this page is at most {figures.percent(alpha)}."
        ),
        (
            "A feature moved when that is significant and its population stability index, less what chance alone gives, is at least "
            f"{level:g}. From {words.MODERATE:g} a change is called moderate, from {words.LARGE:g} large."
        ),
        (
            "Numbers are compared by Kolmogorov and Smirnov, classes by chi squared, vectors by the maximum mean discrepancy with "
            "permutations. Each group of records counts once, because records of one picture or one speaker are not independent."
        ),
    )
    return join(tag("p", line, class_="prose") for line in lines)
