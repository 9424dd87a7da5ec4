"""Queries of a retrieval head with what it puts nearest: one can see, hear and read whether they belong together.

In: embeddings of a split, what belongs together, and the shards. Out: a section of the page. Equal pictures, texts and sounds stand once.
Deterministic: the same predictions show the same queries.

Shapes: N samples, M modalities, E numbers of an embedding.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from tasks.evaluation.page import figures
from tasks.evaluation.page.markup import Markup, join, tag
from tasks.evaluation.page.media import Preview, preview
from tasks.evaluation.page.members import Budget, sample_key
from tasks.evaluation.scoring import Compared

if TYPE_CHECKING:
    from tasks.evaluation.scorers.retrieval import Retrieval
    from tasks.shards.read import ShardSet

NUM_NEAREST = 5
MOST_QUERIES = 8
"""Over all directions; at least two of each."""


@dataclass(frozen=True)
class Found:
    """One of the nearest."""

    item: Preview
    cosine: float
    is_true: bool


@dataclass(frozen=True)
class Example:
    """A query and what came first."""

    direction: str
    key: str
    item: Preview
    rank: float
    """Of the first true answer."""
    nearest: tuple[Found, ...]


def examples(given: Compared, shard_set: ShardSet, split: str) -> list[Example]:
    """Some queries of each direction: half of them found at once, half missed, as far as there are such."""
    scorer: Retrieval = given.scorer  # type: ignore[assignment]  # the caller asks for heads of this kind alone
    rows = np.flatnonzero(given.known_N)
    found = scorer.found(given.said, given.true)
    each = max(2, MOST_QUERIES // max(1, len(found)))
    order = np.random.default_rng(0).permutation(len(rows))
    made = []
    for direction in found:
        at, to = scorer.modalities.index(direction.query), scorer.modalities.index(direction.candidate)
        asked = [int(row) for row in order if direction.weight_N[row] > 0]
        first = _each_once([row for row in asked if direction.rank_N[row] <= 1], given.true[:, at])
        missed = _each_once([row for row in asked if direction.rank_N[row] > 1], given.true[:, at])
        chosen = [*first[: each // 2], *missed[: each - min(len(first), each // 2)]]
        for row in chosen:
            nearest = _nearest(given, at, to, row)
            positions = [int(rows[row]), *(int(rows[place]) for place, _, _ in nearest)]
            asker, *answers = shard_set.samples(split, positions)
            things = tuple(
                Found(preview(direction.candidate, sample.members[direction.candidate]), cosine, is_true)
                for sample, (_, cosine, is_true) in zip(answers, nearest, strict=True)
            )
            query = preview(direction.query, asker.members[direction.query])
            made.append(Example(direction.name, asker.key, query, float(direction.rank_N[row]), things))
    return made


def nearest_section(found: Sequence[Example], budget: Budget) -> Markup:
    """Direction after direction."""
    names = list(dict.fromkeys(each.direction for each in found))
    return join([[tag("h3", name), [_row(each, budget) for each in found if each.direction == name]] for name in names])


def rank_text(rank: float) -> str:
    """A whole number, or the mean over ties."""
    return figures.count(rank) if rank == int(rank) else figures.plain(rank)


def _row(example: Example, budget: Budget) -> Markup:
    query = tag("div", budget.elements([example.item]), sample_key(example.key), class_="query")
    answers = [
        tag(
            "li",
            budget.elements([each.item]),
            tag(
                "p",
                figures.plain(each.cosine),
                tag("span", " belongs here", class_="word good") if each.is_true else None,
                class_="soft small",
            ),
            class_="found true" if each.is_true else "found",
        )
        for each in example.nearest
    ]
    rank = f"right answer at rank {rank_text(example.rank)}"
    return tag("div", tag("div", query, tag("p", rank, class_="soft small")), tag("ol", answers), class_="nearest")


def _nearest(given: Compared, at: int, to: int, row: int) -> list[tuple[int, float, bool]]:
    """Rows with the things nearest to a query, each thing once: row, cosine, whether it is one of its own."""
    true: NDArray[Any] = given.true
    there = np.flatnonzero(true[:, to] >= 0)
    _, first = np.unique(true[there, to], return_index=True)
    rows = there[first]
    cosines = given.said[rows, to].astype(np.float64) @ given.said[row, at].astype(np.float64)
    own = set(true[true[:, at] == true[row, at], to].tolist()) - {-1}
    best = np.argsort(-cosines, kind="stable")[:NUM_NEAREST]
    return [(int(rows[place]), float(cosines[place]), int(true[rows[place], to]) in own) for place in best]


def _each_once(rows: list[int], thing_N: NDArray[Any]) -> list[int]:
    """The first row of each thing."""
    first: dict[int, int] = {}
    for row in rows:
        first.setdefault(int(thing_N[row]), row)
    return list(first.values())
