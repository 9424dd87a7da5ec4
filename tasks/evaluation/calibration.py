"""Is a classifier as sure as it is right? Expected calibration error and the bins of a reliability diagram.

In: how sure a head is of what it says (the largest probability), and whether it is right. Out: the `calibration` part of a head in
`report.json`. Nothing here knows models or files.

    num_bins             of equal width, over 0..1
    ece, interval        expected calibration error
    bins                 [{low, high, n, confidence, accuracy}]: means over the samples in a bin, null where it has none
    answered             {samples, ece, interval, bins}: only what is above the head's threshold, when there is one
    baseline             {ece, interval, bins}, and `difference`, candidate minus baseline: below zero is better

Guo et al. 2017, "On Calibration of Modern Neural Networks", eq. 3: with M bins ((m-1)/M, m/M] over the confidence,

    ECE = Σ_m  n_m / N · |accuracy_m - confidence_m|

Its intervals are the basic bootstrap's, 2·ECE minus the quantiles of the resamples, cut at zero, and not percentiles as elsewhere: chance
alone makes an ECE larger than it truly is, and resampling does so a second time, so that percentiles lie too high. Of 1,000 simulated
models each (500 samples, 15 bins, 95 %) the percentiles held the truth in 0 % where it was 0 and in 61 % where it was 0.05, these
intervals in 60 % and 88 %: better, and still too narrow near zero, where an ECE cannot be told from chance by its interval alone.

Shapes: N samples, M bins, R resamples.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from tasks.evaluation.intervals import Bootstrap, Floats, Interval, num_groups, resampled_sums

Bools = NDArray[np.bool_]


def calibration(confidence_N: NDArray[Any], right_N: Bools, groups_N: NDArray[Any], num_bins: int, bootstrap: Bootstrap) -> dict[str, Any]:
    """ECE with its interval, and the bins."""
    ece, draws_R = _error(confidence_N, right_N, groups_N, num_bins, bootstrap)
    return {"ece": ece, "interval": basic_interval(ece, draws_R, groups_N, bootstrap), "bins": bins(confidence_N, right_N, num_bins)}


def difference(
    candidate: tuple[NDArray[Any], Bools], baseline: tuple[NDArray[Any], Bools], groups_N: NDArray[Any], num_bins: int, bootstrap: Bootstrap
) -> dict[str, Any]:
    """ECE of the candidate minus that of the baseline, paired: both are (confidence, right) of the same samples."""
    (first, first_R), (second, second_R) = (_error(*one, groups_N, num_bins, bootstrap) for one in (candidate, baseline))
    return {"value": first - second, "interval": basic_interval(first - second, first_R - second_R, groups_N, bootstrap, floor=None)}


def bins(confidence_N: NDArray[Any], right_N: Bools, num_bins: int) -> list[dict[str, Any]]:
    """The bars of a reliability diagram, from low to high."""
    at_N = bin_of(confidence_N, num_bins)
    number = np.bincount(at_N, minlength=num_bins)
    sure = np.bincount(at_N, weights=confidence_N, minlength=num_bins)
    right = np.bincount(at_N, weights=right_N, minlength=num_bins)
    return [
        {
            "low": at / num_bins,
            "high": (at + 1) / num_bins,
            "n": int(number[at]),
            "confidence": float(sure[at] / number[at]) if number[at] else None,
            "accuracy": float(right[at] / number[at]) if number[at] else None,
        }
        for at in range(num_bins)
    ]


def bin_of(confidence_N: NDArray[Any], num_bins: int) -> NDArray[np.int64]:
    """Which bin each confidence is in: m for ((m)/M, (m+1)/M], 0 for zero itself."""
    inner = np.linspace(0.0, 1.0, num_bins + 1)[1:-1]
    return np.searchsorted(inner, np.asarray(confidence_N, dtype=np.float64), side="left").astype(np.int64)


def basic_interval(value: float, draws_R: Floats, groups_N: NDArray[Any], bootstrap: Bootstrap, *, floor: float | None = 0.0) -> Interval:
    """The basic (reverse percentile) interval, Davison & Hinkley 1997, eq. 5.6; None for a single group."""
    if num_groups(groups_N) < 2:
        return None
    tail = (1.0 - bootstrap.confidence) / 2.0
    low, high = np.quantile(draws_R, [tail, 1.0 - tail])
    bounds = [2 * value - float(high), 2 * value - float(low)]
    return bounds if floor is None else [max(floor, bound) for bound in bounds]


def _error(confidence_N: NDArray[Any], right_N: Bools, groups_N: NDArray[Any], num_bins: int, bootstrap: Bootstrap) -> tuple[float, Floats]:
    """ECE, and its values over the resamples: n_m / N · |accuracy_m - confidence_m| is |Σ over the bin of (right - confidence)| / N."""
    at_N = bin_of(confidence_N, num_bins)
    gap_N = right_N.astype(np.float64) - np.asarray(confidence_N, dtype=np.float64)
    used = np.unique(at_N)
    columns = [np.ones_like(gap_N), *(np.where(at_N == at, gap_N, 0.0) for at in used)]
    draws_RC = resampled_sums(columns, groups_N, bootstrap)
    sums_C = np.array([column.sum() for column in columns])
    return float(np.abs(sums_C[1:]).sum() / sums_C[0]), np.abs(draws_RC[:, 1:]).sum(axis=1) / draws_RC[:, 0]
