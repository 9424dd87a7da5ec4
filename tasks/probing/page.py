"""The page of a probing: each probe on each kind of features, all intervals on one scale. In: what `probes.json` holds. Out: HTML."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from tasks.evaluation.page import figures
from tasks.evaluation.page.axis import Axis, axis_over
from tasks.evaluation.page.document import document, heading, section
from tasks.evaluation.page.interval_rows import drawn_interval, scale, share_text
from tasks.evaluation.page.markup import Markup, join, tag


def page(report: Mapping[str, Any]) -> str:
    """One file that loads nothing."""
    lede = (
        f"Fitted on {report['train_samples']:,} training samples, measured on {report['samples']:,} of {report['split']}, for the label "
        f"{report['label']} with {len(report['classes'])} classes. The model itself was frozen."
    )
    lead = f"Accuracy with its {100 * report['confidence']:g} % interval, resampled by group."
    body = join(heading("probes", f"What frozen features say of {report['label']}", lede), section("Probes", lead, _table(report)))
    return document(f"Probes of {report['label']}", body)


def _entries(report: Mapping[str, Any]) -> Iterator[tuple[str, str, Mapping[str, Any], str]]:
    """Features, probe, numbers, kind of row."""
    for name, probes in report["features"].items():
        for kind, numbers in probes.items():
            if kind != "width":
                yield f"{name} ({probes['width']})", kind, numbers, "full" if name == "fused" else "subset"
    if report["head"] is not None:
        yield "the model", "its own head", report["head"], "baseline"
    yield "none", "commonest class", report["majority"], "baseline"


def _table(report: Mapping[str, Any]) -> Markup:
    entries = list(_entries(report))
    bounds = [bound for *_, numbers, _ in entries for bound in (numbers["accuracy"], *(numbers["interval"] or ()))]
    axis = axis_over(bounds, 2.0, 98.0, within=(0.0, 1.0))
    top = tag(
        "tr",
        tag("th", "Features (width)", scope="col"),
        tag("th", "Probe", scope="col"),
        tag("th", scale(axis, share_text), scope="col", class_="plot", aria_label="Interval, drawn"),
        tag("th", "Accuracy", scope="col", class_="number"),
        tag("th", "Range", scope="col", class_="number wide"),
    )
    content = tag("table", tag("thead", top), tag("tbody", [_row(*entry, axis) for entry in entries]), class_="subsets")
    return tag("div", content, class_="scroll", role="region", tabindex=0, aria_label="Accuracy of every probe")


def _row(features: str, kind: str, numbers: Mapping[str, Any], row: str, axis: Axis) -> Markup:
    spoken = f"{features}, {kind}: {figures.percent(numbers['accuracy'])}, {figures.percent_range(numbers['interval'])}"
    return tag(
        "tr",
        tag("th", features, scope="row"),
        tag("td", kind),
        tag("td", drawn_interval(numbers["accuracy"], numbers["interval"], axis, spoken), class_="plot"),
        tag("td", figures.percent(numbers["accuracy"]), class_="number strong"),
        tag("td", figures.percent_range(numbers["interval"]), class_="number wide soft"),
        class_=row,
    )
