"""The report's page, as one file.

In: the finished report, the model's curves, cards of samples. Out: `report.html`, below about 3 MB.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from tasks.evaluation.measures import UNMEASURED
from tasks.evaluation.page.cards import MEDIA_BUDGET, Card, cards_section, make_card
from tasks.evaluation.page.choose import choose
from tasks.evaluation.page.confusion import confusion_section
from tasks.evaluation.page.cost_table import cost_section
from tasks.evaluation.page.curves import charts, read_metrics
from tasks.evaluation.page.data import data_section
from tasks.evaluation.page.document import beside, document, section
from tasks.evaluation.page.kinds import kind_sections, unmeasured_section
from tasks.evaluation.page.markup import Markup, join, shorten, tag
from tasks.evaluation.page.members import Budget
from tasks.evaluation.page.nearest import Example, examples
from tasks.evaluation.page.origin import origin_section
from tasks.evaluation.page.reliability import sureness_section
from tasks.evaluation.page.scatter import regression_section, scatter
from tasks.evaluation.page.slice_tables import slices_section
from tasks.evaluation.page.subset_table import subset_table
from tasks.evaluation.page.verdict import masthead, verdict
from tasks.evaluation.predict import Predictions
from tasks.evaluation.scoring import Compared

if TYPE_CHECKING:
    from tasks.shards.read import ShardSet

Labels = Mapping[str, NDArray[Any]]

SURENESS = "Samples by the probability of the answer. On the dashed line it is right as often as it is sure."


def write_page(
    path: Path,
    report: Mapping[str, Any],
    model_path: Path,
    shard_set: ShardSet,
    predictions: Predictions,
    labels: Labels,
    recipe_text: str,
    scored: Mapping[str, Compared],
) -> None:
    """Gather curves and samples, and write the page."""
    split = report["split"]
    chosen = choose(predictions, labels, np.asarray(shard_set.groups(split)), scored)
    samples = shard_set.samples(split, chosen)
    cards = [make_card(at, sample.members, predictions, labels) for at, sample in zip(chosen, samples, strict=True)]
    model = json.loads((model_path / "model.json").read_bytes())
    curves = charts(read_metrics(model_path / "metrics.jsonl"), model.get("best_epoch"))
    found = {name: examples(given, shard_set, split) for name, given in scored.items() if given.kind == "retrieval"}
    path.write_text(render_page(report, curves, cards, scatters(predictions, labels), recipe_text, found), encoding="utf-8")


def scatters(predictions: Predictions, labels: Labels) -> dict[str, Markup]:
    """Regression head → its picture."""
    return {name: scatter(name, labels[name], head.full) for name, head in predictions.heads.items() if head.kind == "number"}


def render_page(
    report: Mapping[str, Any],
    curves: Sequence[Markup],
    cards: list[Card],
    pictures: Mapping[str, Markup],
    recipe_text: str,
    found: Mapping[str, Sequence[Example]] | None = None,
) -> str:
    """`pictures`: regression head → scatter. `found`: retrieval head → queries with what is nearest."""
    several, budget = len(report["heads"]) > 1, Budget(MEDIA_BUDGET)
    parts: list[Markup | None] = [
        masthead(report),
        beside("comparison.html", "Candidate and baseline side by side") if report["baseline"] else None,
    ]
    for name, head in report["heads"].items():
        parts.append(tag("h2", shorten(name, 60), class_="head-name") if several else None)
        if head["kind"] == UNMEASURED:
            parts.append(unmeasured_section(name, head))
            continue
        parts.append(verdict(name, head, report))
        if len(head["by_modalities"]) > 1:
            parts.append(
                section(
                    "What each modality brings",
                    "The same samples, with only some modalities shown to the model.",
                    subset_table(head, report["baseline"]),
                )
            )
        if head["kind"] == "category":
            parts.append(section("Where it errs", "", confusion_section(head)))
            parts.append(section("How sure it is", SURENESS, sureness_section(name, head, report["split"])))
        elif head["kind"] == "number":
            parts.append(section("Predictions", "", regression_section(head, pictures[name])))
        else:
            parts += kind_sections(head, (found or {}).get(name, ()), budget)
        if (slices := slices_section(name, report)) is not None:
            parts.append(section("Slices", "The same numbers for each value of a column of the corpus.", slices))
    if cards:
        parts.append(section("Samples", _cards_lead(cards), cards_section(cards, budget)))
    if curves:
        parts.append(section("Training", "", tag("div", curves, class_="curves")))
    parts.append(section("Cost", "", cost_section(report)))
    parts.append(section("Data", "", data_section(report["data"])))
    parts.append(section("Origin", "", origin_section(report, recipe_text)))
    title = f"{shorten(report['lineage']['recipe'] or 'Medley', 60)}: evaluation on {report['split']}"
    return document(title, join(parts))


def _cards_lead(cards: list[Card]) -> str:
    first = cards[0].answers[0].head
    if cards[0].answers[0].is_long:
        return f"First samples of the better half by {shorten(first, 60)}, drawn at random; then the worst."
    if any(card.answers[0].is_right is False for card in cards):
        what = f"whose {shorten(first, 60)} it got right" if len(cards[0].answers) > 1 else "that it got right"
        return f"First samples {what}, drawn at random, one class after the other; then the errors it was most sure of."
    return "Drawn at random, one class after the other; for numbers the largest errors come last."
