"""Which samples a person gets to see: some it got right, and those it was most wrong about.

Deterministic: the same predictions choose the same samples. Right ones are drawn at random, one class after the other; wrong ones are the
most confident errors (regression: the largest; other kinds: the worst samples), from many classes and groups, so that one bad recording
does not fill the page.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tasks.evaluation.measures import UNMEASURED
from tasks.evaluation.predict import Predictions
from tasks.evaluation.said import HeadPredictions
from tasks.evaluation.scoring import Compared, qualities

NUM_RIGHT = 8
NUM_WRONG = 4


SHOWN_APART = ("retrieval", UNMEASURED)
"""Kinds of heads that cards say nothing of."""


def choose(
    predictions: Predictions, labels: Mapping[str, NDArray[Any]], groups_N: NDArray[Any], scored: Mapping[str, Compared] | None = None
) -> list[int]:
    """Positions in the split: right ones first. The first head that is shown on cards decides; none = no samples.

    `scored`: heads that have a scorer.
    """
    shown = {name: own for name, own in predictions.heads.items() if own.kind not in SHOWN_APART and name in labels}
    if not shown:
        return []
    head, own = next(iter(shown.items()))
    order = np.random.default_rng(0).permutation(len(predictions.keys))
    if own.scorer is not None:
        given = (scored or {})[head]
        right, wrong = _rated(qualities(given, given.full), order)
        bucket_N = np.zeros(len(order), dtype=np.int64)
    elif own.classes:
        right, wrong = _classified(labels[head], own, order)
        bucket_N = labels[head]
    else:
        right, wrong = _measured(labels[head], own, order)
        bucket_N = np.zeros(len(order), dtype=np.int64)
    chosen_right = spread(right, bucket_N, groups_N, NUM_RIGHT)
    chosen_wrong = spread(wrong, bucket_N, groups_N, NUM_WRONG)
    return sorted(chosen_right, key=lambda at: (int(bucket_N[at]), at)) + chosen_wrong


def _classified(labels_N: NDArray[Any], own: HeadPredictions, order: NDArray[Any]) -> tuple[list[int], list[int]]:
    assert own.probability is not None
    predicted = list(own.by_subset.values())[-1]
    confidence = own.probability.max(axis=1)
    known = labels_N >= 0
    right = [int(at) for at in order if known[at] and predicted[at] == labels_N[at]]
    wrong = [int(at) for at in np.argsort(-confidence, kind="stable") if known[at] and predicted[at] != labels_N[at]]
    return right, wrong


def _measured(labels_N: NDArray[Any], own: HeadPredictions, order: NDArray[Any]) -> tuple[list[int], list[int]]:
    error = np.abs(list(own.by_subset.values())[-1] - labels_N)
    known = np.isfinite(error)
    largest = [int(at) for at in np.argsort(-np.where(known, error, -1.0), kind="stable") if known[at]]
    wrong = largest[: max(1, len(largest) // 10)]
    worst = set(wrong)
    return [int(at) for at in order if known[at] and int(at) not in worst], wrong


def _rated(quality_N: NDArray[Any], order: NDArray[Any]) -> tuple[list[int], list[int]]:
    """The better half as it comes, and the others from the worst on."""
    known = [int(at) for at in order if np.isfinite(quality_N[at])]
    worst_first = sorted(known, key=lambda at: float(quality_N[at]))
    better = set(worst_first[len(known) // 2 :])
    return [at for at in known if at in better], [at for at in worst_first if at not in better]


def spread(candidates: list[int], bucket_N: NDArray[Any], groups_N: NDArray[Any], number: int) -> list[int]:
    """Up to `number`, from as many buckets and groups as there are, in the order of the candidates."""
    chosen: list[int] = []
    for most_per_bucket, one_per_group in ((1, True), (2, True), (number, True), (number, False)):
        for at in candidates:
            if len(chosen) == number:
                return chosen
            if at in chosen or sum(bucket_N[other] == bucket_N[at] for other in chosen) >= most_per_bucket:
                continue
            if one_per_group and any(groups_N[other] == groups_N[at] for other in chosen):
                continue
            chosen.append(at)
    return chosen
