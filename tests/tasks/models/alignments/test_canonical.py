"""The coordinates that CCA's embeddings are compared in: canonical ones, and as good as the data allow.

Shapes: B samples, M modalities, E numbers of an embedding.
"""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor

from tasks.models.alignments.canonical import CanonicalSpace
from tasks.models.alignments.config import CcaConfig
from tasks.registry import implementation

B, E = 400, 4


def embedded(count: int = 2, seed: int = 0) -> Tensor:
    """Modalities that share a signal, each in coordinates of its own, BME."""
    generator = torch.Generator().manual_seed(seed)
    signal = torch.randn(B, E, generator=generator)
    each = []
    for _ in range(count):
        noisy = signal + torch.tensor([0.1, 0.2, 0.3, 4.0]) * torch.randn(B, E, generator=generator)
        each.append(noisy @ torch.randn(E, E, generator=generator) + 5 * torch.randn(E, generator=generator))
    return torch.stack(each, dim=1)


def learned(values_BME: Tensor, counts_BM: Tensor | None = None, batches: int = 1) -> CanonicalSpace:
    names = [f"m{place}" for place in range(values_BME.shape[1])]
    space = CanonicalSpace(names, E, ridge=1e-9, memory=0.9)
    counts_BM = torch.ones(values_BME.shape[:2]) if counts_BM is None else counts_BM
    for part in torch.arange(len(values_BME)).chunk(batches):
        space.learn(values_BME[part], counts_BM[part])
    return space


def test_two_modalities_have_the_correlations_and_coordinates_of_numpys_svd() -> None:
    values_BME = embedded()
    bases = [np.linalg.svd(each - each.mean(0), full_matrices=False)[0] for each in values_BME.double().numpy().transpose(1, 0, 2)]
    u, expected, vt = np.linalg.svd(bases[0].T @ bases[1])
    space = learned(values_BME)
    _, _, correlation_E = space.coordinates()
    np.testing.assert_allclose(correlation_E, expected, atol=1e-6)
    placed = space(values_BME).double().numpy()
    for place, base in enumerate((bases[0] @ u, bases[1] @ vt.T)):
        direction = base * np.sqrt(B) * np.sqrt(expected)
        turned = np.sign((direction * placed[:, place]).sum(0))
        np.testing.assert_allclose(placed[:, place] * turned, direction, atol=1e-4)
    signs = [np.sign((base * placed[:, place]).sum(0)) for place, base in enumerate((bases[0] @ u, bases[1] @ vt.T))]
    np.testing.assert_array_equal(signs[0], signs[1])


@pytest.mark.parametrize("count", [2, 3])
def test_embeddings_in_coordinates_of_their_own_find_each_other_in_the_shared_ones(count: int) -> None:
    values_BME = embedded(count)

    def found(given_BME: Tensor) -> float:
        unit = torch.nn.functional.normalize(given_BME, dim=-1)
        ranks = [(unit[:, a] @ unit[:, b].T).argsort(dim=1, descending=True).argsort(dim=1).diagonal() for a, b in ((0, 1), (1, 0))]
        return float((torch.cat(ranks) < 10).float().mean())

    assert found(values_BME) < 0.1
    assert found(learned(values_BME)(values_BME)) > 0.5


def test_a_pair_is_learned_from_the_samples_that_have_both() -> None:
    values_BME = embedded()
    counts_BM = torch.ones(B, 2)
    counts_BM[:100, 1] = 0
    changed = values_BME.clone()
    changed[:100, 1] = 1e3
    torch.testing.assert_close(learned(changed, counts_BM).coordinates(), learned(values_BME, counts_BM).coordinates())
    counts_BM[:100] = 0
    only = learned(values_BME[100:])
    torch.testing.assert_close(learned(values_BME, counts_BM).coordinates()[2], only.coordinates()[2])


def test_moments_of_many_batches_are_their_running_mean() -> None:
    values_BME = embedded()
    space = learned(values_BME, batches=2)
    parts = [torch.einsum("bme,bnf->mnef", part, part) for part in values_BME.double().chunk(2)]
    torch.testing.assert_close(space.second_MMEE, 0.1 * (0.9 * parts[0] + parts[1]))
    torch.testing.assert_close(space.weight_MM, torch.full((2, 2), 0.1 * 1.9 * B / 2, dtype=torch.float64))


def test_a_space_that_has_seen_nothing_gives_numbers() -> None:
    space = implementation_space()
    assert space(embedded()).isfinite().all()
    restored = implementation_space()
    space.learn(embedded(), torch.ones(B, 2))
    restored.load_state_dict(space.state_dict())
    assert torch.equal(restored(embedded()), space(embedded()))


def implementation_space() -> CanonicalSpace:
    from tasks.models.alignments import ALIGNMENTS

    found: CanonicalSpace = implementation(ALIGNMENTS, "cca")(CcaConfig(), E).space(("m0", "m1"))
    return found
