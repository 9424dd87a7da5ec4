"""The edit distance equals torchaudio's, which fills the whole table."""

from __future__ import annotations

import random

import pytest
from torchaudio.functional import edit_distance as reference

from tasks.models.edit_distance import edit_distance


@pytest.mark.parametrize("seed", range(20))
def test_the_distance_of_random_sequences_is_that_of_the_full_table(seed: int) -> None:
    chance = random.Random(seed)
    for _ in range(20):
        one, other = ([chance.randrange(1 + seed % 5) for _ in range(chance.randrange(90))] for _ in range(2))
        assert edit_distance(one, other) == reference(one, other) == edit_distance(other, one)


def test_known_distances_of_texts() -> None:
    assert edit_distance("kitten", "sitting") == 3
    assert edit_distance("", "owl") == edit_distance("owl", "") == 3
    assert edit_distance("", "") == 0
    assert edit_distance("сова", "сова") == 0
    assert edit_distance(["an", "owl"], ["the", "owl", "flies"]) == 2
