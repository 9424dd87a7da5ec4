"""Samples that changed sides between a baseline and a candidate, and samples whose number came out much nearer or farther.

In: both models' predictions on the same rows, and labels. Out: positions in the split, the most telling first. Deterministic. Won samples
are those where the baseline was surest of its error, lost ones those where the candidate is; from many classes and groups.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tasks.evaluation.page.choose import spread
from tasks.evaluation.said import HeadPredictions
from tasks.evaluation.scoring import Compared, qualities

NUM_CARDS = 8


@dataclass(frozen=True)
class Sides:
    """Positions to be shown, and of how many."""

    won: list[int]
    lost: list[int]
    num_won: int
    num_lost: int


def changed_sides(
    own: HeadPredictions, rival: HeadPredictions, rival_N: NDArray[Any], labels_N: NDArray[Any], groups_N: NDArray[Any], number: int
) -> Sides:
    """`rival_N` is the baseline's word in the candidate's classes; up to `number` of each side."""
    said_N = list(own.by_subset.values())[-1]
    if own.classes:
        assert own.probability is not None
        assert rival.probability is not None
        known = labels_N >= 0
        right, other = known & (said_N == labels_N), known & (rival_N == labels_N)
        won, lost = right & ~other & known, other & ~right & known
        of_won, of_lost = rival.probability.max(axis=1), own.probability.max(axis=1)
        bucket_N = labels_N
    else:
        nearer = np.abs(rival_N - labels_N) - np.abs(said_N - labels_N)
        won, lost = np.nan_to_num(nearer) > 0, np.nan_to_num(nearer) < 0
        of_won, of_lost = nearer, -nearer
        bucket_N = np.zeros(labels_N.size, dtype=np.int64)
    return Sides(
        spread(_ordered(won, of_won), bucket_N, groups_N, number),
        spread(_ordered(lost, of_lost), bucket_N, groups_N, number),
        int(won.sum()),
        int(lost.sum()),
    )


def changed_quality(given: Compared, groups_N: NDArray[Any], number: int) -> Sides:
    """The same of a head with a scorer: samples that are answered better or worse than by the baseline, those that changed most first."""
    assert given.rival is not None
    gain_N = np.nan_to_num(qualities(given, given.full) - qualities(given, given.rival))
    won, lost, bucket_N = gain_N > 0, gain_N < 0, np.zeros(gain_N.size, dtype=np.int64)
    return Sides(
        spread(_ordered(won, gain_N), bucket_N, groups_N, number),
        spread(_ordered(lost, -gain_N), bucket_N, groups_N, number),
        int(won.sum()),
        int(lost.sum()),
    )


def _ordered(chosen_N: NDArray[np.bool_], weight_N: NDArray[Any]) -> list[int]:
    """Positions of the chosen, the heaviest first."""
    at = np.flatnonzero(chosen_N)
    return [int(position) for position in at[np.argsort(-weight_N[at], kind="stable")]]
