"""The whole page as one file: no link leaves it, a content security policy forbids it to load or send anything.

In: the finished report, the model's curves, cards of samples. Out: `report.html`, below about 3 MB. Style and script are two files beside
this one; the policy names their digests, so that nothing else on the page can ever run.
"""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Mapping, Sequence
from importlib import resources
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from tasks.evaluation.page.cards import Card, cards_section, make_card
from tasks.evaluation.page.choose import choose
from tasks.evaluation.page.confusion import confusion_section
from tasks.evaluation.page.curves import charts, read_metrics
from tasks.evaluation.page.data import data_section
from tasks.evaluation.page.markup import Markup, join, raw_block, shorten, tag
from tasks.evaluation.page.origin import origin_section
from tasks.evaluation.page.scatter import regression_section, scatter
from tasks.evaluation.page.subset_table import subset_table
from tasks.evaluation.page.verdict import masthead, verdict
from tasks.evaluation.predict import Predictions

if TYPE_CHECKING:
    from tasks.shards.read import ShardSet

Labels = Mapping[str, NDArray[Any]]


def write_page(
    path: Path, report: Mapping[str, Any], model_path: Path, shard_set: ShardSet, predictions: Predictions, labels: Labels, recipe_text: str
) -> None:
    """Gather curves and samples, and write the page."""
    split = report["split"]
    chosen = choose(predictions, labels, np.asarray(shard_set.groups(split)))
    samples = shard_set.samples(split, chosen)
    cards = [make_card(at, sample.members, predictions, labels) for at, sample in zip(chosen, samples, strict=True)]
    model = json.loads((model_path / "model.json").read_bytes())
    curves = charts(read_metrics(model_path / "metrics.jsonl"), model.get("best_epoch"))
    path.write_text(render_page(report, curves, cards, scatters(predictions, labels), recipe_text), encoding="utf-8")


def scatters(predictions: Predictions, labels: Labels) -> dict[str, Markup]:
    """Regression head → its picture."""
    return {
        name: scatter(name, labels[name], list(head.by_subset.values())[-1]) for name, head in predictions.heads.items() if not head.classes
    }


def render_page(
    report: Mapping[str, Any], curves: Sequence[Markup], cards: list[Card], pictures: Mapping[str, Markup], recipe_text: str
) -> str:
    """`pictures`: regression head → scatter."""
    several = len(report["heads"]) > 1
    parts: list[Markup | None] = [masthead(report)]
    for name, head in report["heads"].items():
        parts.append(tag("h2", shorten(name, 60), class_="head-name") if several else None)
        parts.append(verdict(name, head, report))
        parts.append(
            _section(
                "What each modality brings",
                "The same samples, with only some modalities shown to the model.",
                subset_table(head, report["baseline"]),
            )
        )
        if head["kind"] == "category":
            parts.append(_section("Where it errs", "", confusion_section(head)))
        else:
            parts.append(_section("Predictions", "", regression_section(head, pictures[name])))
    if cards:
        parts.append(_section("Samples", _cards_lead(cards), cards_section(cards)))
    if curves:
        parts.append(_section("Training", "", tag("div", curves, class_="curves")))
    parts.append(_section("Data", "", data_section(report["data"])))
    parts.append(_section("Origin", "", origin_section(report, recipe_text)))
    title = f"{shorten(report['lineage']['recipe'] or 'Medley', 60)}: evaluation on {report['split']}"
    return _document(title, join(parts))


def _section(title: str, lead: str, content: Markup) -> Markup:
    return tag("section", tag("h2", title), tag("p", lead, class_="lead") if lead else None, content)


def _cards_lead(cards: list[Card]) -> str:
    first = cards[0].answers[0].head
    if any(card.answers[0].is_right is False for card in cards):
        what = f"whose {shorten(first, 60)} it got right" if len(cards[0].answers) > 1 else "that it got right"
        return f"First samples {what}, drawn at random, one class after the other; then the errors it was most sure of."
    return "Drawn at random, one class after the other; for numbers the largest errors come last."


def _document(title: str, body: Markup) -> str:
    style, script = _own_file("page.css"), _own_file("page.js")
    policy = (
        f"default-src 'none'; img-src data:; media-src data:; style-src '{_digest(style)}'; script-src '{_digest(script)}'; "
        "base-uri 'none'; form-action 'none'"
    )
    head = tag(
        "head",
        tag("meta", charset="utf-8"),
        tag("meta", http_equiv="Content-Security-Policy", content=policy),
        tag("meta", name="viewport", content="width=device-width, initial-scale=1"),
        tag("meta", name="color-scheme", content="light dark"),
        tag("link", rel="icon", href="data:,"),
        tag("title", title),
        raw_block("style", style),
    )
    page = tag("html", head, tag("body", tag("main", body), raw_block("script", script)), lang="en")
    return f"<!doctype html>\n{page}\n"


def _own_file(name: str) -> str:
    return resources.files("tasks.evaluation.page").joinpath(name).read_text(encoding="utf-8")


def _digest(text: str) -> str:
    return f"sha256-{base64.b64encode(hashlib.sha256(text.encode('utf-8')).digest()).decode('ascii')}"
