"""When a classifier should answer and when it should rather not: a threshold, chosen on the validation split alone.

In: a head's predictions on val, and what the recipe asks for. Out: the threshold, what it promised there, and what it gives elsewhere: the
`threshold` part of a head in `report.json`.

    target, at_least, of_class      as the recipe has them
    reached              whether some threshold reaches `at_least` on val
    value                the threshold, null when none does
    best                 when it was not reached: the most that val allows
    chosen_on, measured  {split, samples, answered, precision, recall, coverage, each also as `…_interval`}; `measured` is null when
                         it was not reached
    held                 {precision, recall, coverage}[target] of the evaluated split is at least `at_least`; null when not reached

A sample is answered when its score is at least the threshold. Without `of_class` the score is the largest probability and an answer is
right when the class it names is the label; recall counts right answers among all samples. With `of_class` the score is the probability of
that class, an answer says "it is this class", and recall counts right answers among the samples of that class. Precision is right answers
among answers, coverage answers among samples (El-Yaniv & Wiener 2010 on selective classification).

Precision takes the lowest threshold that reaches it, so that as much as possible is answered; recall and coverage the highest, so that as
little as possible is wrong. Only scores that occur on val are tried.

Shapes: N samples, S distinct scores, R resamples.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from tasks.errors import InputError
from tasks.evaluation.intervals import Bootstrap, Floats, interval, resampled_sums
from tasks.evaluation.predict import HeadPredictions
from tasks.registry import closest

if TYPE_CHECKING:
    from tasks.evaluate import ThresholdConfig

Bools = NDArray[np.bool_]
RATES = ("precision", "recall", "coverage")


@dataclass(frozen=True)
class Scored:
    """What a threshold is chosen by: N samples that have a label."""

    score_N: Floats
    right_N: Bools
    """Whether the answer would be right, were it given."""
    relevant_N: Bools
    """What recall is a share of."""
    groups_N: NDArray[Any]

    def above(self, threshold: float) -> Scored:
        """Those that are answered."""
        kept = self.score_N >= threshold
        return Scored(self.score_N[kept], self.right_N[kept], self.relevant_N[kept], self.groups_N[kept])


def check_head(head: str, known: Mapping[str, Mapping[str, Any]], of_class: str | None) -> None:
    """`known`: head → its label's entry in model.json. Raises InputError when the head has no probabilities, or no such class."""
    if head not in known:
        raise InputError(f"thresholds: the model has no head {head!r}; it has: {', '.join(known)}{closest(head, list(known))}")
    if known[head]["kind"] != "category":
        what = "predicts a number" if known[head]["kind"] == "number" else f"learns from a label of kind {known[head]['kind']}"
        raise InputError(
            f"thresholds.{head}: this head {what}, and a threshold needs probabilities of which one is the answer; leave it out"
        )
    classes = list(known[head]["classes"])
    if of_class is not None and of_class not in classes:
        shown = ", ".join(classes[:20]) + (f" and {len(classes) - 20} more" if len(classes) > 20 else "")
        raise InputError(f"thresholds.{head}.of_class {of_class!r} is no class of {head!r}; allowed: {shown}{closest(of_class, classes)}")


def scored(predictions: HeadPredictions, labels_N: NDArray[Any], groups_N: NDArray[Any], of_class: str | None) -> Scored:
    """Of the samples with a label."""
    assert predictions.probability is not None
    known = labels_N >= 0
    probability, labels, groups = predictions.probability[known].astype(np.float64), labels_N[known], groups_N[known]
    if of_class is None:
        said = list(predictions.by_subset.values())[-1][known]
        return Scored(probability.max(axis=1), said == labels, np.ones(labels.size, dtype=bool), groups)
    at = predictions.classes.index(of_class)
    return Scored(probability[:, at], labels == at, labels == at, groups)


def choose(seen: Scored, target: str, at_least: float) -> tuple[float | None, float | None]:
    """The threshold on these samples and None, or None and the most that can be reached (None when that is not defined)."""
    tried_S = np.unique(seen.score_N)
    rates_S = _curve(seen, tried_S)[target]
    reached = np.flatnonzero(rates_S >= at_least - 1e-12)
    if reached.size:
        return float(tried_S[reached[0] if target == "precision" else reached[-1]]), None
    best = np.nanmax(rates_S) if np.isfinite(rates_S).any() else None
    return None, None if best is None else float(best)


def given(seen: Scored, threshold: float, split: str, bootstrap: Bootstrap) -> dict[str, Any]:
    """What a threshold gives on these samples, with intervals over their groups."""
    answered_N = seen.score_N >= threshold
    right_N = answered_N & seen.right_N
    columns = [answered_N, right_N, seen.relevant_N, np.ones_like(answered_N)]
    points, draws = _rates(*(column.sum() for column in columns)), _rates(*resampled_sums(columns, seen.groups_N, bootstrap).T)
    facts: dict[str, Any] = {"split": split, "samples": int(seen.score_N.size), "answered": int(answered_N.sum())}
    for name in RATES:
        value, finite_R = float(points[name]), draws[name][np.isfinite(draws[name])]
        facts[name] = value if np.isfinite(value) else None
        facts[f"{name}_interval"] = interval(finite_R, seen.groups_N, bootstrap) if finite_R.size and np.isfinite(value) else None
    return facts


def threshold_facts(config: ThresholdConfig, on_val: Scored, elsewhere: Scored, split: str, bootstrap: Bootstrap) -> dict[str, Any]:
    """Choose on val, measure on the evaluated split."""
    value, best = choose(on_val, config.target, config.at_least)
    facts: dict[str, Any] = {
        "target": config.target,
        "at_least": config.at_least,
        "of_class": config.of_class,
        "reached": value is not None,
        "value": value,
        "best": best,
        "chosen_on": {"split": "val", "samples": int(on_val.score_N.size)},
        "measured": None,
        "held": None,
    }
    if value is not None:
        facts["chosen_on"] = given(on_val, value, "val", bootstrap)
        facts["measured"] = given(elsewhere, value, split, bootstrap)
        measured = facts["measured"][config.target]
        facts["held"] = measured is not None and measured >= config.at_least
    return facts


def _curve(seen: Scored, tried_S: Floats) -> dict[str, Floats]:
    """The rates of every threshold tried."""
    order = np.argsort(seen.score_N, kind="stable")
    first_S = np.searchsorted(seen.score_N[order], tried_S, side="left")
    right_from = np.concatenate([np.cumsum(seen.right_N[order][::-1])[::-1], [0]])
    answered_S = seen.score_N.size - first_S
    return _rates(answered_S, right_from[first_S], np.full(tried_S.size, seen.relevant_N.sum()), np.full(tried_S.size, seen.score_N.size))


def _rates(answered: Any, right: Any, relevant: Any, samples: Any) -> dict[str, Floats]:
    """NaN where a rate has nothing below its line."""

    def ratio(above: Any, below: Any) -> Floats:
        above, below = np.asarray(above, dtype=np.float64), np.asarray(below, dtype=np.float64)
        known = np.full(np.broadcast(above, below).shape, np.nan)
        np.divide(above, below, out=known, where=below > 0)
        return known

    return {"precision": ratio(right, answered), "recall": ratio(right, relevant), "coverage": ratio(answered, samples)}
