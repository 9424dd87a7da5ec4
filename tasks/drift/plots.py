"""Both distributions of a feature in one picture: the reference as an area, the new data as a line.

In: values or classes of both sides. Out: SVG as markup. Shares, not counts, so that sides of different sizes compare.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from tasks.drift.features import unit_of
from tasks.evaluation.page import figures
from tasks.evaluation.page.axis import Axis, axis_over
from tasks.evaluation.page.markup import Markup, shorten, tag

BINS = 32
_WIDTH, _HEIGHT = 460, 210
_LEFT, _RIGHT, _TOP, _FLOOR = 46, _WIDTH - 10, 12, _HEIGHT - 36
_ROW = 26


def histogram(feature: str, first_N: NDArray[np.float64], second_M: NDArray[np.float64]) -> Markup:
    """Of a number. Its axis leaves out the outermost half percent on either side, unless that is where the two differ."""
    low, high = (float(level) for level in _range(first_N, second_M))
    edges = np.linspace(low, high, BINS + 1)
    shares = [np.histogram(np.clip(values, low, high), edges)[0] / len(values) for values in (first_N, second_M)]
    across = Axis(low, high, _LEFT, _RIGHT)
    up = axis_over([0.0, *shares[0], *shares[1]], _FLOOR, _TOP, within=(0.0, 1.0))
    bars = [
        tag("rect", x=across(left), width=across(right) - across(left), y=up(share), height=up(0) - up(share), class_="share")
        for left, right, share in zip(edges[:-1], edges[1:], shares[0], strict=True)
        if share
    ]
    points = [(across(edge), up(share)) for edge, share in _steps(edges, shares[1])]
    strips = [
        tag("rect", x=across(left), y=_TOP, width=across(right) - across(left), height=_FLOOR - _TOP, class_="band", data_tip=told)
        for left, right, told in zip(edges[:-1], edges[1:], _tips(edges, *shares), strict=True)
    ]
    line = tag("polyline", points=" ".join(f"{x:.1f},{y:.1f}" for x, y in points), class_="curve val")
    return _framed(feature, _grid(across, up, unit_of(feature)), bars, line, strips)


def class_bars(feature: str, shares: Mapping[str, Sequence[float]]) -> Markup:
    """Of a class: a bar for the reference, a line across it for the new data."""
    kinds = sorted(shares, key=lambda kind: -max(shares[kind]))
    height = _TOP + _ROW * len(kinds) + 30
    across = Axis(0.0, max(0.05, *(share for pair in shares.values() for share in pair)), 118, _WIDTH - 56)
    drawn = []
    for row, kind in enumerate(kinds):
        one, other = shares[kind]
        y = _TOP + row * _ROW
        drawn.append(tag("text", shorten(kind, 16), x=across.start - 8, y=y + 14, text_anchor="end"))
        drawn.append(tag("rect", x=across.start, y=y + 2, width=across(one) - across.start, height=_ROW - 8, class_="share"))
        drawn.append(tag("rect", x=across.start, y=y + 8, width=across(other) - across.start, height=_ROW - 20, class_="share true"))
        drawn.append(tag("text", figures.percent(other), x=_WIDTH - 4, y=y + 14, text_anchor="end"))
        told = f"{shorten(kind, 60)}\nreference {figures.percent(one)}\nnew {figures.percent(other)}"
        drawn.append(tag("rect", x=0, y=y, width=_WIDTH, height=_ROW, class_="band", data_tip=told))
    return _framed(feature, None, drawn, height=height)


def legend() -> Markup:
    """What area and line are."""
    parts = (("key", "reference"), ("key val", "new data"))
    return tag("figcaption", [tag("span", tag("i", class_=kind), words, class_="legend") for kind, words in parts])


def _tips(edges: NDArray[np.float64], first: NDArray[np.float64], second: NDArray[np.float64]) -> list[str]:
    return [
        f"{figures.plain(float(left))} to {figures.plain(float(right))}\nreference {figures.percent(one)}\nnew {figures.percent(other)}"
        for left, right, one, other in zip(edges[:-1], edges[1:], first, second, strict=True)
    ]


def _range(first: NDArray[np.float64], second: NDArray[np.float64]) -> tuple[float, float]:
    low = min(float(np.quantile(values, 0.005)) for values in (first, second))
    high = max(float(np.quantile(values, 0.995)) for values in (first, second))
    if high - low < 1e-9 * max(1.0, abs(high)):
        pad = 0.5 if high == 0 else abs(high) * 0.05
        return low - pad, high + pad
    return low, high


def _steps(edges: NDArray[np.float64], shares: NDArray[np.float64]) -> list[tuple[float, float]]:
    """Corners of the outline of a histogram."""
    corners = [(float(edges[0]), 0.0)]
    for left, right, share in zip(edges[:-1], edges[1:], shares, strict=True):
        corners += [(float(left), float(share)), (float(right), float(share))]
    return [*corners, (float(edges[-1]), 0.0)]


def _grid(across: Axis, up: Axis, unit: str) -> Markup:
    lines: list[Markup] = []
    for tick in up.ticks(3):
        lines.append(tag("line", x1=across.start, x2=across.end, y1=up(tick), y2=up(tick), class_="grid"))
        lines.append(tag("text", figures.percent(tick, 0), x=across.start - 8, y=up(tick) + 4, text_anchor="end"))
    lines += [tag("text", across.tick_text(tick), x=across(tick), y=up.start + 16, text_anchor="middle") for tick in across.ticks()]
    lines.append(tag("line", x1=across.start, x2=across.end, y1=up.start, y2=up.start, class_="base"))
    lines.append(tag("text", unit, x=across.end, y=up.start + 31, text_anchor="end", class_="axis"))
    return tag("g", lines)


def _framed(feature: str, *parts: Markup | Sequence[Markup] | None, height: float = _HEIGHT) -> Markup:
    return tag("svg", *parts, viewBox=f"0 0 {_WIDTH} {height:g}", role="img", aria_label=f"{feature} in both", class_="chart")
