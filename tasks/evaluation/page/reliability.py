"""How sure a classifier is and how often it is right: the reliability diagram, and the numbers of calibration and threshold."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from tasks.evaluation.page import figures
from tasks.evaluation.page.axis import Axis
from tasks.evaluation.page.markup import Markup, join, shorten, tag

_WIDTH, _HEIGHT = 440, 470
_TOP, _FOOT = 12, 356
_COUNTS = (388, 432)
"""Between these the samples of each bin are drawn."""

Calibration = Mapping[str, Any]

_RATES = {"precision": "Right answers among answers", "coverage": "Answers among samples", "recall": "Right answers among samples"}


def sureness_section(name: str, head: Mapping[str, Any], split: str) -> Markup:
    """The diagram beside the numbers."""
    calibration, threshold = head["calibration"], head.get("threshold")
    numbers = tag("div", _errors(calibration), None if threshold is None else threshold_block(threshold, split))
    return tag("div", reliability(name, calibration), numbers, class_="pair")


def reliability(name: str, calibration: Calibration, title: str = "") -> Markup:
    """The diagram as a figure, with its values as a table."""
    across, up = Axis(0, 1, 62, _WIDTH - 12), Axis(0, 1, _FOOT, _TOP)
    bins = [part for part in calibration["bins"] if part["n"]]
    most = max((part["n"] for part in bins), default=1)
    picture = tag(
        "svg",
        _grid(across, up),
        [_bar(part, across, up, most) for part in bins],
        tag("line", x1=across(0), y1=up(0), x2=across(1), y2=up(1), class_="equal"),
        tag("text", "how sure it is", x=(across.start + across.end) / 2, y=_HEIGHT - 6, text_anchor="middle", class_="axis"),
        tag(
            "text",
            "how often it is right",
            x=12,
            y=(_TOP + _FOOT) / 2,
            text_anchor="middle",
            transform=f"rotate(-90 12 {(_TOP + _FOOT) / 2})",
        ),
        tag("text", "samples", x=across.start - 8, y=_COUNTS[1], text_anchor="end"),
        viewBox=f"0 0 {_WIDTH} {_HEIGHT}",
        role="img",
        aria_label=f"Reliability of {shorten(name, 60)}; its values are in the table below",
        class_="chart square",
    )
    words = {"bin": "right", "gap too-sure": "surer than right", "gap unsure": "more often right than sure"}
    legend = [tag("span", tag("i", class_=f"key {style}"), said, class_="legend") for style, said in words.items()]
    caption = tag("figcaption", tag("b", shorten(title, 80)) if title else None, legend)
    return tag("figure", caption, picture, _values(name, calibration))


def _grid(across: Axis, up: Axis) -> Markup:
    lines = []
    for tick in (0.0, 0.2, 0.4, 0.6, 0.8, 1.0):
        lines.append(tag("line", x1=across(tick), x2=across(tick), y1=up.start, y2=up.end, class_="grid"))
        lines.append(tag("text", figures.percent(tick, 0), x=across(tick), y=up.start + 17, text_anchor="middle" if tick < 1 else "end"))
        lines.append(tag("line", x1=across.start, x2=across.end, y1=up(tick), y2=up(tick), class_="grid"))
        lines.append(tag("text", figures.percent(tick, 0), x=across.start - 8, y=up(tick) + 4, text_anchor="end"))
    lines.append(tag("line", x1=across.start, x2=across.end, y1=up.start, y2=up.start, class_="base"))
    lines.append(tag("line", x1=across.start, x2=across.end, y1=_COUNTS[1], y2=_COUNTS[1], class_="base"))
    return tag("g", lines)


def _bar(part: Mapping[str, Any], across: Axis, up: Axis, most: int) -> Markup:
    """One bin: how often it is right, how far that is from how sure it is, how many samples; and a strip that tells all three."""
    left, width = across(part["low"]) + 0.75, max(0.5, across(part["high"]) - across(part["low"]) - 1.5)
    accuracy, confidence = up(part["accuracy"]), up(part["confidence"])
    gap = "too-sure" if part["confidence"] > part["accuracy"] else "unsure"
    count = max(1.0, (_COUNTS[1] - _COUNTS[0]) * part["n"] / most)
    return tag(
        "g",
        tag("rect", x=left, y=max(accuracy, confidence), width=width, height=up.start - max(accuracy, confidence), class_="bin"),
        tag("rect", x=left, y=min(accuracy, confidence), width=width, height=abs(accuracy - confidence), class_=f"gap {gap}"),
        tag("rect", x=left, y=_COUNTS[1] - count, width=width, height=count, class_="count"),
        tag("rect", x=left, y=up.end, width=width, height=_COUNTS[1] - up.end, class_="band", data_tip=_tip(part)),
    )


def _tip(part: Mapping[str, Any]) -> str:
    return f"{figures.count(part['n'])} samples\nsure {figures.percent(part['confidence'])}\nright {figures.percent(part['accuracy'])}"


def _values(name: str, calibration: Calibration) -> Markup:
    columns = ("Samples", "Sure", "Right")
    heading = tag("tr", tag("th", "Between", scope="col"), [tag("th", text, scope="col", class_="number") for text in columns])
    rows = [
        tag(
            "tr",
            tag("th", f"{figures.percent(part['low'])} and {figures.percent(part['high'])}", scope="row"),
            tag("td", figures.count(part["n"]), class_="number"),
            tag("td", figures.percent(part["confidence"]), class_="number"),
            tag("td", figures.percent(part["accuracy"]), class_="number"),
        )
        for part in calibration["bins"]
        if part["n"]
    ]
    table = tag("table", tag("caption", f"{shorten(name, 60)}, bins that hold samples"), tag("thead", heading), tag("tbody", rows))
    return tag("details", tag("summary", "Values"), tag("div", table, class_="scroll", tabindex=0, role="region", aria_label="Bins"))


def _errors(calibration: Calibration) -> Markup:
    """Expected calibration error: of all answers, and of those above the threshold."""
    parts = [("all answers", calibration)]
    if answered := calibration.get("answered"):
        parts.append((f"the {figures.count(answered['samples'])} above the threshold", answered))
    rows = [
        tag(
            "tr",
            tag("th", words, scope="row"),
            tag("td", figures.percent(part["ece"]), class_="number strong"),
            tag("td", figures.percent_range(part["interval"]), class_="number soft"),
        )
        for words, part in parts
    ]
    heading = tag("tr", tag("th", "Of", scope="col"), [tag("th", text, scope="col", class_="number") for text in ("Error", "Range")])
    caption = (
        f"Expected calibration error: how far right and sure lie apart, averaged over all samples in {len(calibration['bins'])} bins. "
        "Some of it is chance; the fewer the samples, the more."
    )
    return tag("div", tag("table", tag("caption", caption), tag("thead", heading), tag("tbody", rows)), class_="scroll")


def threshold_block(threshold: Mapping[str, Any], split: str) -> Markup:
    """What was asked for, the threshold, what it promised and what it gave."""
    target, wanted, chosen = threshold["target"], figures.percent(threshold["at_least"]), threshold["chosen_on"]
    of_class = threshold["of_class"]
    what = f"{target} of class {shorten(of_class, 40)}" if of_class is not None else target
    asked = f"Asked for: a {what} of at least {wanted}. Chosen on {figures.count(chosen['samples'])} val samples, "
    if not threshold["reached"]:
        best = threshold["best"]
        most = "nothing there can be counted" if best is None else f"the most is {figures.percent(best)}"
        said = tag("p", asked, tag("b", "where no threshold reaches it"), f": {most}. None was set.", class_="prose")
        return tag("div", tag("h3", "Threshold"), said, class_="block")
    measured = threshold["measured"]
    word, tone = _held(threshold)
    answers = f"answers {shorten(of_class, 40)}" if of_class is not None else "answers"
    said = tag(
        "p",
        asked,
        f"where it {answers} from a probability of ",
        tag("b", f"{threshold['value']:.4f}"),
        f" on. On {split}: ",
        tag("span", word, class_=f"word {tone}"),
        ".",
        class_="prose",
    )
    rows = [
        tag(
            "tr",
            tag("th", tag("b", name.capitalize()) if name == target else name.capitalize(), scope="row", data_tip=_rate(name, of_class)),
            [_cell(part, name, strong=name == target) for part in (chosen, measured)],
        )
        for name in _RATES
    ]
    columns = ("Promised on val", f"Given on {split}")
    heading = tag("tr", tag("th", "Rate", scope="col"), [tag("th", text, scope="col", class_="number") for text in columns])
    explained = "; ".join(f"{name}: {_rate(name, of_class).lower()}" for name in _RATES)
    table = tag("table", tag("caption", f"{explained[0].upper()}{explained[1:]}."), tag("thead", heading), tag("tbody", rows))
    return tag("div", tag("h3", "Threshold"), said, tag("div", table, class_="scroll"), class_="block")


def _held(threshold: Mapping[str, Any]) -> tuple[str, str]:
    """In words, and their tone."""
    if threshold["held"]:
        return "held", "good"
    bounds = threshold["measured"][f"{threshold['target']}_interval"]
    if bounds is not None and bounds[1] >= threshold["at_least"]:
        return "short of it, by no more than chance explains", "even"
    return "not held", "bad"


def _rate(name: str, of_class: str | None) -> str:
    return "Right answers among samples of the class" if of_class is not None and name == "recall" else _RATES[name]


def _cell(part: Mapping[str, Any], name: str, *, strong: bool) -> Markup:
    bounds = tag("span", figures.percent_range(part[f"{name}_interval"]), class_="soft")
    return tag("td", join(figures.percent(part[name]), tag("br"), bounds), class_="number strong" if strong else "number")
