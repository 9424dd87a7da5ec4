"""Candidate and baseline side by side, as one file: who is right where, the paired difference, slices, calibration, cost, and samples that
changed sides.

In: the finished report and both models' predictions on the same rows. Out: `comparison.html`, beside `report.html`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from tasks.evaluation.measures import UNMEASURED, primary_of
from tasks.evaluation.page import figures
from tasks.evaluation.page.cards import MEDIA_BUDGET, Answer, Card, cards_section, make_card
from tasks.evaluation.page.choose import SHOWN_APART
from tasks.evaluation.page.cost_table import cost_section
from tasks.evaluation.page.document import beside, document, heading, section
from tasks.evaluation.page.markup import Markup, join, shorten, tag
from tasks.evaluation.page.members import Budget
from tasks.evaluation.page.reliability import reliability
from tasks.evaluation.page.sides import NUM_CARDS, changed_quality, changed_sides
from tasks.evaluation.page.slice_tables import differences_section
from tasks.evaluation.page.verdict import difference_tile, judgement, value_tile
from tasks.evaluation.predict import Predictions
from tasks.evaluation.report import baseline_values
from tasks.evaluation.said import HeadPredictions
from tasks.evaluation.scoring import Compared

if TYPE_CHECKING:
    from tasks.shards.read import ShardSet

Report = Mapping[str, Any]


@dataclass(frozen=True)
class Changed:
    """One head's samples that changed sides."""

    won: list[Card]
    lost: list[Card]
    num_won: int
    num_lost: int


def write_comparison(
    path: Path,
    report: Report,
    shard_set: ShardSet,
    candidate: Predictions,
    baseline: Predictions,
    labels: Mapping[str, NDArray[Any]],
    scored: Mapping[str, Compared],
) -> None:
    """Gather the samples, and write the page."""
    groups_N = np.asarray(shard_set.groups(report["split"]))
    compared = {head: values for head, values in baseline_values(candidate, baseline).items() if values is not None}
    others = {head: given for head, given in scored.items() if given.rival is not None}
    number = NUM_CARDS if len(compared) + len(others) == 1 else NUM_CARDS // 2
    changed = {}
    for head in (name for name in candidate.heads if name in compared or name in others):
        own, rival = candidate.heads[head], baseline.heads[head]
        if head in others:
            sides = changed_quality(others[head], groups_N, number)
            if own.kind in SHOWN_APART:
                sides = replace(sides, won=[], lost=[])
        else:
            sides = changed_sides(own, rival, compared[head], labels[head], groups_N, number)
        shown = [*sides.won, *sides.lost]
        samples = shard_set.samples(report["split"], shown)
        cards = [
            compared_card(make_card(at, sample.members, candidate, labels), head, rival, at, labels[head][at])
            for at, sample in zip(shown, samples, strict=True)
        ]
        changed[head] = Changed(cards[: len(sides.won)], cards[len(sides.won) :], sides.num_won, sides.num_lost)
    path.write_text(render_comparison(report, changed), encoding="utf-8")


def compared_card(card: Card, head: str, rival: HeadPredictions, at: int, label: Any) -> Card:
    """The card with one head's answer alone, and what the baseline says there."""
    (answer,) = (answer for answer in card.answers if answer.head == head)
    value = rival.full[at]
    if rival.scorer is not None:
        return replace(card, answers=(replace(answer, baseline=rival.scorer.words(value)),))
    if not rival.classes:
        return replace(card, answers=(replace(answer, baseline=figures.plain(float(value))),))
    said = rival.classes[int(value)]
    return replace(card, answers=(replace(answer, baseline=said, baseline_is_right=_is_right(said, answer, label)),))


def render_comparison(report: Report, changed: Mapping[str, Changed]) -> str:
    """`changed`: each head that both models have → its samples."""
    baseline, several, budget = report["baseline"], len(report["heads"]) > 1, Budget(MEDIA_BUDGET)
    recipe = report["lineage"]["recipe"] or "Comparison"
    grouped = f" in {figures.count(report['groups'])} groups" if report["groups"] < report["samples"] else ""
    lede = (
        f"A candidate beside {shorten(baseline['reference'], 80)} on the same {figures.count(report['samples'])} {report['split']} "
        f"samples{grouped}. Differences are candidate minus baseline, paired; ranges are {100 * report['confidence']:g}{figures.NARROW}% "
        "bootstrap intervals."
    )
    parts: list[Markup | None] = [heading("comparison", recipe, lede, report["notes"]), beside("report.html", "The candidate's own report")]
    for name, head in report["heads"].items():
        parts.append(tag("h2", shorten(name, 60), class_="head-name") if several else None)
        if name not in changed:
            why = (
                "Nothing is measured of this head."
                if head["kind"] == UNMEASURED
                else "The baseline has no head of this name to compare with."
            )
            parts.append(tag("p", why, class_="lead"))
            continue
        parts += _head(name, head, report, changed[name], budget)
    parts.append(section("Cost", "", cost_section(report)))
    return document(f"{shorten(recipe, 60)}: candidate and baseline on {report['split']}", join(parts))


def _head(name: str, head: Mapping[str, Any], report: Report, changed: Changed, budget: Budget) -> list[Markup | None]:
    parts: list[Markup | None] = [_tiles(name, head)]
    is_category = head["kind"] == "category"
    if is_category:
        parts.append(section("Who is right", "", _fourfold(head)))
    if (slices := differences_section(name, report)) is not None:
        parts.append(section("Slices", "The difference for each value of a column of the corpus.", slices))
    if is_category:
        parts.append(section("How sure each is", _calibration_lead(head), _side_by_side(name, head)))
    won, lost = {"category": ("Won", "Lost"), "number": ("Nearer", "Farther")}.get(head["kind"], ("Better", "Worse"))
    parts.append(_cards(won, _lead(changed.won, changed.num_won, head["kind"], won=True), changed.won, budget))
    parts.append(_cards(lost, _lead(changed.lost, changed.num_lost, head["kind"], won=False), changed.lost, budget))
    return parts


def _tiles(name: str, head: Mapping[str, Any]) -> Markup:
    measure = primary_of(head)
    metric, words, difference = measure.name, measure.short, head["difference"]
    tiles = [
        difference_tile(f"{shorten(name, 60)} {words}, candidate minus baseline", difference, measure, _test(head)),
        value_tile(f"candidate's {words}", head[metric], head["interval"], measure),
        value_tile(f"baseline's {words}", head[f"baseline_{metric}"], head["baseline_interval"], measure),
    ]
    return tag("section", tag("div", tiles, class_="tiles"), class_="verdict", aria_label=f"Difference for {name}")


def _test(head: Mapping[str, Any]) -> str | None:
    return f"McNemar's exact test: {figures.p_value(head['mcnemar']['p'])}" if "mcnemar" in head else None


def _fourfold(head: Mapping[str, Any]) -> Markup:
    """The 2 × 2 table of both models' right and wrong."""
    counts, total = head["mcnemar"], head["samples"]

    def cell(key: str, words: str, style: str = "") -> Markup:
        share = figures.percent(counts[key] / total)
        return tag("td", tag("b", figures.count(counts[key])), tag("span", f"{words}, {share}"), class_=style or None)

    first = tag("tr", tag("th", "Candidate right", scope="row"), cell("both", "both right"), cell("candidate_only", "won", "won"))
    second = tag("tr", tag("th", "Candidate wrong", scope="row"), cell("baseline_only", "lost", "lost"), cell("neither", "neither right"))
    columns = tag("tr", tag("td", class_="corner"), [tag("th", text, scope="col") for text in ("Baseline right", "Baseline wrong")])
    caption = (
        f"Of {figures.count(total)} samples with a label. McNemar's test looks only at those that changed sides and takes samples as "
        "independent; where they come in groups, trust the interval of the difference."
    )
    return tag(
        "div", tag("table", tag("caption", caption), tag("thead", columns), tag("tbody", first, second), class_="fourfold"), class_="scroll"
    )


def _calibration_lead(head: Mapping[str, Any]) -> str:
    difference = head["calibration"]["difference"]
    word, _ = judgement(difference["interval"], higher_is_better=False)
    return (
        f"Expected calibration error of the candidate minus the baseline's: {figures.points(difference['value'])} points "
        f"({figures.points_range(difference['interval'])}), {word}."
    )


def _side_by_side(name: str, head: Mapping[str, Any]) -> Markup:
    sides = (("Candidate", head["calibration"]), ("Baseline", head["calibration"]["baseline"]))
    drawn = [
        reliability(
            f"{name}, {side.lower()}", part, f"{side}: error {figures.percent(part['ece'])} ({figures.percent_range(part['interval'])})"
        )
        for side, part in sides
    ]
    return tag("div", drawn, class_="pair even")


def _lead(cards: list[Card], number: int, kind: str, *, won: bool) -> str:
    if not number:
        return "None."
    what = {
        ("category", True): "right now, wrong before; first those where the baseline was surest",
        ("category", False): "wrong now, right before; first those where the candidate is surest",
        ("number", True): "nearer to their label now; first those that gained most",
        ("number", False): "farther from their label now; first those that lost most",
    }.get((kind, won), f"{'better' if won else 'worse'} now{'; first those that changed most' if cards else ''}")
    shown = f"{len(cards)} of " if 0 < len(cards) < number else ""
    return f"{shown}{figures.count(number)} {'sample' if number == 1 else 'samples'}: {what}."


def _cards(title: str, lead: str, cards: list[Card], budget: Budget) -> Markup:
    return tag("section", tag("h2", title), tag("p", lead, class_="lead"), cards_section(cards, budget) if cards else None)


def _is_right(said: str, answer: Answer, label: Any) -> bool | None:
    return said == answer.label if label >= 0 else None
