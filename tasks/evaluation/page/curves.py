"""Training curves: one small chart a metric, training and validation in one, with the values under the pointer and in a table.

In: the lines of a model's `metrics.jsonl`: `step`, `epoch` (counted from 0; shown from 1) and named values such
as `train/loss`, `val/digit/accuracy`.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

from tasks.evaluation.page import figures
from tasks.evaluation.page.axis import Axis, axis_over
from tasks.evaluation.page.markup import Markup, shorten, tag

MAX_CHARTS = 6
MAX_POINTS = 160
_WIDTH, _HEIGHT = 460, 256
_PARTS = ("train", "val")

Lines = Sequence[Mapping[str, Any]]


@dataclass(frozen=True)
class Series:
    """One curve: (step, epoch, value), in order of steps."""

    part: str
    points: list[tuple[float, float, float]]


def read_metrics(path: Path) -> list[dict[str, Any]]:
    """The lines of `metrics.jsonl`; none when the file is absent."""
    if not path.exists():
        return []
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines() if line.strip()]


def charts(lines: Lines, best_epoch: int | None) -> list[Markup]:
    """Loss first, then what is measured on validation; quantities of the machinery (rates, seconds) are left to MLflow.

    `best_epoch` is counted from 1. A single head's loss is the loss, so it is not drawn twice.
    """
    grouped = _grouped(lines)
    names = sorted(grouped, key=lambda name: (name != "loss", not any(series.part == "val" for series in grouped[name]), name))
    losses = [name for name in names if name.endswith("/loss")]
    shown = [
        name
        for name in names
        if name == "loss" or (any(series.part == "val" for series in grouped[name]) and not (losses == [name] and "loss" in grouped))
    ]
    best_step = _step_of(lines, best_epoch)
    return [_chart(name, grouped[name], best_step) for name in (shown or names)[:MAX_CHARTS]]


def _grouped(lines: Lines) -> dict[str, list[Series]]:
    found: dict[str, dict[str, list[tuple[float, float, float]]]] = {}
    for line in lines:
        for key, value in line.items():
            part, _, name = key.partition("/")
            if part in _PARTS and name and isinstance(value, int | float) and math.isfinite(value):
                found.setdefault(name, {}).setdefault(part, []).append((float(line["step"]), float(line.get("epoch", 0)) + 1, float(value)))
    return {name: [Series(part, _thinned(parts[part])) for part in _PARTS if part in parts] for name, parts in found.items()}


def _thinned(points: list[tuple[float, float, float]]) -> list[tuple[float, float, float]]:
    """At most MAX_POINTS, each the mean of its neighbours."""
    width = math.ceil(len(points) / MAX_POINTS)
    if width == 1:
        return points
    chunks = [points[start : start + width] for start in range(0, len(points), width)]
    return [(chunk[-1][0], chunk[-1][1], sum(point[2] for point in chunk) / len(chunk)) for chunk in chunks]


def _step_of(lines: Lines, epoch: int | None) -> float | None:
    """The step at which the validation after an epoch, counted from 1, was written."""
    steps = sorted({float(line["step"]) for line in lines if any(key.startswith("val/") for key in line)})
    return steps[epoch - 1] if epoch is not None and 0 < epoch <= len(steps) else None


def _chart(name: str, parts: list[Series], best_step: float | None) -> Markup:
    steps = [point[0] for series in parts for point in series.points]
    values = [point[2] for series in parts for point in series.points]
    across = axis_over(steps, 50, _WIDTH - 14)
    across = Axis(min(steps), max(max(steps), min(steps) + 1), across.start, across.end)
    up = axis_over(values, _HEIGHT - 40, 22)
    picture = tag(
        "svg",
        _frame(across, up),
        _kept(best_step, across, up),
        [_line(series, across, up) for series in parts],
        _bands(parts, across, up),
        viewBox=f"0 0 {_WIDTH} {_HEIGHT}",
        role="img",
        aria_label=f"{shorten(name, 60)} over training steps",
        class_="chart",
    )
    legend = [tag("span", tag("i", class_=f"key {series.part}"), _part_words(series.part), class_="legend") for series in parts]
    return tag("figure", tag("figcaption", tag("b", shorten(name.replace("/", " · "), 60)), legend), picture, _values(name, parts))


def _frame(across: Axis, up: Axis) -> Markup:
    drawn = []
    for tick in up.ticks():
        drawn.append(tag("line", x1=across.start, x2=across.end, y1=up(tick), y2=up(tick), class_="grid"))
        drawn.append(tag("text", up.tick_text(tick), x=across.start - 8, y=up(tick) + 4, text_anchor="end"))
    drawn += [tag("text", across.tick_text(tick), x=across(tick), y=up.start + 18, text_anchor="middle") for tick in across.ticks()]
    drawn.append(tag("line", x1=across.start, x2=across.end, y1=up.start, y2=up.start, class_="base"))
    drawn.append(tag("text", "step", x=across.end, y=up.start + 34, text_anchor="end", class_="axis"))
    return tag("g", drawn)


def _line(series: Series, across: Axis, up: Axis) -> Markup:
    if len(series.points) == 1:
        step, _, value = series.points[0]
        return tag("circle", cx=across(step), cy=up(value), r=4, class_=f"curve-dot {series.part}")
    path = " ".join(f"{across(step):.1f},{up(value):.1f}" for step, _, value in series.points)
    dots = [tag("circle", cx=across(step), cy=up(value), r=3, class_=f"curve-dot {series.part}") for step, _, value in series.points]
    return tag("g", tag("polyline", points=path, class_=f"curve {series.part}"), dots if len(dots) <= 30 else None)


def _kept(best_step: float | None, across: Axis, up: Axis) -> Markup | None:
    if best_step is None:
        return None
    at = across(best_step)
    return tag(
        "g",
        tag("line", x1=at, x2=at, y1=up.start, y2=up.end, class_="kept"),
        tag("text", "kept", x=at, y=up.end - 6, text_anchor="middle", class_="axis"),
    )


def _bands(parts: list[Series], across: Axis, up: Axis) -> Markup:
    """An invisible strip around each step that tells its values."""
    told: dict[float, list[str]] = {}
    for series in parts:
        for step, epoch, value in series.points:
            told.setdefault(step, [f"step {figures.count(step)}, epoch {epoch:g}"]).append(
                f"{_part_words(series.part)} {figures.plain(value)}"
            )
    steps = sorted(told)
    edges = [across.start, *((across(a) + across(b)) / 2 for a, b in pairwise(steps)), across.end]
    strips = [
        tag("rect", x=left, y=up.end, width=max(right - left, 0.5), height=up.start - up.end, class_="band", data_tip="\n".join(told[step]))
        for step, left, right in zip(steps, edges, edges[1:], strict=False)
    ]
    return tag("g", strips)


def _values(name: str, parts: list[Series]) -> Markup:
    """The last value of each epoch, for those who cannot see or hover."""
    by_epoch: dict[float, dict[str, float]] = {}
    for series in parts:
        for _, epoch, value in series.points:
            by_epoch.setdefault(epoch, {})[series.part] = value
    epochs = sorted(by_epoch)
    thin = epochs[:: math.ceil(len(epochs) / 50)] if len(epochs) > 50 else epochs
    columns = [series.part for series in parts]
    heading = tag("tr", tag("th", "Epoch", scope="col"), [tag("th", _part_words(part), scope="col", class_="number") for part in columns])
    rows = [
        tag(
            "tr",
            tag("th", f"{epoch:g}", scope="row"),
            [tag("td", figures.plain(by_epoch[epoch].get(part)), class_="number") for part in columns],
        )
        for epoch in thin
    ]
    table = tag("table", tag("caption", f"{shorten(name, 60)}, last value of each epoch"), tag("thead", heading), tag("tbody", rows))
    return tag("details", tag("summary", "Values"), tag("div", table, class_="scroll"))


def _part_words(part: str) -> str:
    return {"train": "training", "val": "validation"}[part]
