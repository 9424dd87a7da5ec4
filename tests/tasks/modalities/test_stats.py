"""`tasks.modalities.stats`."""

from __future__ import annotations

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
