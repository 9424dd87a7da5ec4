"""How often the gate is wrong, by simulation: what it promotes at a difference of minus the margin, at none, and over 50 retrainings.

Each world draws pairs of models with a known true difference, and the gate's own functions decide (`tasks.gating`). `false_*` is the share
promoted of 10,000 or more pairs whose true difference is minus the margin; its `high` is the 99 % upper bound of Clopper and Pearson, and
that must not be above alpha + 0.006. `power_*` is how far the promoted share of equal pairs lies from what the power rule states. `creep_*`
is the share of chains of 50 retrainings, each a little worse than the champion in force, in which the champion was ever below the best
champion by more than the margin; `unguarded_*` is the same without the guard. Everything is drawn from fixed seeds, so the number of rounds
changes nothing.
"""

from __future__ import annotations

import functools
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.stats import beta

from benchmarks import measure
from tasks.gating import mcnemar
from tasks.gating.contest import Judge
from tasks.gating.judgement import LEADS_AT
from tasks.gating.rows import Contest

ALPHA, PAIRS, CHAINS, RETRAININGS = 0.05, 10_000, 2_000, 50
PAIRS_ALONE = 100_000
"""Of independent samples: ten times as many, since the bound over 10,000 misses by chance one time in eleven where the rate is 0.048."""
SLACK = 0.006
"""What the upper bound over 10,000 pairs may lie above alpha."""
POWER_OFF = 0.02
"""What the stated power may be off."""


@dataclass(frozen=True)
class World:
    """Pairs of models on samples that are independent, or in groups of mean size `group`."""

    samples: int
    disagreement: float
    margin: float
    group: int = 1
    spread: float = 0.5
    """Of the rate of disagreement between groups: the variance of its gamma distribution of mean 1."""


@dataclass(frozen=True)
class Chain:
    """Retrainings on one test set, each with a true difference to the champion in force that is drawn from a normal distribution."""

    samples: int
    disagreement: float
    margin: float
    mean: float
    deviation: float
    accuracy: float = 0.9


ALONE = {
    "300_seldom": World(300, 0.02, 0.02),
    "300": World(300, 0.10, 0.05),
    "1000_seldom": World(1000, 0.02, 0.02),
    "1000": World(1000, 0.06, 0.02),
    "3000": World(3000, 0.05, 0.01),
}
GROUPED = {
    "100_groups_of_10": World(1000, 0.06, 0.02, group=10, spread=1.0),
    "300_groups_of_4": World(1200, 0.2, 0.03, group=4),
}
CHAINED = {
    "fifth": Chain(2000, 0.05, 0.02, -0.004, 0.004),
    "half": Chain(2000, 0.05, 0.02, -0.01, 0.005),
    "wide": Chain(2000, 0.05, 0.02, -0.002, 0.01),
    "few": Chain(1000, 0.04, 0.02, -0.004, 0.004),
}


def run(rounds: int) -> dict[str, Any]:  # noqa: ARG001  the same seeds give the same numbers
    """Shares of wrong promotions, deviations of the stated power, and chains that crept."""
    ratios = {}
    for name, world in ALONE.items():
        for test in ("mcnemar", "bootstrap"):
            promoted = promoted_alone(world, test, -world.margin, PAIRS_ALONE)
            ratios[f"false_{test}_{name}"] = rate(promoted, PAIRS_ALONE, ALPHA + SLACK)
            ratios[f"power_{test}_{name}"] = power_off(world, test, promoted_alone(world, test, 0.0, PAIRS_ALONE))
    for name, world in GROUPED.items():
        ratios[f"false_bootstrap_{name}"] = rate(promoted_in_groups(world, PAIRS), PAIRS, ALPHA + SLACK)
    for name, chain in CHAINED.items():
        ratios[f"creep_{name}"] = rate(crept(chain, CHAINS, guarded=True), CHAINS, ALPHA + SLACK)
        ratios[f"unguarded_{name}"] = rate(crept(chain, 200, guarded=False), 200, None)
    return {"name": "gate", "ok": all(entry["ok"] for entry in ratios.values()), "ratios": ratios}


def rate(hits: int, of: int, goal: float | None) -> dict[str, Any]:
    """A share with its 99 % upper bound, by which the goal is met or not."""
    high = 1.0 if hits == of else float(beta.ppf(0.99, hits + 1, of - hits))
    low = 0.0 if hits == 0 else float(beta.ppf(0.01, hits, of - hits + 1))
    return measure.metric(hits / of, low, high, goal=goal, ok=goal is None or high <= goal)


def power_off(world: World, test: str, promoted: int) -> dict[str, Any]:
    """The promoted share minus the stated power."""
    first = round(world.samples * world.disagreement / 2)
    stated = judge(world.samples, first, first, test).power(-world.margin, 0.0, 1 - ALPHA)
    entry = rate(promoted, PAIRS_ALONE, None)
    off = {key: entry[key] - stated for key in ("median", "low", "high")}
    return measure.metric(off["median"], off["low"], off["high"], goal=POWER_OFF, ok=abs(off["median"]) <= POWER_OFF)


def promoted_alone(world: World, test: str, difference: float, pairs: int, seed: int = 0) -> int:
    """Pairs with this true difference that the gate promotes, each sample being a group of its own."""
    first, second = (world.disagreement + difference) / 2, (world.disagreement - difference) / 2
    drawn = np.random.default_rng([seed, world.samples]).multinomial(world.samples, [first, second, 1 - first - second], size=pairs)
    seen, times = np.unique(drawn[:, :2], axis=0, return_counts=True)
    return int(sum(count for (one, other), count in zip(seen, times, strict=True) if other <= most_lost(world, test, int(one))))


def promoted_in_groups(world: World, pairs: int, seed: int = 0) -> int:
    """Pairs with a true difference of minus the margin that the gate promotes, where groups differ in how often the models disagree."""
    rng, groups, promoted = np.random.default_rng([seed, world.group]), world.samples // world.group, 0
    first, second = (world.disagreement - world.margin) / 2, (world.disagreement + world.margin) / 2
    for pair in range(pairs):
        sizes_G = rng.integers(1, 2 * world.group, groups)
        rates_G2 = rng.gamma(1 / world.spread, world.spread, (groups, 2)) * (first, second)
        rates_G2 /= np.maximum(1.0, rates_G2.sum(axis=1, keepdims=True) * (1 + 1e-9))
        counts_G3 = rng.multinomial(sizes_G, np.concatenate([rates_G2, 1 - rates_G2.sum(axis=1, keepdims=True)], axis=1))
        gain_N = np.repeat(np.tile([1.0, -1.0, 0.0], groups), counts_G3.ravel())
        groups_N = np.repeat(np.arange(groups), sizes_G).astype(str)
        stand = Judge(Contest(gain_N, np.ones_like(gain_N), groups_N, 0.0, 0.0), "accuracy", "bootstrap", pair)
        promoted += stand.p_better(-world.margin) <= stand.level(1 - ALPHA)
    return promoted


@functools.cache
def most_lost(world: World, test: str, first: int) -> int:
    """The most samples that the baseline alone may get right when the candidate alone gets `first`; -1 = it is never promoted."""
    if test == "mcnemar":  # by the statistic that the p-value crosses alpha at, which is the same decision
        critical = mcnemar.critical(world.samples, -world.margin, ALPHA)
        reached = mcnemar.score(first, np.arange(world.samples - first + 1), world.samples, -world.margin) >= critical
        return int(reached.sum()) - 1
    low, high = -1, min(world.samples - first, first + round(world.samples * world.margin))
    while low < high:
        middle = (low + high + 1) // 2
        low, high = (middle, high) if passes(world, test, first, middle) else (low, middle - 1)
    return low


def passes(world: World, test: str, first: int, second: int) -> bool:
    """Whether the gate promotes a candidate that alone is right on `first` samples, the baseline on `second`."""
    stand = judge(world.samples, first, second, test)
    return stand.p_better(-world.margin) <= stand.level(1 - ALPHA)


def judge(samples: int, first: int, second: int, test: str) -> Judge:
    """What the gate judges by, from counts."""
    gain_N = np.zeros(samples)
    gain_N[:first], gain_N[first : first + second] = 1.0, -1.0
    return Judge(Contest(gain_N, np.ones(samples), np.arange(samples).astype(str), 0.0, 0.0), "accuracy", test, seed=0)


def crept(chain: Chain, chains: int, *, guarded: bool, at_once: int = 200) -> int:
    """Chains in which the champion in force was ever worse than the best champion, in truth, by more than the margin."""
    return sum(_crept(chain, min(at_once, chains - start), start, guarded=guarded) for start in range(0, chains, at_once))


def _crept(chain: Chain, chains: int, seed: int, *, guarded: bool) -> int:
    rng, margin = np.random.default_rng([seed, chain.samples]), chain.margin
    champion_CN = rng.random((chains, chain.samples)) < chain.accuracy
    best_CN = champion_CN.copy()
    truth_C = np.full(chains, chain.accuracy)
    top_C, ever_C = truth_C.copy(), np.zeros(chains, dtype=bool)
    for _ in range(RETRAININGS):
        difference_C = rng.normal(chain.mean, chain.deviation, chains)
        gained_C = np.minimum(np.clip((chain.disagreement + difference_C) / 2, 0, None) / (1 - truth_C), 1)
        lost_C = np.minimum(np.clip((chain.disagreement - difference_C) / 2, 0, None) / truth_C, 1)
        drawn_CN = rng.random(champion_CN.shape)
        candidate_CN = np.where(champion_CN, drawn_CN >= lost_C[:, None], drawn_CN < gained_C[:, None])
        accepted_C = _rules_out(candidate_CN, champion_CN, -margin, ALPHA)
        if guarded:
            accepted_C &= _rules_out(candidate_CN, best_CN, -margin, ALPHA / RETRAININGS)
            leads_C = accepted_C & _rules_out(candidate_CN, best_CN, 0.0, LEADS_AT)
            best_CN[leads_C] = candidate_CN[leads_C]
        truth_C = np.where(accepted_C, truth_C + (1 - truth_C) * gained_C - truth_C * lost_C, truth_C)
        champion_CN[accepted_C] = candidate_CN[accepted_C]
        top_C = np.maximum(top_C, truth_C)
        ever_C |= top_C - truth_C > margin
    return int(ever_C.sum())


def _rules_out(candidate_CN: NDArray[np.bool_], rival_CN: NDArray[np.bool_], delta: float, level: float) -> NDArray[np.bool_]:
    """In which chains the exact test rules a difference of `delta` out."""
    samples = candidate_CN.shape[1]
    first_C, second_C = (candidate_CN & ~rival_CN).sum(axis=1), (rival_CN & ~candidate_CN).sum(axis=1)
    ruled_out: NDArray[np.bool_] = mcnemar.score(first_C, second_C, samples, delta) >= mcnemar.critical(samples, delta, level)
    return ruled_out
