"""Joint matrix factorisation against the singular value decomposition, and with modalities missing."""

from __future__ import annotations

import numpy as np
import pytest

from tasks.errors import InputError
from tasks.models.baselines.joint_factorisation import fit

SIZES = {"audio": 9, "image": 6, "text": 4}


def low_rank(rank: int, samples: int = 80, noise: float = 0.0, seed: int = 0) -> dict[str, np.ndarray]:
    random = np.random.default_rng(seed)
    shared = random.normal(size=(samples, rank))
    return {
        name: shared @ random.normal(size=(rank, size)) + 3 + noise * random.normal(size=(samples, size)) for name, size in SIZES.items()
    }


def everywhere(samples: int = 80) -> dict[str, np.ndarray]:
    return {name: np.ones(samples, dtype=bool) for name in SIZES}


def stacked(model: object, features: dict[str, np.ndarray]) -> np.ndarray:
    return np.concatenate([model.standard(features)[name] for name in sorted(SIZES)], axis=1)  # type: ignore[attr-defined]


def test_where_nothing_is_missing_it_is_the_best_approximation_of_its_rank() -> None:
    features = low_rank(8, noise=0.5)
    model = fit(features, everywhere(), 3, ridge=1e-9, rounds=400)
    standard = stacked(model, features)
    left, singular, right = np.linalg.svd(standard, full_matrices=False)
    expected = (left[:, :3] * singular[:3]) @ right[:3]
    found = model.shared(features, everywhere()) @ np.concatenate([model.factors[name] for name in sorted(SIZES)], axis=1)
    np.testing.assert_allclose(found, expected, atol=1e-5)


def test_a_ridge_takes_its_own_size_off_each_singular_value() -> None:
    features = low_rank(8, noise=0.5)
    model = fit(features, everywhere(), 3, ridge=0.4, rounds=600)
    singular = np.linalg.svd(stacked(model, features), compute_uv=False)
    found = model.shared(features, everywhere()) @ np.concatenate([model.factors[name] for name in sorted(SIZES)], axis=1)
    np.testing.assert_allclose(np.linalg.svd(found, compute_uv=False)[:3], singular[:3] - 0.4, atol=1e-4)


def test_missing_modalities_are_said_from_those_that_are_there() -> None:
    features, random = low_rank(3), np.random.default_rng(1)
    present = {name: random.random(80) > 0.3 for name in SIZES}
    hidden = {name: np.where(present[name][:, None], features[name], 1e6) for name in SIZES}
    model = fit(hidden, present, 3, ridge=1e-8, rounds=300)
    shared = model.shared(hidden, present)
    some = np.any(list(present.values()), axis=0)
    for name in SIZES:
        gaps = some & ~present[name]
        assert gaps.sum() > 10
        np.testing.assert_allclose(model.said(shared, name)[gaps], features[name][gaps], atol=1e-3)
    assert not shared[~some].any()


def test_new_samples_are_answered_and_no_round_makes_it_worse() -> None:
    features = low_rank(4, noise=0.1)
    model = fit({name: values[:60] for name, values in features.items()}, everywhere(60), 4, rounds=30)
    assert all(after <= before + 1e-9 for before, after in zip(model.losses, model.losses[1:], strict=False))
    alone = {name: np.full(20, name == "audio") for name in SIZES}
    shared = model.shared({name: values[60:] for name, values in features.items()}, alone)
    error = np.square(model.said(shared, "image") - features["image"][60:]).mean()
    assert error < 0.1 * features["image"][60:].var(0).mean()


@pytest.mark.parametrize("rank", [0, 20])
def test_a_rank_that_cannot_be_is_refused(rank: int) -> None:
    with pytest.raises(InputError, match=f"rank is {rank}, and there are 80 samples with 19 features; choose 1 to 19"):
        fit(low_rank(3), everywhere(), rank)


def test_a_modality_that_nobody_has_is_refused() -> None:
    with pytest.raises(InputError, match="no sample has text; leave it out of the factorisation"):
        fit(low_rank(3), {**everywhere(), "text": np.zeros(80, dtype=bool)}, 3)
