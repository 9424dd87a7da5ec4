"""Members of a sample as elements: pictures, players, quotations, and the budget that all of a page's media share."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from tasks.evaluation.page.markup import Markup, join, shorten, tag
from tasks.evaluation.page.media import Preview

KINDS = ("image", "audio", "text", "other")
"""In this order they stand on a card."""


@dataclass
class Budget:
    """Characters of data URIs that a page may still hold; members beyond it are named, not shown."""

    left: int

    def elements(self, previews: Iterable[Preview]) -> list[Markup]:
        """One for each member, in the order of KINDS."""
        return [self._element(item) for item in sorted(previews, key=lambda item: (KINDS.index(item.kind), item.modality))]

    def _element(self, item: Preview) -> Markup:
        if len(item.uri) > self.left:
            return _named(item, "left out to keep this page small")
        self.left -= len(item.uri)
        return _member(item)


def sample_key(key: str) -> Markup:
    """A line of it may end behind a slash."""
    first, *others = shorten(key, 60).split("/")
    return tag("p", join(first, [("/", tag("wbr"), part) for part in others]), class_="sample-key", dir="auto")


def _member(item: Preview) -> Markup:
    if item.kind == "image":
        style = "picture tiny" if item.is_tiny else "picture"
        picture = tag(
            "img",
            src=item.uri,
            alt=f"{shorten(item.modality, 40)} of this sample, {item.note}",
            class_=style,
            width=item.width,
            height=item.height,
        )
        return tag("div", picture, class_="member frame", data_tip=item.note)
    if item.kind == "audio":
        return tag("div", _sound(item), class_="member")
    if item.kind == "text":
        return tag("blockquote", item.text or "(empty)", class_="member caption", dir="auto")
    return _named(item, item.note)


def _named(item: Preview, why: str) -> Markup:
    return tag("p", f"{shorten(item.modality, 40)}: {why}", class_="member absent")


def _sound(item: Preview) -> Markup:
    """A plain player; the script turns it into a button and the waveform."""
    step = 200 / max(1, len(item.wave))
    bars = [
        tag("rect", x=index * step, y=18 - max(0.8, 16 * size), width=step * 0.62, height=2 * max(0.8, 16 * size), rx=0.8)
        for index, size in enumerate(item.wave)
    ]
    wave = tag("svg", bars, viewBox="0 0 200 36", preserveAspectRatio="none", class_="wave", aria_hidden="true")
    return tag(
        "div",
        tag("audio", src=item.uri, controls=True, preload="metadata", aria_label=f"{shorten(item.modality, 40)} of this sample"),
        wave,
        class_="sound",
        data_tip=item.note,
    )
