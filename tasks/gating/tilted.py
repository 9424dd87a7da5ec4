"""A one-sided bootstrap test over groups that respects what it tests.

In: one number a group, whose mean is at most 0 when the candidate is not good enough. Out: how likely a sum as high as the one seen is
then. Groups are drawn as for the report's intervals (`tasks.evaluation.intervals`), but not with equal chances: chances are tilted
exponentially, as little as brings their mean to 0 (Efron 1981; Davison & Hinkley 1997, §4.4).

A percentile interval would be simpler and is too bold where two models seldom disagree: resamples of few disagreements hardly vary. Three
cautions are built in, each of which fades as 1 / groups: the worst group seen counts two times more; where no group is lost at all, two
that are lost whole are added, so that no disagreement gives the rule of three; the level is that of Student's t.
`python -m benchmarks gate` measures how often a model that is worse by exactly the margin gets through.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]

RESAMPLES = 10_000
MIN_GROUPS = 20
"""With fewer, nothing is said: how groups differ from each other is then not known."""
MAX_PILES = 500
"""More groups whose numbers all differ are first dealt at random into so many piles."""

WORST_COUNTS_MORE = 2.0
_UNSEEN = 1e-3
"""Weight of a group that is lost whole beside lost ones that were seen: enough to be possible."""


@dataclass(frozen=True)
class Units:
    """What each group says, in two parts: the sum of gains, and what a share of the margin weighs there (its samples, or its errors)."""

    gain_G: Floats
    weight_G: Floats
    lost: float
    """The gain a group of mean size would have if the candidate failed in all of it."""

    @property
    def value(self) -> float:
        """The gain as a share of the weight."""
        return float(self.gain_G.sum() / self.weight_G.sum())

    def turned(self, lost: float) -> Units:
        """The same with candidate and baseline exchanged: gains are losses."""
        return Units(-self.gain_G, self.weight_G, lost)


def units(gain_N: Floats, weight_N: Floats, groups_N: NDArray[np.str_] | NDArray[np.object_], lost: float | None, seed: int) -> Units:
    """Sums by group; `lost` is a sample's, None = as much as the best group gained."""
    _, codes_N = np.unique(groups_N.astype(str), return_inverse=True)
    gain_G, weight_G = _sums(codes_N, gain_N), _sums(codes_N, weight_N)
    if gain_G.size > MAX_PILES and len(np.unique(np.stack([gain_G, weight_G]), axis=1)[0]) > MAX_PILES:
        piles_G = np.random.default_rng([seed, 0x7A]).permutation(gain_G.size) % MAX_PILES
        gain_G, weight_G = _sums(piles_G, gain_G), _sums(piles_G, weight_G)
    whole = -float(np.abs(gain_G).max(initial=0.0)) if lost is None else lost * float(weight_G.mean())
    return Units(gain_G, weight_G, whole)


def p_value(given: Units, share: float, seed: int, resamples: int = RESAMPLES) -> float:
    """How likely so high a gain is when it is truly `share` of the weight, or less. At least 1 / (resamples + 1)."""
    values_G = given.gain_G - share * given.weight_G
    total, size = float(values_G.sum()), values_G.size
    if total <= 0:
        return 1.0
    value_K, count_K = np.unique(values_G, return_counts=True)
    weight_K = count_K.astype(np.float64)
    lost = min(given.lost - share * float(given.weight_G.mean()), -1e-12)
    seen = bool(value_K[0] < 0)
    weight_K[0] += WORST_COUNTS_MORE if seen else 0.0
    value_K, weight_K = np.append(value_K, lost), np.append(weight_K, _UNSEEN if seen else WORST_COUNTS_MORE)
    drawn_RK = np.random.default_rng([seed, 0x6D65]).multinomial(size, _tilted(value_K, weight_K), size=resamples)
    reached = (drawn_RK @ value_K >= total - 1e-9 * np.abs(value_K).max()).sum()
    return float((1 + reached) / (resamples + 1))


def level(confidence: float, groups: int) -> float:
    """The p-value that is needed: that of a normal variable beyond Student's quantile of as many groups."""
    from scipy.special import ndtr, stdtrit

    return float(ndtr(stdtrit(groups - 1, 1.0 - confidence)))


def _sums(codes_N: NDArray[np.int64], values_N: Floats) -> Floats:
    sums: Floats = np.bincount(codes_N, weights=values_N).astype(np.float64)
    return sums


def _tilted(value_K: Floats, weight_K: Floats) -> Floats:
    """Chances proportional to weight × exp(slope × value), with the slope that makes their mean 0."""
    scaled_K = value_K / np.abs(value_K).max()

    def chances(slope: float) -> Floats:
        exponent_K = np.log(weight_K) + slope * scaled_K
        chance_K = np.exp(exponent_K - exponent_K.max())
        shares: Floats = chance_K / chance_K.sum()
        return shares

    low, high = -1.0, 0.0
    while float(chances(low) @ scaled_K) > 0 and low > -1e6:
        low *= 2
    if float(chances(high) @ scaled_K) < 0:  # the added weight alone is enough
        return chances(high)
    for _ in range(60):
        middle = (low + high) / 2
        low, high = (low, middle) if float(chances(middle) @ scaled_K) > 0 else (middle, high)
    return chances(low)
