"""Every alignment against its formula, written out in numpy or by scikit-learn.

Shapes: N pairs, E numbers of an embedding.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from sklearn.cross_decomposition import CCA
from sklearn.metrics.pairwise import cosine_similarity, rbf_kernel
from torch import Tensor, nn

from tasks.models.alignments import ALIGNMENTS
from tasks.models.alignments.scale import Scale
from tasks.registry import implementation
from tasks.training.state import parameter_groups

N, E = 12, 5


def alignment_of(kind: str, dim: int = E, **settings: Any) -> nn.Module:
    built: nn.Module = implementation(ALIGNMENTS, kind)(ALIGNMENTS[kind].config(**settings), dim)
    return built


def pairs(count: int = N, dim: int = E, seed: int = 0) -> tuple[NDArray[Any], NDArray[Any]]:
    """Two clouds that have something in common, away from zero."""
    rng = np.random.default_rng(seed)
    shared = rng.standard_normal((count, dim))
    return (shared + 0.7 * rng.standard_normal((count, dim)) + 3, shared @ rng.standard_normal((dim, dim)) - 1)


def mean_of(alignment: nn.Module, one: NDArray[Any], other: NDArray[Any]) -> float:
    total, weight = alignment(torch.tensor(one, dtype=torch.float32), torch.tensor(other, dtype=torch.float32), torch.ones(len(one)))
    assert weight == len(one)
    return float((total / weight).detach())


def test_contrastive_is_the_mean_cross_entropy_of_rows_and_columns() -> None:
    one, other = pairs()
    logits = cosine_similarity(one, other) / 0.07
    rows = np.log(np.exp(logits).sum(1)) - np.diag(logits)
    columns = np.log(np.exp(logits).sum(0)) - np.diag(logits)
    assert mean_of(alignment_of("contrastive"), one, other) == pytest.approx((rows.mean() + columns.mean()) / 2, rel=1e-5)


def test_siglip_is_the_papers_sum_over_all_pairs() -> None:
    one, other = pairs()
    cosines, total = cosine_similarity(one, other), 0.0
    for row in range(N):
        for column in range(N):
            same = 1 if row == column else -1
            total += math.log1p(math.exp(-same * (10 * cosines[row, column] - 10)))
    assert mean_of(alignment_of("siglip"), one, other) == pytest.approx(total / N, rel=1e-5)


@pytest.mark.parametrize("others", ["all", "hardest"])
def test_margin_is_the_hinge_against_the_hardest_or_against_all(others: str) -> None:
    one, other = pairs()
    expected = 0.0
    for cosines in (cosine_similarity(one, other), cosine_similarity(other, one)):
        for row in range(N):
            costs = [max(0.0, 0.3 + cosines[row, column] - cosines[row, row]) for column in range(N) if column != row]
            expected += max(costs) if others == "hardest" else float(np.mean(costs))
    assert mean_of(alignment_of("margin", margin=0.3, others=others), one, other) == pytest.approx(expected / N, rel=1e-5)


def test_distance_is_that_of_unit_vectors() -> None:
    one, other = pairs()
    apart = one / np.linalg.norm(one, axis=1, keepdims=True) - other / np.linalg.norm(other, axis=1, keepdims=True)
    assert mean_of(alignment_of("distance"), one, other) == pytest.approx((apart**2).sum(1).mean(), rel=1e-5)


@pytest.mark.parametrize("estimate", ["biased", "unbiased"])
def test_mmd_with_bandwidths_of_its_own_is_a_double_loop_over_all_pairs(estimate: str) -> None:
    one, other = pairs()

    def kernel(x: NDArray[Any], y: NDArray[Any]) -> float:
        return float(np.mean([rbf_kernel(x[None], y[None], gamma=1 / (2 * width**2))[0, 0] for width in (1.0, 4.0)]))

    def mean(x: NDArray[Any], y: NDArray[Any], *, within: bool) -> float:
        skipped = within and estimate == "unbiased"
        return float(np.mean([kernel(x[i], y[j]) for i in range(N) for j in range(N) if not (skipped and i == j)]))

    expected = mean(one, one, within=True) + mean(other, other, within=True) - 2 * mean(one, other, within=False)
    found = mean_of(alignment_of("mmd", estimate=estimate, bandwidths=(1.0, 4.0), unit="one"), one, other)
    assert found == pytest.approx(expected, abs=1e-6)


def test_mmd_by_the_median_measures_in_units_of_the_median_distance() -> None:
    one, other = pairs()
    both = np.concatenate([one, other]).astype(np.float32).astype(np.float64)
    distances = sorted(float(np.linalg.norm(both[i] - both[j])) for i in range(2 * N) for j in range(i))
    median = distances[(len(distances) - 1) // 2]
    fixed = alignment_of("mmd", bandwidths=(0.5 * median, 2 * median), unit="one")
    assert mean_of(alignment_of("mmd", bandwidths=(0.5, 2.0)), one, other) == pytest.approx(mean_of(fixed, one, other), rel=1e-5)
    assert mean_of(alignment_of("mmd", bandwidths=(0.5, 2.0)), 50 * one, 50 * other) == pytest.approx(mean_of(fixed, one, other), rel=1e-4)


def test_unbiased_mmd_of_two_draws_from_one_cloud_is_zero_on_average_and_the_biased_is_not() -> None:
    rng = np.random.default_rng(0)
    found: dict[str, list[float]] = {kind: [] for kind in ("biased", "unbiased")}
    for _ in range(300):
        for kind, values in found.items():
            values.append(mean_of(alignment_of("mmd", estimate=kind), rng.standard_normal((8, 3)), rng.standard_normal((8, 3))))
    deviation = np.std(found["unbiased"]) / math.sqrt(300)
    assert abs(np.mean(found["unbiased"])) < 3 * deviation
    assert np.mean(found["biased"]) > 10 * deviation


def test_mmd_tells_two_clouds_apart_that_do_not_differ_in_their_means() -> None:
    rng = np.random.default_rng(0)
    wide, narrow = 2 * rng.standard_normal((200, 3)), rng.standard_normal((200, 3))
    assert mean_of(alignment_of("mmd"), wide, narrow) > 10 * abs(mean_of(alignment_of("mmd"), rng.standard_normal((200, 3)), narrow))


def test_coral_is_the_squared_distance_of_covariances() -> None:
    one, other = pairs()
    expected = np.square(np.cov(one.T) - np.cov(other.T)).sum() / (4 * E**2)
    assert mean_of(alignment_of("coral"), one, other) == pytest.approx(expected, rel=1e-5)
    assert mean_of(alignment_of("coral"), one + 7, other - 2) == pytest.approx(expected, rel=1e-5)


def test_cca_is_minus_the_canonical_correlations_of_numpys_svd_and_of_scikit_learn() -> None:
    one, other = pairs(count=200)
    bases = [np.linalg.svd(each - each.mean(0), full_matrices=False)[0] for each in (one, other)]
    expected = np.linalg.svd(bases[0].T @ bases[1])[1]
    fitted = CCA(n_components=E, max_iter=5000).fit(one, other)
    scores = fitted.transform(one, other)
    np.testing.assert_allclose([np.corrcoef(scores[0][:, k], scores[1][:, k])[0, 1] for k in range(E)], expected, atol=1e-4)
    assert mean_of(alignment_of("cca", ridge=1e-9), one, other) == pytest.approx(-expected.sum(), abs=1e-5)
    assert mean_of(alignment_of("cca", ridge=1e-9, components=2), one, other) == pytest.approx(-expected[:2].sum(), abs=1e-5)
    turned = mean_of(alignment_of("cca", ridge=1e-9), one @ np.random.default_rng(1).standard_normal((E, E)) + 5, other)
    assert turned == pytest.approx(-expected.sum(), abs=1e-5)


def test_the_gradient_of_cca_is_the_papers() -> None:
    """Andrew et al. 2013, §3: ∂/∂H₁ = (2 ∇₁₁ H̄₁ + ∇₁₂ H̄₂) / (m - 1), ∇₁₂ = C₁₁^-½ U Vᵀ C₂₂^-½, ∇₁₁ = -½ C₁₁^-½ U D Uᵀ C₁₁^-½."""
    one, other = (each.astype(np.float32).astype(np.float64) for each in pairs(count=40))
    centred = [each - each.mean(0) for each in (one, other)]
    root = []
    for each in centred:
        values, vectors = np.linalg.eigh(each.T @ each / 39 + 0.01 * np.eye(E))
        root.append(vectors @ np.diag(values**-0.5) @ vectors.T)
    u, d, vt = np.linalg.svd(root[0] @ (centred[0].T @ centred[1] / 39) @ root[1])
    own, across = -0.5 * root[0] @ u @ np.diag(d) @ u.T @ root[0], root[0] @ u @ vt @ root[1]
    expected = (2 * centred[0] @ own + centred[1] @ across.T) / 39
    given = torch.tensor(one, dtype=torch.float32, requires_grad=True)
    total, weight = alignment_of("cca", ridge=0.01)(given, torch.tensor(other, dtype=torch.float32), torch.ones(40))
    (total / weight).backward()
    assert given.grad is not None
    np.testing.assert_allclose(given.grad.numpy(), -expected, atol=1e-5)


@pytest.mark.parametrize("count", [3, E, E + 1])
def test_cca_of_a_batch_no_larger_than_its_dim_has_finite_gradients_and_at_most_one_for_each_correlation(count: int) -> None:
    one, other = (torch.tensor(each, dtype=torch.float32, requires_grad=True) for each in pairs(count=count))
    total, weight = alignment_of("cca")(one, other, torch.ones(count))
    (total / weight).backward()
    assert -E <= float((total / weight).detach()) < -0.9 * min(count - 1, E)
    for grad in (one.grad, other.grad):
        assert grad is not None
        assert grad.isfinite().all()


def test_cca_has_finite_gradients_where_correlations_are_equal_and_where_an_embedding_is_constant() -> None:
    same = torch.randn(50, E, generator=torch.Generator().manual_seed(0))
    for other in (same.clone(), torch.ones(50, E)):
        one = same.clone().requires_grad_()
        total, weight = alignment_of("cca")(one, other.requires_grad_(), torch.ones(50))
        (total / weight).backward()
        assert one.grad is not None
        assert other.grad is not None
        assert one.grad.isfinite().all()
        assert other.grad.isfinite().all()


@pytest.mark.parametrize("kind", ["mmd", "coral", "cca"])
def test_a_cloud_with_weights_is_that_of_its_samples_as_often(kind: str) -> None:
    one, other = pairs(count=5)
    twice = [0, 0, 1, 2, 3, 3, 3, 4]
    settings: dict[str, Any] = {"estimate": "biased", "unit": "one"} if kind == "mmd" else {}
    weight_B = torch.tensor([2.0, 1, 1, 3, 1])
    given = (torch.tensor(each, dtype=torch.float32) for each in (one, other))
    total, weight = alignment_of(kind, **settings)(*given, weight_B)
    assert float((total / weight).detach()) == pytest.approx(mean_of(alignment_of(kind, **settings), one[twice], other[twice]), rel=1e-5)


@pytest.mark.parametrize("kind", ["contrastive", "siglip"])
def test_the_learned_scale_has_no_weight_decay_and_comes_back_from_its_limit(kind: str) -> None:
    alignment = alignment_of(kind, max_scale=20.0)
    decaying, still = parameter_groups(alignment, 0.1)
    assert decaying["params"] == []
    assert len(still["params"]) == (2 if kind == "siglip" else 1)
    assert still["weight_decay"] == 0.0
    scale = alignment.scale
    assert isinstance(scale, Scale)
    optimizer = torch.optim.SGD(alignment.parameters(), lr=1.0)
    with torch.no_grad():
        scale.log.fill_(9.0)
    assert float(scale().detach()) == pytest.approx(20.0)
    worst = torch.tensor([[1.0, 0.0], [0.0, 1.0]])
    alignment(worst, worst.flip(0), torch.ones(2)).total.backward()
    optimizer.step()
    assert float(scale().detach()) < 19.0


def test_a_scale_begins_no_higher_than_its_limit() -> None:
    value: Tensor = Scale(30.0, 10.0)()
    assert float(value.detach()) == pytest.approx(10.0)
