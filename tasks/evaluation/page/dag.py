"""The run's graph, drawn from left to right: each step in the column after its last input, long edges on a lane of their own.

In: the steps of the lineage. Outside references (`models:/digits@champion`) are dashed boxes in the first column.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from graphlib import TopologicalSorter
from typing import Any

from tasks.evaluation.page.markup import Markup, shorten, tag
from tasks.evaluation.page.together import together

Steps = Sequence[Mapping[str, Any]]

_BOX_W, _BOX_H = 142, 68
_GAP_X, _GAP_Y = 38, 22
_LANE_H = 16
_MARGIN = 2


@dataclass
class _Column:
    """What stands one above the other: box names, and edges that only pass through."""

    boxes: list[str] = field(default_factory=list)
    lanes: list[tuple[str, str]] = field(default_factory=list)


def dag(steps: Steps, here: str) -> Markup:
    """`here` is the step this page belongs to. A family of variants is one box."""
    steps, here = together(steps, here)
    by_name = {step["name"]: step for step in steps}
    outside = sorted({source for step in steps for source in step["inputs"].values() if source not in by_name})
    edges = list(dict.fromkeys((source, step["name"]) for step in steps for source in step["inputs"].values()))
    level = _levels(by_name, outside)
    columns = _columns(level, edges)
    place = _places(columns)
    width = 2 * _MARGIN + len(columns) * _BOX_W + (len(columns) - 1) * _GAP_X
    height = 2 * _MARGIN + max(_column_height(column) for column in columns)
    return tag(
        "svg",
        [_edge(edge, level, place) for edge in edges],
        [_box(name, by_name.get(name), place[name], here) for name in level],
        viewBox=f"0 0 {width} {height}",
        width=width,
        height=height,
        role="img",
        aria_label=_spoken(steps),
        class_="dag",
    )


def _levels(by_name: Mapping[str, Mapping[str, Any]], outside: list[str]) -> dict[str, int]:
    """Column of each box: one more than the last of its inputs. The recipe's graph has no cycles."""
    sources = {name: [source for source in step["inputs"].values() if source in by_name] for name, step in by_name.items()}
    level: dict[str, int] = {}
    for name in TopologicalSorter(sources).static_order():
        level[name] = 1 + max((level[source] for source in sources[name]), default=-1)
    level = {name: level[name] for name in by_name}
    for reference in outside:
        users = [level[name] for name, step in by_name.items() if reference in step["inputs"].values()]
        level[reference] = max(0, min(users) - 1)
    return level


def _columns(level: Mapping[str, int], edges: list[tuple[str, str]]) -> list[_Column]:
    columns = [_Column() for _ in range(max(level.values()) + 1)]
    for name, at in level.items():
        columns[at].boxes.append(name)
    for source, target in sorted(edges, key=lambda edge: level[edge[1]] - level[edge[0]]):
        for at in range(level[source] + 1, level[target]):
            columns[at].lanes.append((source, target))
    return columns


def _column_height(column: _Column) -> int:
    return (
        len(column.boxes) * (_BOX_H + _GAP_Y) - (_GAP_Y if column.boxes else 0) + len(column.lanes) * _LANE_H + (8 if column.lanes else 0)
    )


def _places(columns: list[_Column]) -> dict[Any, tuple[float, float]]:
    """Box name → its left top corner; (source, target, column) → the height of a lane."""
    place: dict[Any, tuple[float, float]] = {}
    for at, column in enumerate(columns):
        x = _MARGIN + at * (_BOX_W + _GAP_X)
        y = float(_MARGIN)
        for name in column.boxes:
            place[name] = (x, y)
            y += _BOX_H + _GAP_Y
        y += 8 - (_GAP_Y if column.boxes else 0)
        for lane in column.lanes:
            place[(*lane, at)] = (x, y + _LANE_H / 2)
            y += _LANE_H
    return place


def _edge(edge: tuple[str, str], level: Mapping[str, int], place: Mapping[Any, tuple[float, float]]) -> Markup:
    source, target = edge
    x, y = place[source][0] + _BOX_W, place[source][1] + _BOX_H / 2
    path = [f"M{x:.1f} {y:.1f}"]
    for at in range(level[source] + 1, level[target]):
        lane_x, lane_y = place[(source, target, at)]
        path.append(_curve(x, y, lane_x, lane_y))
        path.append(f"H{lane_x + _BOX_W:.1f}")
        x, y = lane_x + _BOX_W, lane_y
    end_x, end_y = place[target][0], place[target][1] + _BOX_H / 2
    path.append(_curve(x, y, end_x - 5, end_y))
    arrow = f"M{end_x - 7:.1f} {end_y - 4:.1f} L{end_x - 1:.1f} {end_y:.1f} L{end_x - 7:.1f} {end_y + 4:.1f}"
    return tag(
        "g", tag("path", d=" ".join(path)), tag("path", d=arrow), class_="edge", data_edge=f"{shorten(source, 40)} to {shorten(target, 40)}"
    )


def _curve(x: float, y: float, to_x: float, to_y: float) -> str:
    middle = (x + to_x) / 2
    return f"C{middle:.1f} {y:.1f} {middle:.1f} {to_y:.1f} {to_x:.1f} {to_y:.1f}"


def _box(name: str, step: Mapping[str, Any] | None, at: tuple[float, float], here: str) -> Markup:
    x, y = at
    frame = tag("rect", x=x, y=y, width=_BOX_W, height=_BOX_H, rx=9)
    if step is None:
        shown, _, alias = name.partition("@")
        lines, status, kind = [shorten(shown, 17), f"@{shorten(alias, 16)}" if alias else "", ""], "outside this run", "outside"
    else:
        lines, kind = [shorten(name, 15), shorten(step["task"], 18), step["key"][:8]], "step"
        status = shorten(step["status"] or "later", 10)
        if name == here:
            status, kind = "this page", "here"
    texts = [
        tag("text", lines[0], x=x + 12, y=y + 22, class_="name"),
        tag("text", lines[1], x=x + 12, y=y + 39, class_="task"),
        tag("text", lines[2], x=x + 12, y=y + 56, class_="key-text"),
        tag("text", status, x=x + _BOX_W - 12 if step else x + 12, y=y + 56, text_anchor="end" if step else "start", class_="status"),
    ]
    return tag("g", tag("title", f"{shorten(name, 80)} {step['key'] if step else ''}"), frame, texts, class_=f"box {kind}")


def _spoken(steps: Steps) -> str:
    parts = [f"{step['name']} ({step['task']}) from {', '.join(step['inputs'].values()) or 'its source'}" for step in steps]
    return shorten(f"Steps of the run: {'; '.join(parts)}", 800)
