"""Regression: predictions over labels, with the line where both are equal."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tasks.evaluation.page import figures
from tasks.evaluation.page.axis import axis_over
from tasks.evaluation.page.markup import Markup, shorten, tag

MAX_POINTS = 1200
_SIDE = 440


def regression_section(head: Mapping[str, Any], picture: Markup) -> Markup:
    """The picture beside the three metrics."""
    metrics = (("RMSE", "rmse", "interval"), ("MAE", "mae", "mae_interval"), ("R²", "r2", "r2_interval"))
    rows = [
        tag(
            "tr",
            tag("th", name, scope="row"),
            tag("td", figures.plain(head[value]), class_="number strong"),
            tag("td", figures.plain_range(head[bounds]), class_="number soft"),
        )
        for name, value, bounds in metrics
    ]
    heading = tag("tr", tag("th", "Metric", scope="col"), [tag("th", text, scope="col", class_="number") for text in ("Value", "Range")])
    caption = tag("caption", f"Over {figures.count(head['samples'])} samples, in the label's own unit.")
    return tag("div", picture, tag("div", tag("table", caption, tag("thead", heading), tag("tbody", rows)), class_="scroll"), class_="pair")


def scatter(name: str, labels_N: NDArray[np.float64], predictions_N: NDArray[np.float64]) -> Markup:
    known = np.isfinite(labels_N) & np.isfinite(predictions_N)
    labels, predictions = labels_N[known], predictions_N[known]
    drawn = np.linspace(0, labels.size - 1, min(MAX_POINTS, labels.size)).astype(int)
    values = [float(value) for value in (*labels, *predictions)]
    across, up = axis_over(values, 52, _SIDE - 12), axis_over(values, _SIDE - 44, 12)
    dots = [
        tag(
            "circle",
            cx=across(float(labels[i])),
            cy=up(float(predictions[i])),
            r=3,
            class_="point",
            data_tip=_tip(labels[i], predictions[i]),
        )
        for i in drawn
    ]
    shown = f" {figures.count(len(drawn))} of {figures.count(labels.size)} samples are drawn." if len(drawn) < labels.size else ""
    picture = tag(
        "svg",
        _grid(across, up),
        tag("line", x1=across(across.low), y1=up(up.low), x2=across(across.high), y2=up(up.high), class_="equal"),
        tag("g", dots),
        tag("text", "label", x=(across.start + across.end) / 2, y=_SIDE - 6, text_anchor="middle", class_="axis"),
        tag("text", "prediction", x=14, y=_SIDE / 2, text_anchor="middle", transform=f"rotate(-90 14 {_SIDE / 2})", class_="axis"),
        viewBox=f"0 0 {_SIDE} {_SIDE}",
        role="img",
        aria_label=f"Predictions of {shorten(name, 60)} over labels",
        class_="chart square",
    )
    return tag("figure", picture, tag("figcaption", f"On the line a prediction equals its label.{shown}"))


def _grid(across: Any, up: Any) -> Markup:
    lines = []
    for tick in across.ticks():
        lines.append(tag("line", x1=across(tick), x2=across(tick), y1=up.start, y2=up.end, class_="grid"))
        lines.append(tag("text", across.tick_text(tick), x=across(tick), y=up.start + 17, text_anchor="middle"))
        lines.append(tag("line", x1=across.start, x2=across.end, y1=up(tick), y2=up(tick), class_="grid"))
        lines.append(tag("text", up.tick_text(tick), x=across.start - 8, y=up(tick) + 4, text_anchor="end"))
    lines.append(tag("line", x1=across.start, x2=across.end, y1=up.start, y2=up.start, class_="base"))
    lines.append(tag("line", x1=across.start, x2=across.start, y1=up.start, y2=up.end, class_="base"))
    return tag("g", lines)


def _tip(label: float, prediction: float) -> str:
    return f"label {figures.plain(float(label))}, prediction {figures.plain(float(prediction))}"
