"""`tasks.modalities.stats`."""

from __future__ import annotations

import functools
import random

import pytest

from tasks.modalities import merge_all, merge_stats


def test_names_decide_how_numbers_merge() -> None:
    first = {"count": 1, "min_side": 3, "max_side": 5, "sum": [1, 2]}
    second = {"count": 2, "min_side": 2, "max_side": 9, "sum": [10, 20]}
    assert merge_stats(first, second) == {"count": 3, "min_side": 2, "max_side": 9, "sum": [11, 22]}


def test_a_name_that_one_side_lacks_is_kept_and_the_arguments_stay() -> None:
    first, second = {"a": 1}, {"b": [2]}
    assert merge_stats(first, second) == {"a": 1, "b": [2]}
    assert (first, second) == ({"a": 1}, {"b": [2]})


def test_merging_nothing_gives_nothing() -> None:
    assert merge_all([]) == {}


def test_large_sums_stay_exact() -> None:
    assert merge_all([{"sum_sq": 2**62}] * 3) == {"sum_sq": 3 * 2**62}


@pytest.mark.parametrize("other", [[1, 2], 1])
def test_two_shapes_of_one_name_are_refused(other: object) -> None:
    with pytest.raises(ValueError, match="the statistic 'sum' has two shapes"):
        merge_stats({"sum": [1]}, {"sum": other})  # type: ignore[dict-item]


def test_many_merge_as_one_by_one_in_any_order() -> None:
    draw = random.Random(0)
    many: list[dict[str, int | list[int]]] = [
        {"count": 1, "max_side": draw.randrange(9), "sum": [draw.randrange(9), draw.randrange(9)]} for _ in range(20)
    ]
    many[3]["extra"] = 7
    one_by_one = functools.reduce(merge_stats, many, {})
    assert merge_all(many) == one_by_one == merge_all(reversed(many))
    assert list(merge_all(many)) == sorted(one_by_one)
