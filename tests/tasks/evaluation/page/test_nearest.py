"""Queries with what is nearest: the right ones, each thing once, what belongs is marked."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from tasks.evaluation.page.members import Budget
from tasks.evaluation.page.nearest import Example, examples, nearest_section, rank_text
from tasks.evaluation.said import HeadPredictions
from tasks.evaluation.scorer import Subject
from tasks.evaluation.scorers.retrieval import Retrieval
from tasks.evaluation.scoring import compared
from tests.tasks.evaluation.example import picture


class Shards:
    """Twelve samples; the first two have the same picture."""

    def samples(self, split: str, positions: list[int]) -> list[Any]:
        assert split == "test"
        members = [{"image": picture(max(at, 1), max(at, 1)), "text": f"caption {at}".encode()} for at in positions]
        return [SimpleNamespace(key=f"s{at}", members=each) for at, each in zip(positions, members, strict=True)]


@pytest.fixture(scope="module")
def found() -> list[Example]:
    """Embeddings on a circle: every text stands at its picture, but that of sample 7, which is opposite."""
    angle = np.linspace(0, np.pi, 12)
    angle[0] = angle[1]
    image = np.stack([np.cos(angle), np.sin(angle)], axis=1)
    text = image.copy()
    text[7] *= -1
    true = np.stack([np.maximum(np.arange(12), 1), 100 + np.arange(12)], axis=1)
    scorer = Retrieval(Subject("match", {"kind": "none"}, SimpleNamespace(modalities=("image", "text"))))
    own = HeadPredictions({"image+text": np.stack([image, text], axis=1).astype(np.float32)}, scorer=scorer, scored_as="retrieval")
    return examples(compared(own, true, None), Shards(), "test")  # type: ignore[arg-type]


def test_each_direction_shows_queries_that_found_and_that_missed(found: list[Example]) -> None:
    assert {each.direction for each in found} == {"image→text", "text→image"}
    for name in ("image→text", "text→image"):
        ranks = [each.rank for each in found if each.direction == name]
        assert 2 <= len(ranks) <= 4
        assert min(ranks) <= 1
        assert max(ranks) > 1


def test_things_stand_once_from_near_to_far_and_what_belongs_is_marked(found: list[Example]) -> None:
    for each in found:
        cosines = [one.cosine for one in each.nearest]
        assert cosines == sorted(cosines, reverse=True)
        shown = [one.item.uri or one.item.text for one in each.nearest]
        assert len(set(shown)) == len(shown) == 5
        assert each.nearest[0].is_true is (each.rank <= 1)


def test_the_section_keeps_to_the_budget_and_says_the_rank(found: list[Example]) -> None:
    drawn, bare = nearest_section(found, Budget(1_000_000)), nearest_section(found, Budget(0))
    assert drawn.count("<img") == sum(1 if each.direction == "image→text" else 5 for each in found)
    assert "<img" not in bare
    assert "left out to keep this page small" in bare
    assert "right answer at rank 1<" in drawn
    assert (rank_text(3.0), rank_text(2.5)) == ("3", "2.50")
