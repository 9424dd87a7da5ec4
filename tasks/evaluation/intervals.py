"""Uncertainty: percentile bootstrap over groups, and McNemar's exact test.

Samples of one group (a speaker, a picture that was paired several times) are not independent, so groups are drawn, not samples:
a resample takes G of the G groups with replacement, each with all its samples. Every number that is a function of sums over
samples is then a function of `counts_RG @ sums_GC`, and numbers computed from one call share their resamples, which makes
differences between them paired (Efron & Tibshirani 1993, ch. 13; Davison & Hinkley 1997, §3.8).

Shapes: N samples, G groups, R resamples, C columns.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Interval = list[float] | None
"""[low, high]; None when one group holds all samples, because then nothing is known about other groups."""

MAX_PILES = 20_000
"""More groups are first dealt at random into so many piles: still a bootstrap over independent units, in bounded time."""

_CELLS_AT_ONCE = 4_000_000


@dataclass(frozen=True)
class Bootstrap:
    """How intervals are made. The same values over the same groups always give the same resamples."""

    resamples: int = 2000
    confidence: float = 0.95
    seed: int = 0


def resampled_sums(columns: NDArray[Any] | Iterable[NDArray[Any]], groups_N: NDArray[Any], bootstrap: Bootstrap) -> Floats:
    """Sums RC over each resample of the groups: of the columns of an array NC, or of C arrays of N that may be made one at a time."""
    each_column = columns.T if isinstance(columns, np.ndarray) else columns
    rng = np.random.default_rng([bootstrap.seed, 0x6D65])
    codes_N, num_groups = _piles(groups_N, rng)
    sums_GC = np.stack([np.bincount(codes_N, weights=column, minlength=num_groups) for column in each_column], axis=1)
    return np.concatenate([counts_RG @ sums_GC for counts_RG in _drawn(rng, bootstrap.resamples, num_groups)])


def resampled_weights(groups_N: NDArray[Any], bootstrap: Bootstrap) -> Iterator[Floats]:
    """How often each sample is in each resample: the same resamples as those of `resampled_sums`, as parts R'N of all R rows.

    For numbers that are no function of sums, such as the area under a curve.
    """
    rng = np.random.default_rng([bootstrap.seed, 0x6D65])
    codes_N, num_groups = _piles(groups_N, rng)
    rows = max(1, _CELLS_AT_ONCE // codes_N.size)
    for counts_RG in _drawn(rng, bootstrap.resamples, num_groups):
        for start in range(0, len(counts_RG), rows):
            yield counts_RG[start : start + rows, codes_N]


def interval(draws_R: Floats, groups_N: NDArray[Any], bootstrap: Bootstrap) -> Interval:
    """The percentile interval of a number from its values over the resamples."""
    if num_groups(groups_N) < 2:
        return None
    tail = (1.0 - bootstrap.confidence) / 2.0
    low, high = np.quantile(draws_R, [tail, 1.0 - tail])
    return [float(low), float(high)]


def num_groups(groups_N: NDArray[Any]) -> int:
    return int(np.unique(groups_N).size)


def mcnemar_exact(first_only: int, second_only: int) -> float:
    """Two-sided exact p that two classifiers err equally often, from the samples that only one of them gets right.

    Binomial with probability 1/2; takes samples as independent, so with large groups trust the interval instead.
    """
    total = first_only + second_only
    if total == 0:
        return 1.0
    smaller = min(first_only, second_only)
    successes = np.arange(smaller + 1)
    log_factorials = np.concatenate([[0.0], np.cumsum(np.log(np.arange(1, total + 1)))])
    log_terms = log_factorials[total] - log_factorials[successes] - log_factorials[total - successes] - total * math.log(2.0)
    largest = float(log_terms.max())
    return min(1.0, 2.0 * math.exp(largest) * float(np.exp(log_terms - largest).sum()))


def _piles(groups_N: NDArray[Any], rng: np.random.Generator) -> tuple[NDArray[np.int64], int]:
    _, codes = np.unique(groups_N, return_inverse=True)
    count = int(codes.max()) + 1
    if count <= MAX_PILES:
        return codes.astype(np.int64), count
    return (rng.permutation(count) % MAX_PILES)[codes], MAX_PILES


def _drawn(rng: np.random.Generator, resamples: int, num_groups: int) -> Iterator[Floats]:
    """Counts RG of all resamples, in parts of bounded size."""
    rows_at_once = max(1, _CELLS_AT_ONCE // num_groups)
    for start in range(0, resamples, rows_at_once):
        yield _draw_counts(rng, min(rows_at_once, resamples - start), num_groups)


def _draw_counts(rng: np.random.Generator, rows: int, num_groups: int) -> Floats:
    """How often each group is drawn, rows × G: multinomial, each row sums to G."""
    drawn = rng.integers(0, num_groups, size=(rows, num_groups))
    drawn += np.arange(rows)[:, None] * num_groups
    return np.bincount(drawn.ravel(), minlength=rows * num_groups).reshape(rows, num_groups).astype(np.float64)
