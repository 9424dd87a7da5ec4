"""What the model costs, and the baseline beside it: parameters, bytes, latency."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from tasks.evaluation.page import figures
from tasks.evaluation.page.markup import Markup, tag


def cost_section(report: Mapping[str, Any]) -> Markup:
    cost, other = report["cost"], report.get("baseline_cost")
    sides = [cost] if other is None else [cost, other]
    rows = [
        ("Parameters", [figures.count(side["parameters"]) for side in sides]),
        ("Weights", [figures.num_bytes(side["size_bytes"]) for side in sides]),
        ("Latency, median", [_milliseconds(side["latency_ms"]["p50"]) for side in sides]),
        ("Latency, 95th percentile", [_milliseconds(side["latency_ms"]["p95"]) for side in sides]),
    ]
    names = ["This model"] if other is None else ["Candidate", "Baseline"]
    heading = tag("tr", tag("th", "Of", scope="col"), [tag("th", name, scope="col", class_="number") for name in names])
    lines = [
        tag("tr", tag("th", name, scope="row"), [tag("td", value, class_="number strong") for value in values]) for name, values in rows
    ]
    threads = f"{cost['threads']} {'thread' if cost['threads'] == 1 else 'threads'}"
    turns = ", both in turns" if other is not None else ""
    caption = (
        f"Latency is {cost['measured']}: {figures.count(cost['calls'])} calls with one sample each after {cost['warm_up']} for warming up"
        f"{turns}, with {threads} on {cost['machine']}. Another machine gives other times."
    )
    return tag("div", tag("table", tag("caption", caption), tag("thead", heading), tag("tbody", lines)), class_="scroll narrow", id="cost")


def _milliseconds(value: float) -> str:
    return f"{figures.plain(value)}{figures.NARROW}ms"
