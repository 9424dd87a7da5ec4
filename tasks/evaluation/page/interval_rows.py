"""A value and its interval as the drawn cell of a table's row, and the scale over such a column.

In: numbers and the axis that all rows of a table share. Out: SVG as wide as its cell; positions are percent, so that it fits any width.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from tasks.evaluation.page import figures
from tasks.evaluation.page.axis import Axis
from tasks.evaluation.page.markup import Markup, tag


def drawn_interval(value: float, bounds: Sequence[float] | None, axis: Axis, spoken: str, *, mark: float | None = None) -> Markup:
    """A dot with its whisker; `mark` is a line through all rows, such as zero or the value over all samples."""
    whisker = None
    if bounds is not None:
        whisker = tag("line", x1=_at(axis, bounds[0]), x2=_at(axis, bounds[1]), y1=14, y2=14, class_="whisker")
    grid = [tag("line", x1=_at(axis, tick), x2=_at(axis, tick), y1=0, y2=28, class_="grid") for tick in axis.ticks()]
    line = None if mark is None else tag("line", x1=_at(axis, mark), x2=_at(axis, mark), y1=0, y2=28, class_="mark")
    return tag(
        "svg",
        grid,
        line,
        whisker,
        tag("circle", cx=_at(axis, value), cy=14, r=5.5, class_="dot"),
        width="100%",
        height=28,
        role="img",
        aria_label=spoken,
    )


def scale(axis: Axis, text: Callable[[float], str]) -> Markup:
    """The axis's ticks in words, for the column's heading."""
    texts = [
        tag(
            "text",
            text(tick),
            x=_at(axis, tick),
            y=13,
            text_anchor="middle" if 5 < axis(tick) < 95 else ("start" if axis(tick) <= 5 else "end"),
        )
        for tick in axis.ticks()
    ]
    return tag("svg", texts, width="100%", height=18, class_="scale", aria_hidden="true")


def share_text(tick: float) -> str:
    return f"{100 * tick:g}{figures.NARROW}%"


def points_text(tick: float) -> str:
    """Of a difference of shares, in percentage points."""
    return figures.signed(100 * tick, 0 if abs(100 * tick - round(100 * tick)) < 1e-9 else 1)


def _at(axis: Axis, value: float) -> str:
    return f"{axis(value):.2f}%"
