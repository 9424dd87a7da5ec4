"""Do two sets of vectors come from one distribution: maximum mean discrepancy (Gretton et al. 2012) with permutations.

In: vectors of both sets. Out: the discrepancy, a p-value that is exact whatever the distribution, and the PSI of what tells the two apart
best. Must not import torch.

Shapes: N and M rows, P permutations, S = N + M.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from tasks.drift.statistics import Floats, Tested, beyond_chance, binned, edges_of

MAX_ROWS = 500
"""Of each set. The kernel has the square of both, and 500 see a shift of 0.4 deviations in one of ten directions."""
ENOUGH = 20
"""Permutations as far apart as the sets are: after so many the rest would not change the answer (Besag and Clifford 1991)."""
FIRST_CHUNK, CHUNK = 50, 250
"""Permutations at a time: few at first, since mostly nothing moved and 40 are enough to see it."""


def kernel(first_ND: Floats, second_MD: Floats) -> NDArray[np.float32]:
    """S × S Gaussian kernel of both sets together; its width is the median distance (of those above 0, where most rows are equal)."""
    both = np.concatenate([first_ND, second_MD]).astype(np.float64)
    squares = (both * both).sum(1)
    distances = np.maximum(squares[:, None] + squares[None, :] - 2 * both @ both.T, 0)
    np.fill_diagonal(distances, 0)
    apart = distances[np.triu_indices(len(both), 1)]
    width = np.median(apart)
    if width <= 1e-12 * max(1.0, float(apart.max(initial=0))):
        positive = apart[apart > 1e-12 * max(1.0, float(apart.max(initial=0)))]
        width = np.median(positive) if positive.size else 1.0
    return np.asarray(np.exp(-distances / width), dtype=np.float32)


def discrepancy(kernel_SS: NDArray[np.float32], num_first: int) -> float:
    """The unbiased estimate of the squared discrepancy; below 0 where chance has it so."""
    wide = kernel_SS.astype(np.float64)
    first, second, across = wide[:num_first, :num_first], wide[num_first:, num_first:], wide[:num_first, num_first:]
    sums = [(part.sum() - np.trace(part)) / (len(part) * (len(part) - 1)) for part in (first, second)]
    return float(sums[0] + sums[1] - 2 * across.mean())


def permutation_test(kernel_SS: NDArray[np.float32], num_first: int, permutations: int, generator: np.random.Generator) -> Tested:
    """The squared discrepancy, and how often sets dealt at random are as far apart.

    Stops early where that is often; p is never below 1 / (permutations + 1).
    """
    size = len(kernel_SS)
    weights_S = np.where(np.arange(size) < num_first, 1 / num_first, -1 / (size - num_first)).astype(np.float32)
    asked = float(weights_S.astype(np.float64) @ kernel_SS.astype(np.float64) @ weights_S.astype(np.float64))
    threshold = asked - 1e-6 * max(abs(asked), 1e-3)  # sums in single precision: an equal deal counts as equal
    seen = done = 0
    while done < permutations:
        count = min(CHUNK if done else FIRST_CHUNK, permutations - done)
        dealt_PS = generator.permuted(np.broadcast_to(weights_S, (count, size)), axis=1)
        as_far = np.einsum("ps,ps->p", dealt_PS @ kernel_SS, dealt_PS) >= threshold
        if seen + int(as_far.sum()) >= ENOUGH:
            at = int(np.flatnonzero(np.cumsum(as_far) >= ENOUGH - seen)[0]) + 1
            return Tested(discrepancy(kernel_SS, num_first), ENOUGH / (done + at))
        seen, done = seen + int(as_far.sum()), done + count
    return Tested(discrepancy(kernel_SS, num_first), (seen + 1) / (permutations + 1))


def witness_effect(kernel_SS: NDArray[np.float32], num_first: int) -> float:
    """PSI beyond chance of the witness function, which is high where the second set has more. Found on one half, measured on the other."""
    rows = np.arange(len(kernel_SS))
    is_first, even = rows < num_first, rows % 2 == 0
    found = []
    for half in (even, ~even):
        learn, measure = half, ~half
        scores = kernel_SS[:, learn & ~is_first].mean(1, dtype=np.float64) - kernel_SS[:, learn & is_first].mean(1, dtype=np.float64)
        reference, other = scores[measure & is_first], scores[measure & ~is_first]
        edges = edges_of(reference)
        found.append(beyond_chance(binned(reference, edges), binned(other, edges)))
    return float(np.mean(found))


def enough_permutations(num_tests: int, alpha: float) -> int:
    """So many that the smallest p-value there can be stays significant after correction for so many tests, twice over."""
    return max(999, math.ceil(2 * num_tests / alpha))
