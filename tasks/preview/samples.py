"""Samples as cards: what they hold, their labels, how large their members are."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from tasks.evaluation.page import figures
from tasks.evaluation.page.markup import Markup, join, shorten, tag
from tasks.evaluation.page.media import Preview, preview
from tasks.evaluation.page.members import Budget, sample_key
from tasks.preview.choose import choose
from tasks.shards.read import RawSample, ShardSet


@dataclass(frozen=True)
class Shown:
    """A sample that is shown."""

    sample: RawSample
    labels: Mapping[str, str]
    missing: tuple[str, ...]


def pick(shard_set: ShardSet, split: str, number: int) -> list[Shown]:
    """Samples of a split, read and checked. CorruptArtifact when a shard is damaged."""
    positions = choose(shard_set, split, number)
    kinds = {name: info["kind"] for name, info in shard_set.meta["labels"].items()}
    labels = sorted(shard_set.labels(split).items(), key=lambda label: (kinds[label[0]], label[0]))
    return [
        Shown(
            sample,
            {name: _said(values[at]) for name, values in labels if _said(values[at])},
            tuple(name for name in shard_set.modalities if name not in sample.members),
        )
        for at, sample in zip(positions, shard_set.samples(split, positions), strict=True)
    ]


def cards(shown: Sequence[Shown], budget: Budget) -> Markup:
    return tag("ul", [_card(one, budget) for one in shown], class_="cards")


def _card(one: Shown, budget: Budget) -> Markup:
    previews = [preview(name, data) for name, data in one.sample.members.items()]
    absent = tag("p", f"no {', no '.join(one.missing)}", class_="absent") if one.missing else None
    sizes = [tag("p", _size(item, len(one.sample.members[item.modality])), class_="small soft") for item in previews]
    return tag(
        "li",
        tag("div", budget.elements(previews), absent, class_="media"),
        tag("div", _labels(one.labels), tag("div", sizes), class_="answer"),
        sample_key(one.sample.key),
        class_="card",
    )


def _size(item: Preview, num_bytes: int) -> str:
    return f"{shorten(item.modality, 20)}, {item.note}" if item.kind == "text" else f"{item.note} · {figures.num_bytes(num_bytes)}"


def _labels(labels: Mapping[str, str]) -> Markup:
    if not labels:
        return tag("p", "no label", class_="said soft")
    said = [
        tag("p", tag("span", f"{shorten(name, 30)} ", class_="soft"), tag("b", shorten(value, 60)), class_="said")
        for name, value in labels.items()
    ]
    return join(said)


def _said(value: Any) -> str:
    """A label as text; empty when the sample has none."""
    if value is None or (isinstance(value, float) and np.isnan(value)):
        return ""
    return value if isinstance(value, str) else figures.plain(float(value))
