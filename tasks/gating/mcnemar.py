"""Two classifiers on the same independent samples: the score test of non-inferiority, with its exact level.

In: how many samples only the candidate gets right, how many only the baseline, and how many there are. Out: a p-value that holds whatever
the two models' disagreement is, and the power such a test has. McNemar's test is the case of no margin; with one, the statistic is that
of Tango (1998) and Nam (1997), the p-value its largest over the nuisance parameter (Hsueh, Liu & Chen 2001), found on a grid.

    q            share of samples that only the candidate gets right; the baseline's is q - delta
    delta        true difference, candidate minus baseline
"""

from __future__ import annotations

import functools
import math
from statistics import NormalDist
from typing import Any

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]

_GRID = 240
"""Nuisance values, evenly spaced in the arcsine of their root, where the size of a test changes evenly."""
_SPREAD = 6.0
"""Standard deviations of a binomial that are summed; what lies beyond is counted as the worst of what is inside."""


def score(candidate_only: Any, baseline_only: Any, samples: int, delta: float) -> Floats:
    """The statistic against a true difference of `delta`; above 0 speaks for more. Takes arrays."""
    first, second = np.asarray(candidate_only, dtype=np.float64), np.asarray(baseline_only, dtype=np.float64)
    q = _restricted(first, second, samples, delta)
    variance = samples * np.maximum(2 * q - delta - delta * delta, 0.0)
    excess = first - second - samples * delta
    certain = np.where(np.abs(excess) < 1e-9, 0.0, np.where(excess > 0, np.inf, -np.inf))
    found: Floats = np.where(variance > 1e-9, excess / np.sqrt(np.maximum(variance, 1e-9)), certain)
    return found


def p_value(candidate_only: int, baseline_only: int, samples: int, delta: float) -> float:
    """One-sided: how likely so much for the candidate is, at most, when the true difference is `delta` (or less)."""
    statistic = float(score(candidate_only, baseline_only, samples, delta))
    if statistic <= 0:
        return 1.0
    return min(1.0, float(_probability(statistic, samples, delta, _nuisances(delta), delta).max()))


@functools.lru_cache(maxsize=256)
def critical(samples: int, delta: float, level: float) -> float:
    """The least statistic whose p-value is at most `level`, to three digits."""
    nuisances = _nuisances(delta)

    def keeps(statistic: float) -> bool:
        return bool(_probability(statistic, samples, delta, nuisances, delta).max() <= level)

    near = NormalDist().inv_cdf(1.0 - level)
    low, high = max(0.0, near - 0.05), near + 0.4
    if keeps(low):  # so few samples that the normal quantile is not near
        low = 0.0
    while not keeps(high):
        low, high = high, 2 * high
    while high - low > 2e-4:
        middle = (low + high) / 2
        low, high = (low, middle) if keeps(middle) else (middle, high)
    return high


def power(samples: int, disagreement: float, delta: float, effect: float, level: float) -> float:
    """How likely the test at `level` rejects a difference of `delta` when it is `effect` and so many samples are told apart."""
    disagreement = max(disagreement, abs(effect))
    q = np.array([(disagreement + effect) / 2])
    return float(_probability(critical(samples, delta, level), samples, delta, q, effect)[0])


def _restricted(first: Floats, second: Floats, samples: int, delta: float) -> Floats:
    """The most likely q when the difference is `delta`: the larger root of 2n·q² + b·q + c."""
    b = -((first + second) * (1 + delta) + 2 * delta * first + 2 * (samples - first - second) * delta)
    c = first * delta * (1 + delta)
    root: Floats = (-b + np.sqrt(np.maximum(b * b - 8 * samples * c, 0.0))) / (4 * samples)
    return root


def _nuisances(delta: float) -> Floats:
    low, high = math.asin(math.sqrt(max(0.0, delta))), math.asin(math.sqrt((1 + delta) / 2))
    values: Floats = np.sin(np.linspace(low, high, _GRID)) ** 2
    return values


def _probability(statistic: float, samples: int, delta: float, q_Q: Floats, true_delta: float) -> Floats:
    """Probability of at least this statistic against `delta`, for each q, when the true difference is `true_delta`."""
    from scipy.special import bdtr, xlog1py, xlogy

    low_Q, high_Q = _window(samples, q_Q)
    first_QC = low_Q[:, None] + np.arange(int((high_Q - low_Q).max()) + 1)
    inside_QC = first_QC <= high_Q[:, None]
    at, code = np.unique(np.minimum(first_QC, samples), return_inverse=True)
    most_QC = _most_second(statistic, at.astype(np.float64), samples, delta)[code.reshape(first_QC.shape)]
    rest_QC = samples - np.minimum(first_QC, samples)
    other_Q = np.clip((q_Q - true_delta) / np.maximum(1 - q_Q, 1e-300), 0.0, 1.0)
    below_QC = np.where(most_QC < 0, 0.0, bdtr(np.clip(most_QC, 0, rest_QC).astype(np.float64), rest_QC, other_Q[:, None]))
    log_pmf_QC = _log_choose(samples, np.minimum(first_QC, samples)) + xlogy(first_QC, q_Q[:, None]) + xlog1py(rest_QC, -q_Q[:, None])
    pmf_QC = np.where(inside_QC, np.exp(log_pmf_QC), 0.0)
    found: Floats = (pmf_QC * below_QC).sum(axis=1) + np.maximum(1.0 - pmf_QC.sum(axis=1), 0.0)
    return found


def _window(samples: int, q_Q: Floats) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    half_Q = _SPREAD * np.sqrt(samples * q_Q * (1 - q_Q)) + 8
    low_Q = np.maximum(np.floor(samples * q_Q - half_Q), 0).astype(np.int64)
    return low_Q, np.minimum(np.ceil(samples * q_Q + half_Q), samples).astype(np.int64)


def _most_second(statistic: float, first_C: Floats, samples: int, delta: float) -> NDArray[np.int64]:
    """For each count of the first kind the largest of the second whose statistic is still as high; -1 where none is."""
    low_C, high_C = np.full(first_C.size, -1, dtype=np.int64), (samples - first_C).astype(np.int64)
    while (low_C < high_C).any():
        middle_C = (low_C + high_C + 1) // 2
        passes_C = score(first_C, middle_C, samples, delta) >= statistic - 1e-9
        low_C, high_C = np.where(passes_C, middle_C, low_C), np.where(passes_C, high_C, middle_C - 1)
    return low_C


def _log_choose(samples: int, taken: NDArray[np.int64]) -> Floats:
    from scipy.special import gammaln

    found: Floats = gammaln(samples + 1) - gammaln(taken + 1) - gammaln(samples - taken + 1)
    return found
