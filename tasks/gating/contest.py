"""Candidate against rival, by the gate's test: p-values, a bound, and the power the rows have.

In: a `Contest`. Out: numbers. `Judge` hides which test it is, so that slices, subsets, the best champion and the baseline are all judged
alike, and `benchmarks/gate.py` measures what the gate does.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property
from statistics import NormalDist

import numpy as np

from tasks.errors import InputError
from tasks.gating import mcnemar, tilted
from tasks.gating.rows import Contest, benefit, share

_EXACT_UP_TO = 500.0
"""Disagreements up to which power is summed exactly; with more, the normal distribution differs from it by less than 0.005."""
_STEPS = 14
"""Halvings behind a bound."""


@dataclass(frozen=True)
class Judge:
    """How one contest stands."""

    contest: Contest
    metric: str
    test: str
    seed: int
    resamples: int = tilted.RESAMPLES

    def __post_init__(self) -> None:
        samples = self.contest.groups_N.size
        if self.test == "mcnemar" and self.groups < samples:
            raise InputError(
                f"test mcnemar takes samples as independent, and these {samples} are of {self.groups} groups; use test: bootstrap, "
                "which draws groups"
            )

    @cached_property
    def groups(self) -> int:
        return int(np.unique(self.contest.groups_N).size)

    @property
    def enough_groups(self) -> bool:
        return self.groups >= tilted.MIN_GROUPS

    @property
    def difference(self) -> float:
        """Measured benefit: of accuracy candidate minus rival, of errors the share of the rival's that is gone; above 0 is better."""
        return benefit(self.metric, float(self.contest.gain_N.sum() / max(self.contest.weight_N.sum(), 1e-300)))

    @property
    def only(self) -> tuple[int, int]:
        """Samples that only the candidate gets right, and only the rival."""
        return int((self.contest.gain_N > 0).sum()), int((self.contest.gain_N < 0).sum())

    def p_better(self, delta: float) -> float:
        """How likely such rows are when the true benefit is `delta` or less; low = it is more."""
        if self.test == "mcnemar":
            return mcnemar.p_value(*self.only, self.contest.gain_N.size, delta)
        return tilted.p_value(self._units, share(self.metric, delta), self.seed, self.resamples)

    def p_worse(self, delta: float) -> float:
        """How likely such rows are when the true benefit is `delta` or more; low = it is less."""
        if self.test == "mcnemar":
            first, second = self.only
            return mcnemar.p_value(second, first, self.contest.gain_N.size, -delta)
        return tilted.p_value(self._turned, -share(self.metric, delta), self.seed, self.resamples)

    def level(self, confidence: float) -> float:
        """The p-value that is needed."""
        return 1.0 - confidence if self.test == "mcnemar" else tilted.level(confidence, min(self.groups, self._units.gain_G.size))

    def lower_bound(self, confidence: float, at: float) -> float:
        """Largest benefit that the rows still rule out at this confidence; on the same side of `at` as the test itself decides there."""
        needed, high = self.level(confidence), self.difference
        low = at
        if self.p_better(at) > needed:
            low, high, step = at - 0.01, min(at, high), 0.01
            while low > -1.0 and self.p_better(low) > needed:
                low, high, step = max(-1.0, low - 2 * step), low, 2 * step
        for _ in range(_STEPS):
            middle = (low + high) / 2
            low, high = (middle, high) if self.p_better(middle) <= needed else (low, middle)
        return low

    def power(self, delta: float, effect: float, confidence: float, times: float = 1.0) -> float:
        """How likely the test rules `delta` out when the true benefit is `effect`, on `times` as many rows that are like these."""
        groups = max(2, round(times * self._units.gain_G.size))
        error = self._standard_error / math.sqrt(times)
        if self.metric == "accuracy":
            samples, disagreement = self._independent(error)
            if self.test == "bootstrap":  # which counts so many more as lost
                disagreement = min(1.0, disagreement + tilted.WORST_COUNTS_MORE / samples)
            if samples * disagreement <= _EXACT_UP_TO:
                return mcnemar.power(samples, disagreement, round(delta, 6), effect, round(1.0 - confidence, 9))
        needed = 1.0 - confidence if self.test == "mcnemar" else tilted.level(confidence, groups)
        normal = NormalDist()
        return normal.cdf((effect - delta) / error - normal.inv_cdf(1.0 - needed))

    def samples_for(self, delta: float, effect: float, confidence: float, at_least: float) -> int:
        """Samples like these with which the power is as wanted, to about 5 %."""
        normal, times = NormalDist(), 1.0
        wanted = (normal.inv_cdf(confidence) + normal.inv_cdf(at_least)) * self._standard_error / (effect - delta)
        times = max(1.0, wanted**2)
        while self.power(delta, effect, confidence, times) < at_least:
            times *= 1.05
        return math.ceil(times * self.contest.gain_N.size)

    def _independent(self, error: float) -> tuple[int, float]:
        """So many independent samples with this disagreement would have the same standard error."""
        first, second = self.only
        size = self.contest.gain_N.size
        disagreement = max(first + second, 1) / size
        return max(1, round((disagreement - self.difference**2) / error**2)), disagreement

    @cached_property
    def _standard_error(self) -> float:
        """Of the benefit, by the spread of groups about it; where none disagree, one does, so that none seen is not none possible."""
        gain_G, weight_G = self._units.gain_G, self._units.weight_G
        rest_G = gain_G - self._units.value * weight_G
        squares = float((rest_G**2).sum())
        if self.metric == "accuracy":
            squares = max(squares, float(weight_G.mean()) ** 2)
        error = math.sqrt(squares) / float(weight_G.sum())
        slope = 0.5 / max(1.0 - self.difference, 1e-9) if self.metric == "rmse" else 1.0
        return max(error * slope, 1e-12)

    @cached_property
    def _units(self) -> tilted.Units:
        return tilted.units(self.contest.gain_N, self.contest.weight_N, self.contest.groups_N, self._lost, self.seed)

    @cached_property
    def _turned(self) -> tilted.Units:
        whole = self._lost * float(self._units.weight_G.mean()) if self._lost is not None else self._units.lost
        return self._units.turned(whole)

    @property
    def _lost(self) -> float | None:
        return -1.0 if self.metric == "accuracy" else None
