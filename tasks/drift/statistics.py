"""How far two samples are apart, and whether chance explains it.

In: two samples of one quantity. Out: statistics with p-values, and the population stability index (PSI) as the one size that all tests
share. Each function is the textbook's; `tests/tasks/drift` compares them with scipy and with closed forms. Must not import torch.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy import stats

BINS = 10
MIN_EXPECTED = 5.0
"""Classes that chance would put fewer of into either sample are counted as one (Cochran's rule)."""
HALF = 0.5
"""Added to each bin's count, so that an empty one is no infinity (Jeffreys)."""

Floats = NDArray[np.float64]


class Tested(NamedTuple):
    """A statistic and the probability of one as large when nothing moved."""

    statistic: float
    p: float


def kolmogorov_smirnov(first_N: Floats, second_M: Floats) -> Tested:
    """Largest distance of the two distribution functions, and its p-value as scipy's `ks_2samp(method="asymp")` has it.

    Equal values make the p-value larger than it need be, never smaller.
    """
    first, second = np.sort(first_N), np.sort(second_M)
    every = np.concatenate([first, second])
    below_first = np.searchsorted(first, every, side="right") / len(first)
    below_second = np.searchsorted(second, every, side="right") / len(second)
    distance = float(np.abs(below_first - below_second).max())
    size = len(first) * len(second) / (len(first) + len(second))
    return Tested(distance, float(np.clip(stats.kstwo.sf(distance, np.round(size)), 0.0, 1.0)))


def chi_squared(first_C: NDArray[Any], second_C: NDArray[Any]) -> Tested:
    """Pearson's test that two rows of counts are of one distribution. Rare classes are counted together; 1.0 where one class is left."""
    table = _pooled(np.stack([first_C, second_C]).astype(np.float64))
    if table.shape[1] < 2:
        return Tested(0.0, 1.0)
    expected = table.sum(1, keepdims=True) * table.sum(0, keepdims=True) / table.sum()
    statistic = float(((table - expected) ** 2 / expected).sum())
    return Tested(statistic, float(stats.chi2.sf(statistic, table.shape[1] - 1)))


def _pooled(table_2C: Floats) -> Floats:
    """Without classes that nobody has; those too rare to be expected in both rows are one class, with the next rarest if need be."""
    table = table_2C[:, table_2C.sum(0) > 0]
    least = MIN_EXPECTED * table.sum() / max(table.sum(1).min(), 1.0)
    order = np.argsort(table.sum(0), kind="stable")
    totals = table.sum(0)[order]
    num_rare = int((totals < least).sum())
    while 0 < num_rare < len(totals) and totals[:num_rare].sum() < least:
        num_rare += 1
    if num_rare < 2:
        return table
    return np.concatenate([table[:, order[num_rare:]], table[:, order[:num_rare]].sum(1, keepdims=True)], axis=1)


def edges_of(reference_N: Floats, bins: int = BINS) -> Floats:
    """Inner edges of bins that hold equal shares of the reference; fewer where values repeat. What most have is a bin of its own."""
    ordered = np.sort(reference_N)
    inner = ordered[[-(-len(ordered) * at // bins) - 1 for at in range(1, bins)]]
    edges = np.unique(np.concatenate([[np.nextafter(ordered[0], -np.inf)], inner, ordered[-1:]]))
    return np.asarray(edges, dtype=np.float64)


def binned(values_N: Floats, edges_E: Floats) -> NDArray[np.int64]:
    """Counts of E + 1 bins; a value on an edge belongs to the bin below it."""
    return np.bincount(np.searchsorted(edges_E, values_N, side="left"), minlength=len(edges_E) + 1)


def stability(first_C: NDArray[Any], second_C: NDArray[Any]) -> float:
    """PSI of two rows of counts: the sum of (q - p) ln(q / p) over classes that either has."""
    there = (first_C + second_C) > 0
    first, second = first_C[there] + HALF, second_C[there] + HALF
    p, q = first / first.sum(), second / second.sum()
    return float(((q - p) * np.log(q / p)).sum())


def by_chance(num_classes: int, first: int, second: int) -> float:
    """What the PSI of two samples of one distribution is on the average, to first order: (C - 1)(1/N + 1/M)."""
    return max(num_classes - 1, 0) * (1 / first + 1 / second)


def beyond_chance(first_C: NDArray[Any], second_C: NDArray[Any]) -> float:
    """PSI less what chance alone gives, at least 0: what samples of any size may be judged by."""
    classes = int(((first_C + second_C) > 0).sum())
    return max(0.0, stability(first_C, second_C) - by_chance(classes, int(first_C.sum()), int(second_C.sum())))


def holm(p_T: Sequence[float]) -> list[float]:
    """p-values corrected for being many (Holm 1979): the chance of one false alarm among all stays what is asked for."""
    order = np.argsort(p_T, kind="stable")
    stepped = np.asarray(p_T, dtype=np.float64)[order] * np.arange(len(p_T), 0, -1)
    corrected = np.empty(len(p_T))
    corrected[order] = np.minimum(np.maximum.accumulate(stepped), 1.0)
    return [float(p) for p in corrected]


def frechet(first_ND: Floats, second_MD: Floats) -> float:
    """Fréchet distance of the normal distributions with the samples' means and covariances (Dowson and Landau 1982), not squared."""
    means = first_ND.mean(0) - second_MD.mean(0)
    first, second = (np.atleast_2d(np.cov(sample, rowvar=False)) for sample in (first_ND, second_MD))
    values, vectors = np.linalg.eigh(first)
    root = (vectors * np.sqrt(np.maximum(values, 0))) @ vectors.T
    cross = np.sqrt(np.maximum(np.linalg.eigvalsh(root @ second @ root), 0)).sum()
    return float(np.sqrt(max(0.0, means @ means + np.trace(first) + np.trace(second) - 2 * cross)))
