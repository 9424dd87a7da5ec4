"""Who is better, over seeds and samples that all models share. In: which model was right where. Out: intervals and p-values.

Shape suffixes: S seeds, N samples, G groups (pictures), R resamples.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy import stats

RESAMPLES = 4000
FLIPS = 10_000


class Mean(NamedTuple):
    """A mean over seeds and samples, and its 95 % interval."""

    value: float
    low: float
    high: float


class Paired(NamedTuple):
    """One model minus another."""

    difference: Mean
    by_seed: float | None
    """p of a paired t-test over seeds; None with fewer than two."""
    by_sample: float
    """p of a permutation test that changes the sides of whole groups, on means over seeds."""


def mean(values_SN: NDArray[np.float64], groups_N: NDArray[np.int64]) -> Mean:
    """The mean, with seeds and groups drawn anew in each resample: both another training and other pictures could have come."""
    num_seeds = len(values_SN)
    sums_SG = np.stack([np.bincount(groups_N, weights=row) for row in values_SN])
    sizes_G = np.bincount(groups_N).astype(np.float64)
    random = np.random.default_rng(0)
    seeds_RS = random.multinomial(num_seeds, np.full(num_seeds, 1 / num_seeds), RESAMPLES) / num_seeds
    groups_RG = random.multinomial(len(sizes_G), np.full(len(sizes_G), 1 / len(sizes_G)), RESAMPLES)
    drawn_R = ((seeds_RS @ sums_SG) * groups_RG).sum(1) / (groups_RG @ sizes_G)
    low, high = np.quantile(drawn_R, [0.025, 0.975])
    return Mean(float(values_SN.mean()), float(low), float(high))


def compare(one_SN: NDArray[np.bool_], other_SN: NDArray[np.bool_], groups_N: NDArray[np.int64]) -> Paired:
    """One minus the other, where both have the same seeds and samples."""
    gained_SN = one_SN.astype(np.float64) - other_SN
    return Paired(mean(gained_SN, groups_N), _by_seed(gained_SN.mean(1)), _by_sample(gained_SN.mean(0), groups_N))


def _by_seed(gained_S: NDArray[np.float64]) -> float | None:
    if len(gained_S) < 2:
        return None
    if np.ptp(gained_S) == 0:
        return 1.0 if gained_S[0] == 0 else 0.0
    return float(stats.ttest_1samp(gained_S, 0.0).pvalue)


def _by_sample(gained_N: NDArray[np.float64], groups_N: NDArray[np.int64]) -> float:
    """Under the hypothesis that both are alike, each group's sum could as well have the other sign."""
    sums_G = np.bincount(groups_N, weights=gained_N)
    signs_RG = np.random.default_rng(0).choice(np.array([-1.0, 1.0]), (FLIPS, len(sums_G)))
    as_large = np.abs(signs_RG @ sums_G) >= abs(sums_G.sum()) - 1e-12
    return float((1 + as_large.sum()) / (1 + FLIPS))


def holm(p_values: Sequence[float]) -> list[float]:
    """Adjusted for that many looks at once, so that the chance of any false finding stays below the level (Holm 1979)."""
    order = sorted(range(len(p_values)), key=lambda place: p_values[place])
    adjusted, largest = [0.0] * len(p_values), 0.0
    for rank, place in enumerate(order):
        largest = max(largest, min(1.0, (len(p_values) - rank) * p_values[place]))
        adjusted[place] = largest
    return adjusted
