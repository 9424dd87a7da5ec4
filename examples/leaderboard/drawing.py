"""A leaderboard drawn: the page, its figure, and the table of the README. In: a `leaderboard.Board`. Out: HTML, SVG and Markdown.

The page is one of `tasks.evaluation.page`: one file, nothing is loaded, nothing is sent.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from tasks.evaluation.page import figures
from tasks.evaluation.page.axis import Axis, axis_over
from tasks.evaluation.page.document import document, heading, section
from tasks.evaluation.page.interval_rows import drawn_interval, scale, share_text
from tasks.evaluation.page.markup import Markup, join, tag

if TYPE_CHECKING:
    from leaderboard import Board, Row
    from paired import Paired

COLOURS = {"early": "#2a6fbb", "late": "#c2410c", "hybrid": "#2f7d4f", "alone": "#6b7280"}
WIDTH, LEFT, ROW, TOP, BOTTOM = 760, 140, 30, 34, 42
SIGNIFICANT = 0.05


def page(board: Board) -> str:
    """The whole page."""
    lede = (
        f"{len(board.rows)} models over {_seeds(board)}, each measured on the same {board.num_samples:,} test samples. One "
        "budget of parameters and steps for all. Intervals are of both: other seeds and other pictures."
    )
    notes = [f"{len(board.missing)} reports are not there yet; only seeds that all models have are counted."] if board.missing else []
    compared = (
        f"Compared with {_name(board.reference.placement, board.reference.name)}, which has the lowest validation loss. p-values are "
        "two-sided and Holm's over all rows: by seed, a paired t-test; by sample, a permutation of whole pictures."
    )
    body = join(
        heading("leaderboard", "Fusions and where they stand", lede, notes),
        section("At a glance", "Accuracy on the test split with its 95 % interval; grey lines are a modality alone.", figure(board)),
        section("Late fusion over the best single modality", "", _claims(board.late_over_single)),
        section("All models", compared, _rows(board)),
    )
    return document("Leaderboard of fusions", body)


def figure(board: Board, *, standalone: bool = False) -> Markup:
    """A line a fusion, a dot a placement; fusions in the order of their best placement."""
    fused = [row for row in board.rows if row.model.placement != "alone"]
    names = list(dict.fromkeys(row.model.name for row in fused))
    bounds = [bound for row in board.rows for bound in (row.accuracy.low, row.accuracy.high)]
    axis = axis_over(bounds, LEFT, WIDTH - 20, within=(0.0, 1.0))
    height = TOP + ROW * len(names) + BOTTOM
    drawn = [_ticks(axis, height), _singles(board, axis, height), _legend()]
    for place, name in enumerate(names):
        y = TOP + ROW * place + ROW / 2
        drawn.append(tag("text", name, x=LEFT - 12, y=y + 4, text_anchor="end", fill="currentColor", font_size=13))
        mine = [row for row in fused if row.model.name == name]
        drawn += [_dot(row, axis, y + 7 * (list(COLOURS).index(row.model.placement) - 1)) for row in mine]
    size = {"width": WIDTH, "height": height} if standalone else {"width": "100%"}
    ground = tag("rect", width=WIDTH, height=height, fill="#ffffff") if standalone else None
    return tag(
        "svg",
        ground,
        drawn,
        viewBox=f"0 0 {WIDTH} {height}",
        role="img",
        aria_label="Accuracy of every fusion in every placement",
        font_family="system-ui, sans-serif",
        color="#111827" if standalone else None,
        xmlns="http://www.w3.org/2000/svg",
        **size,
    )


def _ticks(axis: Axis, height: float) -> Markup:
    lines = [
        tag("line", x1=axis(tick), x2=axis(tick), y1=TOP, y2=height - BOTTOM, stroke="#9ca3af", stroke_opacity=0.4) for tick in axis.ticks()
    ]
    texts = [
        tag("text", share_text(tick), x=axis(tick), y=height - BOTTOM + 18, text_anchor="middle", fill="currentColor", font_size=12)
        for tick in axis.ticks()
    ]
    return join(lines, texts)


def _singles(board: Board, axis: Axis, height: float) -> Markup:
    singles = [row for row in board.rows if row.model.placement == "alone"]
    lines = [
        tag(
            "line",
            x1=axis(row.accuracy.value),
            x2=axis(row.accuracy.value),
            y1=TOP,
            y2=height - BOTTOM,
            stroke=COLOURS["alone"],
            stroke_dasharray="5 4",
            stroke_width=1.5,
        )
        for row in singles
    ]
    names = [
        tag(
            "text",
            f"{row.model.name} alone",
            x=axis(row.accuracy.value),
            y=height - 6,
            text_anchor="middle",
            fill="currentColor",
            font_size=12,
        )
        for row in singles
    ]
    return join(lines, names)


def _legend() -> Markup:
    shown = [placement for placement in COLOURS if placement != "alone"]
    return join(
        [tag("circle", cx=LEFT + 90 * place, cy=14, r=4.5, fill=COLOURS[placement]) for place, placement in enumerate(shown)],
        [
            tag("text", placement, x=LEFT + 90 * place + 10, y=18, fill="currentColor", font_size=13)
            for place, placement in enumerate(shown)
        ],
    )


def _dot(row: Row, axis: Axis, y: float) -> Markup:
    colour, accuracy = COLOURS[row.model.placement], row.accuracy
    spoken = f"{_name(row.model.placement, row.model.name)}: {figures.percent(accuracy.value)}, {figures.percent_range(accuracy[1:])}"
    return tag(
        "g",
        tag("title", spoken),
        tag("line", x1=axis(accuracy.low), x2=axis(accuracy.high), y1=y, y2=y, stroke=colour, stroke_opacity=0.45, stroke_width=2),
        tag("circle", cx=axis(accuracy.value), cy=y, r=3.6, fill=colour),
    )


def _claims(claims: list[tuple[str, Paired]]) -> Markup:
    return tag("ul", [tag("li", f"{words}: {claim_words(found)}") for words, found in claims], class_="notes")


def claim_words(found: Paired) -> str:
    """`+4.2 points (2.1 to 6.0), p = …`."""
    difference = found.difference
    by_seed = "" if found.by_seed is None else f"; by seed {figures.p_value(found.by_seed)}"
    bounds = figures.points_range([difference.low, difference.high])
    return f"{figures.points(difference.value)} points ({bounds}); by sample {figures.p_value(found.by_sample)}{by_seed}"


def _rows(board: Board) -> Markup:
    axis = axis_over([bound for row in board.rows for bound in row.accuracy[1:]], 2.0, 98.0, within=(0.0, 1.0))
    columns = ("Accuracy", "Minus the reference", "p by sample", "p by seed", "Width", "Parameters")
    top = tag(
        "tr",
        tag("th", "Model", scope="col"),
        tag("th", scale(axis, share_text), scope="col", class_="plot", aria_label="Interval, drawn"),
        [tag("th", name, scope="col", class_="number") for name in columns],
    )
    lines = [_line(row, axis) for row in board.rows]
    content = tag("table", tag("thead", top), tag("tbody", lines), class_="subsets")
    return tag("div", content, class_="scroll", role="region", tabindex=0, aria_label="All models")


def _line(row: Row, axis: Axis) -> Markup:
    name, accuracy = _name(row.model.placement, row.model.name), row.accuracy
    spoken = f"{name}: {figures.percent(accuracy.value)}, {figures.percent_range(accuracy[1:])}"
    return tag(
        "tr",
        tag("th", name, scope="row"),
        tag("td", drawn_interval(accuracy.value, accuracy[1:], axis, spoken), class_="plot"),
        tag("td", figures.percent(accuracy.value), class_="number strong"),
        [tag("td", cell, class_="number") for cell in _compared(row)],
        tag("td", str(row.model.width), class_="number"),
        tag("td", figures.count(row.model.parameters), class_="number"),
        class_="full" if row.against is None else "baseline" if row.model.placement == "alone" else "subset",
    )


def _compared(row: Row) -> list[str]:
    if row.against is None or row.by_sample is None:
        return ["reference", "", ""]
    difference = row.against.difference
    by_seed = figures.DASH if row.by_seed is None else _p(row.by_seed)
    return [f"{figures.points(difference.value)} ({figures.points_range([difference.low, difference.high])})", _p(row.by_sample), by_seed]


def _p(value: float) -> str:
    return "< 0.0001" if value < 0.0001 else f"{value:.2g}"


def _name(placement: str, name: str) -> str:
    return f"{name} alone" if placement == "alone" else f"{placement} {name}"


def _seeds(board: Board) -> str:
    return "1 seed" if len(board.seeds) == 1 else f"{len(board.seeds)} seeds"


def table(board: Board) -> str:
    """The README's part, in Markdown: fusions by placements, then what is claimed of late fusion."""
    cells = {(row.model.placement, row.model.name): row for row in board.rows}
    fused = list(dict.fromkeys(row.model.name for row in board.rows if row.model.placement != "alone"))
    alone = [row for row in board.rows if row.model.placement == "alone"]
    placements = [placement for placement in COLOURS if placement != "alone"]
    reference = _name(board.reference.placement, board.reference.name)
    lines = [
        f"Accuracy on {board.num_samples:,} test samples, mean of {_seeds(board)} (95 % interval over seeds and pictures). The reference,",
        f"chosen on the validation split, is **{reference}**; ▼ is worse than it by both tests at 0.05, Holm's.",
        "",
        f"| fusion | {' | '.join(placements)} |",
        f"|---|{'---|' * len(placements)}",
        *(f"| `{name}` | {' | '.join(_cell(cells.get((placement, name))) for placement in placements)} |" for name in fused),
        "",
        "![Accuracy of every fusion in every placement, with intervals](leaderboard.svg)",
        "",
        "; ".join(f"{row.model.name} alone {_cell(row)}" for row in alone) + ".",
        "",
        *(f"- {words}: {claim_words(found)}." for words, found in board.late_over_single),
    ]
    return "\n".join(lines).replace(figures.NARROW, " ") + "\n"


def _cell(row: Row | None) -> str:
    if row is None:
        return figures.DASH
    worse = row.against is not None and row.against.difference.value < 0
    both = all(p is not None and p < SIGNIFICANT for p in (row.by_seed, row.by_sample))
    return f"{row.accuracy.value:.3f} ({row.accuracy.low:.3f} to {row.accuracy.high:.3f}){' ▼' if worse and both else ''}"
