"""How well a score puts some samples before others: area under ROC and average precision, for a split or all resamples of a bootstrap.

In: scores, which samples are positive, and how often each sample counts in each resample. Out: one number a resample, NaN where a resample
has nothing to rank. Nothing here knows models or files.

Equal scores are one threshold. The area under ROC is the chance that a positive sample has the higher score, ties counting one half (Hanley
& McNeil 1982); average precision is Σ (recall_t - recall_t-1) · precision_t over the thresholds, from high to low, as scikit-learn has it.

Shapes: N samples, S distinct scores, R resamples, K classes.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Bools = NDArray[np.bool_]


def auroc(score_N: NDArray[Any], positive_N: Bools, weight_RN: Floats) -> Floats:
    """R: NaN without a positive or without a negative sample."""
    positive_RS, negative_RS = _by_score(score_N, positive_N, weight_RN)
    below_RS = np.cumsum(negative_RS, axis=1) - negative_RS / 2
    pairs_R = positive_RS.sum(axis=1) * negative_RS.sum(axis=1)
    return _ratio((positive_RS * below_RS).sum(axis=1), pairs_R)


def average_precision(score_N: NDArray[Any], positive_N: Bools, weight_RN: Floats, total_R: Floats | None = None) -> Floats:
    """R: NaN without a positive sample. `total_R`: how much there is to be found, where it is more than what has a score."""
    if not score_N.size:
        return _ratio(np.zeros(len(weight_RN)), np.zeros(len(weight_RN)) if total_R is None else total_R)
    positive_RS, negative_RS = (part[:, ::-1] for part in _by_score(score_N, positive_N, weight_RN))
    found_RS = np.cumsum(positive_RS, axis=1)
    all_RS = found_RS + np.cumsum(negative_RS, axis=1)
    precision_RS = np.divide(found_RS, all_RS, out=np.zeros_like(all_RS), where=all_RS > 0)
    return _ratio((positive_RS * precision_RS).sum(axis=1), found_RS[:, -1] if total_R is None else total_R)


def mean_over_classes(metric: Any, score_NK: NDArray[Any], positive_NK: Bools, weight_RN: Floats) -> Floats:
    """R: the mean of `auroc` or `average_precision` over the classes where there is one; NaN where there is none."""
    total_R, number_R = np.zeros(len(weight_RN)), np.zeros(len(weight_RN))
    for score_N, positive_N in zip(score_NK.T, positive_NK.T, strict=True):
        value_R = metric(score_N, positive_N, weight_RN)
        total_R += np.nan_to_num(value_R)
        number_R += np.isfinite(value_R)
    return _ratio(total_R, number_R)


def auroc_parts(score_N: NDArray[Any], positive_N: Bools) -> Floats:
    """N numbers whose mean is the area, each what its sample makes of it: the influence function added to the area (DeLong et al. 1988).

    NaN in all of them without a positive or without a negative sample.
    """
    size, positives = positive_N.size, int(positive_N.sum())
    if not 0 < positives < size:
        return np.full(size, np.nan)
    order = {kind: np.sort(score_N[positive_N == kind]) for kind in (True, False)}

    def below(scores: NDArray[Any], of: bool) -> Floats:
        """Share of the samples of a kind with a lower score, equal ones counting one half."""
        low, high = (np.searchsorted(order[of], scores, side=side) for side in ("left", "right"))
        return (low + high) / (2 * order[of].size)

    placed_N = np.where(positive_N, below(score_N, False), 1 - below(score_N, True))
    area = placed_N[positive_N].mean()
    share_N = np.where(positive_N, size / positives, size / (size - positives))
    return np.asarray(area + share_N * (placed_N - area))


def _by_score(score_N: NDArray[Any], positive_N: Bools, weight_RN: Floats) -> tuple[Floats, Floats]:
    """Weights of the positive and of the negative samples at each distinct score, from low to high; each RS."""
    order_N = np.argsort(score_N, kind="stable")
    sorted_N = score_N[order_N]
    first_S = np.flatnonzero(np.concatenate([[True], sorted_N[1:] != sorted_N[:-1]]))
    weight_RN = weight_RN[:, order_N]
    positive_N = positive_N[order_N].astype(np.float64)
    return np.add.reduceat(weight_RN * positive_N, first_S, axis=1), np.add.reduceat(weight_RN * (1 - positive_N), first_S, axis=1)


def _ratio(above_R: Floats, below_R: Floats) -> Floats:
    found: Floats = np.divide(above_R, below_R, out=np.full(above_R.shape, np.nan), where=below_R > 0)
    return found
