from __future__ import annotations

import itertools

import numpy as np
import pytest
from scipy.spatial.distance import pdist, squareform

from tasks.drift.kernels import ENOUGH, discrepancy, enough_permutations, kernel, permutation_test, witness_effect


def vectors(number: int, shift: float = 0.0, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).normal(shift, size=(number, 4))


def test_the_kernel_is_gaussian_with_the_median_distance() -> None:
    first, second = vectors(20), vectors(15, seed=1)
    distances = squareform(pdist(np.concatenate([first, second]), "sqeuclidean"))
    expected = np.exp(-distances / np.median(distances[np.triu_indices(35, 1)]))
    assert kernel(first, second) == pytest.approx(expected, abs=1e-6)


def test_the_discrepancy_is_gretton_s_unbiased_estimate() -> None:
    matrix = kernel(vectors(12), vectors(9, 1.0, seed=1)).astype(np.float64)
    first, second = range(12), range(12, 21)
    inside = [np.mean([matrix[i, j] for i, j in itertools.permutations(part, 2)]) for part in (first, second)]
    across = np.mean([matrix[i, j] for i in first for j in second])
    assert discrepancy(matrix.astype(np.float32), 12) == pytest.approx(sum(inside) - 2 * across, abs=1e-6)


def test_the_p_value_comes_near_that_of_all_deals() -> None:
    matrix = kernel(vectors(6), vectors(5, 0.9, seed=2))
    weights = np.array([1 / 6] * 6 + [-1 / 5] * 5)
    asked = weights @ matrix @ weights
    deals = [np.where(np.isin(np.arange(11), chosen), 1 / 6, -1 / 5) for chosen in itertools.combinations(range(11), 6)]
    exact = np.mean([deal @ matrix @ deal >= asked - 1e-9 for deal in deals])
    found = [permutation_test(matrix, 6, 4000, np.random.default_rng(seed)).p for seed in range(60)]
    assert np.mean(found) == pytest.approx(exact, rel=0.15)


def test_p_is_never_below_what_the_permutations_can_tell() -> None:
    matrix = kernel(vectors(60), vectors(60, 3.0, seed=1))
    assert permutation_test(matrix, 60, 999, np.random.default_rng(0)).p == pytest.approx(1 / 1000)


def test_it_stops_early_where_chance_is_as_large() -> None:
    matrix = kernel(vectors(60), vectors(60, seed=1))
    p = permutation_test(matrix, 60, 10_000, np.random.default_rng(0)).p
    assert p > 0.01
    assert (ENOUGH / p) == pytest.approx(round(ENOUGH / p)), "so many of a whole number of permutations"


def test_p_values_are_uniform_when_nothing_moved() -> None:
    p = []
    for seed in range(300):
        both = np.random.default_rng(seed).normal(size=(80, 4))
        p.append(permutation_test(kernel(both[:50], both[50:]), 50, 999, np.random.default_rng(seed)).p)
    for level in (0.05, 0.25, 0.5, 0.75):
        assert np.mean(np.array(p) <= level) == pytest.approx(level, abs=4 * np.sqrt(level * (1 - level) / 300))


def test_vectors_that_are_nearly_all_equal_have_a_kernel() -> None:
    same = np.zeros((40, 4))
    other = same.copy()
    other[:15, 0] = 1.0
    matrix = kernel(same, other)
    assert np.isfinite(matrix).all()
    assert permutation_test(matrix, 40, 999, np.random.default_rng(0)).p < 0.01
    assert permutation_test(kernel(same, same), 40, 999, np.random.default_rng(0)).p > 0.5


def test_the_effect_is_zero_for_one_distribution_and_large_for_two() -> None:
    still = [witness_effect(kernel(vectors(200, seed=seed), vectors(200, seed=seed + 1000)), 200) for seed in range(20)]
    assert np.mean(still) < 0.05
    assert witness_effect(kernel(vectors(200), vectors(200, 1.0, seed=1)), 200) > 1.0


def test_permutations_suffice_for_the_correction() -> None:
    for tests, alpha in ((1, 0.05), (40, 0.01), (100, 0.001)):
        assert tests / (enough_permutations(tests, alpha) + 1) <= alpha
