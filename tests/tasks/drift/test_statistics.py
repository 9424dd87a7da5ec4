from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from tasks.drift.statistics import beyond_chance, binned, by_chance, chi_squared, edges_of, frechet, holm, kolmogorov_smirnov, stability


@pytest.mark.parametrize(("first", "second", "shift"), [(30, 30, 0.0), (200, 351, 0.0), (200, 351, 0.3), (1000, 40, 2.0)])
def test_kolmogorov_smirnov_is_scipys(first: int, second: int, shift: float) -> None:
    generator = np.random.default_rng(first)
    one, other = generator.normal(size=first), generator.normal(shift, size=second)
    expected = stats.ks_2samp(one, other, method="asymp")
    found = kolmogorov_smirnov(one, other)
    assert found.statistic == pytest.approx(expected.statistic, abs=1e-12)
    assert found.p == pytest.approx(expected.pvalue, abs=1e-6)


def test_kolmogorov_smirnov_counts_equal_values_as_scipy_does() -> None:
    generator = np.random.default_rng(1)
    one, other = generator.integers(0, 4, 120).astype(float), generator.integers(0, 5, 90).astype(float)
    expected = stats.ks_2samp(one, other, method="asymp")
    assert kolmogorov_smirnov(one, other) == pytest.approx((expected.statistic, expected.pvalue), abs=1e-6)


@pytest.mark.parametrize(("size", "shift"), [(100, 0.65), (200, 0.5), (500, 0.3), (2000, 0.2)])
def test_nine_in_ten_shifts_of_this_size_are_found_among_thirty_tests(size: int, shift: float) -> None:
    """What docs/how-to-detect-drift.md says; the PSI of a shift is its square."""
    generator = np.random.default_rng(0)
    found = [kolmogorov_smirnov(generator.normal(size=2000), generator.normal(shift, size=size)).p <= 0.01 / 30 for _ in range(100)]
    assert np.mean(found) >= 0.9


def test_chi_squared_is_scipys_where_no_class_is_rare() -> None:
    table = np.array([[50, 30, 20, 44], [40, 30, 40, 41]])
    expected = stats.chi2_contingency(table, correction=False)
    assert chi_squared(*table) == pytest.approx((expected.statistic, expected.pvalue), abs=1e-6)


def test_rare_classes_are_one_class() -> None:
    found = chi_squared(np.array([100, 2, 1, 3, 0]), np.array([90, 3, 2, 1, 0]))
    expected = stats.chi2_contingency([[100, 6], [90, 6]], correction=False)
    assert found == pytest.approx((expected.statistic, expected.pvalue), abs=1e-9)


def test_one_class_cannot_move() -> None:
    assert chi_squared(np.array([70, 0]), np.array([30, 0])) == (0.0, 1.0)


def test_bins_hold_equal_shares_of_the_reference_and_values_beyond_it_have_bins_of_their_own() -> None:
    reference = np.arange(100, dtype=float)
    edges = edges_of(reference)
    assert binned(reference, edges).tolist() == [0, *[10] * 10, 0]
    assert binned(np.array([-5.0, 0.0, 99.0, 99.5]), edges)[[0, 1, -2, -1]].tolist() == [1, 1, 1, 1]


def test_a_value_that_half_of_the_reference_has_is_a_bin_of_its_own() -> None:
    reference = np.array([0.0] * 50 + list(range(1, 51)))
    counts = binned(reference, edges_of(reference))
    assert counts[1] == 50
    assert counts.sum() == 100


def test_psi_is_its_formula() -> None:
    first, second = np.array([10, 20, 70]), np.array([30, 30, 40])
    p, q = (first + 0.5) / 101.5, (second + 0.5) / 101.5
    assert stability(first, second) == pytest.approx(float(((q - p) * np.log(q / p)).sum()), abs=1e-12)
    assert stability(first, first) == 0.0


def test_of_normal_distributions_psi_comes_near_the_symmetric_divergence() -> None:
    """For equal deviations that is the squared shift (Kullback and Leibler's J); bins lose a little."""
    generator = np.random.default_rng(0)
    first, second = generator.normal(size=200_000), generator.normal(0.5, size=200_000)
    edges = edges_of(first, bins=50)
    assert stability(binned(first, edges), binned(second, edges)) == pytest.approx(0.25, abs=0.01)


def test_what_chance_gives_is_taken_off() -> None:
    generator = np.random.default_rng(0)
    found = []
    for _ in range(400):
        first, second = (generator.multinomial(size, [0.1] * 10) for size in (300, 150))
        found.append(stability(first, second))
    assert np.mean(found) == pytest.approx(by_chance(10, 300, 150), rel=0.08)
    assert beyond_chance(np.array([50, 50]), np.array([50, 50])) == 0.0


def test_holm_is_the_textbooks_example() -> None:
    assert holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.03, 0.06, 0.06, 0.02])
    assert holm([0.9, 0.8]) == [1.0, 1.0]
    assert holm([]) == []


def test_frechet_is_the_closed_form_for_diagonal_covariances() -> None:
    generator = np.random.default_rng(3)
    first = generator.normal(size=(4000, 3)) * [1.0, 2.0, 0.5]
    second = generator.normal(size=(4000, 3)) * [1.5, 1.0, 0.5] + [1.0, 0.0, 0.0]
    assert frechet(first, second) == pytest.approx(np.sqrt(1 + 0.25 + 1.0), abs=0.05)
    assert frechet(first, first) == pytest.approx(0.0, abs=1e-6)


def test_frechet_is_that_of_a_matrix_square_root() -> None:
    from scipy.linalg import sqrtm

    generator = np.random.default_rng(4)
    first, second = generator.normal(size=(50, 6)) @ generator.normal(size=(6, 6)), generator.normal(size=(70, 6))
    covariances = np.cov(first, rowvar=False), np.cov(second, rowvar=False)
    root = np.real(np.trace(sqrtm(covariances[0] @ covariances[1])))
    expected = ((first.mean(0) - second.mean(0)) ** 2).sum() + np.trace(covariances[0]) + np.trace(covariances[1]) - 2 * root
    assert frechet(first, second) == pytest.approx(np.sqrt(expected), abs=1e-6)
