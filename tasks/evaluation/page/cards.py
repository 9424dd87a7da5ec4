"""Samples one can see, hear and read, with what the model said of them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tasks.evaluation.page import figures
from tasks.evaluation.page.choose import SHOWN_APART
from tasks.evaluation.page.markup import Markup, shorten, tag
from tasks.evaluation.page.media import Preview, preview
from tasks.evaluation.page.members import KINDS, Budget, sample_key
from tasks.evaluation.predict import Predictions
from tasks.evaluation.said import HeadPredictions

MEDIA_BUDGET = 2_000_000
"""Characters of data URIs on a page; members beyond it are named, not shown."""

_MOST_COLUMNS = 12
_MOST_BARS = 5
_LONGEST = 160
"""Characters of an answer that is a text."""


@dataclass(frozen=True)
class Answer:
    """What one head said of one sample."""

    head: str
    label: str
    """Empty when the sample has none."""
    prediction: str
    is_right: bool | None
    """None where right and wrong do not apply: no label, or a number."""
    probabilities: tuple[tuple[str, float], ...] = ()
    alone: tuple[tuple[str, str, bool | None], ...] = ()
    """(modality, what it says by itself, whether that is right), for modalities the sample has."""
    baseline: str = ""
    """What the baseline says, where it is compared."""
    baseline_is_right: bool | None = None
    is_long: bool = False
    """Whether the words need a line each: texts, sets, tags, spans."""


@dataclass(frozen=True)
class Card:
    key: str
    previews: tuple[Preview, ...]
    missing: tuple[str, ...]
    answers: tuple[Answer, ...]


def make_card(at: int, members: Mapping[str, bytes], predictions: Predictions, labels: Mapping[str, NDArray[Any]]) -> Card:
    """The card of the sample at position `at` of the split."""
    previews = sorted((preview(name, data) for name, data in members.items()), key=lambda item: (KINDS.index(item.kind), item.modality))
    present = [name for name, here in zip(predictions.modalities, predictions.present[at], strict=True) if here]
    shown = {head: own for head, own in predictions.heads.items() if head in labels and own.kind not in SHOWN_APART}
    answers = [_answer(head, own, labels[head][at], at, present) for head, own in shown.items()]
    missing = tuple(name for name in predictions.modalities if name not in present)
    return Card(predictions.keys[at], tuple(previews), missing, tuple(answers))


def _answer(head: str, own: HeadPredictions, label: Any, at: int, present: list[str]) -> Answer:
    full = list(own.by_subset)[-1]
    singles = [name for name in present if name in own.by_subset] if len(own.by_subset) > 1 else []
    if own.scorer is not None:
        words = {name: own.scorer.words(own.by_subset[name][at]) for name in (full, *singles)}
        true = own.scorer.true_words(label)
        heard = bool(own.scorer.known(_one(label))[0])
        return Answer(
            head,
            true if heard else "",
            words[full],
            words[full] == true if heard and own.kind != "anomaly" else None,
            (),
            tuple((name, words[name], None) for name in singles),
            is_long=own.kind != "anomaly",
        )
    if not own.classes:
        said = {name: figures.plain(float(own.by_subset[name][at])) for name in (full, *singles)}
        return Answer(
            head,
            "" if np.isnan(label) else figures.plain(float(label)),
            said[full],
            None,
            (),
            tuple((name, said[name], None) for name in singles),
        )
    assert own.probability is not None
    spoken = {name: own.classes[int(own.by_subset[name][at])] for name in (full, *singles)}
    has_label = label >= 0
    true = own.classes[int(label)] if has_label else ""
    return Answer(
        head,
        true,
        spoken[full],
        spoken[full] == true if has_label else None,
        tuple((name, float(share)) for name, share in zip(own.classes, own.probability[at], strict=True)),
        tuple((name, spoken[name], spoken[name] == true if has_label else None) for name in singles),
    )


def _one(label: Any) -> NDArray[Any]:
    """One sample's truth as an array of one sample."""
    found = np.empty(1, dtype=object)
    found[0] = label
    return found if label is None or isinstance(label, str) else np.asarray(label)[None]


def cards_section(cards: list[Card], budget: Budget | None = None) -> Markup:
    """`budget`: what the page's media may still take, when other sections show some too."""
    budget = budget or Budget(MEDIA_BUDGET)
    return tag("ul", [_card(card, budget.elements(card.previews)) for card in cards], class_="cards")


def _card(card: Card, members: list[Markup]) -> Markup:
    is_wrong = any(answer.is_right is False for answer in card.answers)
    absent = tag("p", f"no {', no '.join(card.missing)}", class_="absent") if card.missing else None
    return tag(
        "li",
        tag("div", members, absent, class_="media"),
        [_said(answer, several=len(card.answers) > 1) for answer in card.answers],
        sample_key(card.key),
        class_="card wrong" if is_wrong else "card",
    )


def _said(answer: Answer, *, several: bool) -> Markup:
    head = tag("span", shorten(answer.head, 30), ": ", class_="soft") if several else None
    if answer.is_long:
        return tag("div", _long(answer, head), class_="answer")
    if answer.is_right is None and answer.label:
        words = [tag("b", answer.prediction), tag("span", f" predicted, label {answer.label}", class_="soft")]
    elif answer.is_right is None:
        words = [tag("b", shorten(answer.prediction, 40)), tag("span", " predicted, no label", class_="soft")]
    elif answer.is_right:
        words = [tag("b", shorten(answer.prediction, 40)), tag("span", " right", class_="word good")]
    else:
        words = [
            tag("b", shorten(answer.prediction, 40)),
            tag("span", " wrong, it is ", class_="word bad"),
            tag("b", shorten(answer.label, 40)),
        ]
    return tag("div", tag("p", head, words, class_="said"), _baseline(answer), _probabilities(answer), _alone(answer), class_="answer")


def _long(answer: Answer, head: Markup | None) -> list[Markup | None]:
    """What is said and what is true, a line each; from single modalities only where it is another."""
    word = {True: tag("span", " right", class_="word good"), False: None, None: None}[answer.is_right]
    said = tag("p", head, tag("b", shorten(answer.prediction, _LONGEST) or "(nothing)"), word, class_="said long")
    lines = [said]
    if not answer.label:
        lines.append(tag("p", "no label", class_="rival soft"))
    elif answer.is_right is False:
        lines.append(_line("true: ", answer.label))
    if answer.baseline:
        lines.append(_line("baseline: ", answer.baseline))
    return [
        *lines,
        *(_line(f"{shorten(name, 20)} alone: ", words or "(nothing)") for name, words, _ in answer.alone if words != answer.prediction),
    ]


def _line(what: str, words: str) -> Markup:
    return tag("p", tag("span", what, class_="soft"), shorten(words, _LONGEST), class_="rival", dir="auto")


def _baseline(answer: Answer) -> Markup | None:
    if not answer.baseline:
        return None
    word = {True: tag("span", " right", class_="word good"), False: tag("span", " wrong", class_="word bad"), None: None}
    said = tag("b", shorten(answer.baseline, 40))
    return tag("p", tag("span", "baseline: ", class_="soft"), said, word[answer.baseline_is_right], class_="rival")


def _probabilities(answer: Answer) -> Markup | None:
    if not answer.probabilities:
        return None
    names = [name for name, _ in answer.probabilities]
    if len(names) <= _MOST_COLUMNS and max(len(name) for name in names) <= 3:
        return _columns(answer)
    top = sorted(answer.probabilities, key=lambda item: -item[1])[:_MOST_BARS]
    rows = [
        tag(
            "tr",
            tag("th", shorten(name, 18), scope="row", title=shorten(name, 60)),
            tag("td", _bar(share, _tone(name, answer))),
            tag("td", figures.percent(share, 0), class_="number"),
        )
        for name, share in top
    ]
    return tag("table", rows, class_="shares", aria_label="Probability of the likeliest classes")


def _columns(answer: Answer) -> Markup:
    """All classes side by side, for short names."""
    pitch = 220 / len(answer.probabilities)
    drawn = []
    for index, (name, share) in enumerate(answer.probabilities):
        height = max(1.5, 40 * share)
        left = index * pitch
        drawn.append(
            tag(
                "g",
                tag("rect", x=left, y=0, width=pitch, height=60, class_="band", data_tip=f"{name}: {figures.percent(share)}"),
                tag("rect", x=left + pitch * 0.14, y=42 - height, width=pitch * 0.72, height=height, rx=1.5, class_=_tone(name, answer)),
                tag("text", name, x=left + pitch / 2, y=56, text_anchor="middle", class_="truth" if name == answer.label else None),
            )
        )
    spoken = ", ".join(f"{name} {figures.percent(share, 0)}" for name, share in sorted(answer.probabilities, key=lambda item: -item[1])[:3])
    return tag("svg", drawn, viewBox="0 0 220 60", class_="columns", role="img", aria_label=f"Probabilities: {spoken}")


def _bar(share: float, tone: str) -> Markup:
    return tag(
        "svg",
        tag("rect", x=0, y=0, width="100%", height=8, rx=2, class_="track"),
        tag("rect", x=0, y=0, width=f"{100 * share:.1f}%", height=8, rx=2, class_=tone),
        width="100%",
        height=8,
        aria_hidden="true",
    )


def _tone(name: str, answer: Answer) -> str:
    if name == answer.label:
        return "share true"
    return "share false" if name == answer.prediction and answer.is_right is False else "share"


def _alone(answer: Answer) -> Markup | None:
    if not answer.alone:
        return None
    tones = {True: "good", False: "bad", None: "even"}
    spoken = {True: ", right", False: ", wrong", None: ""}
    chips = [
        tag(
            "span",
            tag("span", f"{shorten(name, 20)} ", class_="soft"),
            tag("b", shorten(said, 20)),
            tag("span", spoken[right], class_="unseen"),
            class_=f"chip {tones[right]}",
        )
        for name, said, right in answer.alone
    ]
    return tag("p", tag("span", "alone", class_="soft small"), chips, class_="alone")
