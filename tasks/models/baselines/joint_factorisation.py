"""Joint matrix factorisation: one vector a sample that explains the features of all its modalities. Plain numpy.

In: a matrix of features a modality, and which samples have it. Out: factors, and for any samples with any of the modalities their shared
vector, from which the other modalities can be said. As in collective matrix factorisation (Singh and Gordon, KDD 2008), fitted by
alternating least squares. Must not import torch, ray or mlflow.

Shape suffixes: N samples, D features of a modality, K numbers of a shared vector.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from tasks.errors import InputError

Matrix = npt.NDArray[np.float64]
Flags = npt.NDArray[np.bool_]


@dataclass(frozen=True)
class JointFactorisation:
    """x ≈ mean + scale · u V for each modality, with the same u of a sample for all of them."""

    means: dict[str, Matrix]
    """Modality → D: what is said of a sample whose shared vector is zero."""
    scales: dict[str, float]
    """Modality → root of the summed variances of its features: each modality counts the same, however many features it has."""
    factors: dict[str, Matrix]
    """Modality → KD."""
    ridge: float
    losses: tuple[float, ...]
    """What `fit` minimises, after each of its rounds; never rising."""

    def shared(self, features: Mapping[str, Matrix], present: Mapping[str, Flags]) -> Matrix:
        """NK: the vector of each sample, from those of its modalities that are there; zeros where none is."""
        return _shared(self.standard(features), present, self.factors, self.ridge)

    def said(self, shared_NK: Matrix, modality: str) -> Matrix:
        """ND: the features of a modality, whether samples have it or not."""
        return self.means[modality] + self.scales[modality] * (shared_NK @ self.factors[modality])

    def standard(self, features: Mapping[str, Matrix]) -> dict[str, Matrix]:
        return {name: (features[name] - self.means[name]) / self.scales[name] for name in self.factors}


def fit(
    features: Mapping[str, Matrix],
    present: Mapping[str, Flags],
    rank: int,
    *,
    ridge: float = 1e-3,
    rounds: int = 50,
    seed: int = 0,
) -> JointFactorisation:
    """Minimises Σ_m Σ_n [n has m] ‖x_nm − b_m − u_n V_m‖² + ridge · (‖U‖² + ‖V‖²) over standardised features.

    Rows of `features` count nothing where `present` is False. Raises InputError for a modality that no sample has, and where there are
    fewer samples or features than `rank`.
    """
    names = sorted(features)
    for name in names:
        if not present[name].any():
            raise InputError(f"no sample has {name}; leave it out of the factorisation")
    samples, columns = len(present[names[0]]), sum(features[name].shape[1] for name in names)
    if not 1 <= rank <= min(samples, columns):
        raise InputError(f"rank is {rank}, and there are {samples} samples with {columns} features; choose 1 to {min(samples, columns)}")
    means = {name: features[name][present[name]].mean(0) for name in names}
    scales = {name: float(np.sqrt(features[name][present[name]].var(0).sum())) or 1.0 for name in names}
    standard = {name: (features[name] - means[name]) / scales[name] for name in names}
    shared_NK = np.random.default_rng(seed).standard_normal((samples, rank))
    factors: dict[str, Matrix] = {}
    losses = []
    for _ in range(rounds):
        for name in names:
            there_ND = standard[name][present[name]]
            factors[name], offset_D = _regressed(shared_NK[present[name]], there_ND, ridge)
            standard[name] = standard[name] - offset_D
            means[name] = means[name] + scales[name] * offset_D
        shared_NK = _shared(standard, present, factors, ridge)
        losses.append(_loss(standard, present, factors, shared_NK, ridge))
    return JointFactorisation(means, scales, factors, ridge, tuple(losses))


def _regressed(shared_NK: Matrix, values_ND: Matrix, ridge: float) -> tuple[Matrix, Matrix]:
    """Factor KD and offset D that say the values best; the offset is free of the ridge. Samples that lack a modality may differ in mean."""
    middle_K, middle_D = shared_NK.mean(0), values_ND.mean(0)
    centred_NK = shared_NK - middle_K
    factor_KD = np.linalg.solve(centred_NK.T @ centred_NK + ridge * np.eye(len(middle_K)), centred_NK.T @ (values_ND - middle_D))
    return factor_KD, middle_D - middle_K @ factor_KD


def _shared(standard: Mapping[str, Matrix], present: Mapping[str, Flags], factors: Mapping[str, Matrix], ridge: float) -> Matrix:
    """Ridge regression of each sample on the factors of what it has, once for each set of modalities that samples have."""
    names = sorted(factors)
    has_NM = np.stack([present[name] for name in names], axis=1)
    rank = len(factors[names[0]])
    shared_NK = np.zeros((len(has_NM), rank))
    for pattern_M in np.unique(has_NM, axis=0):
        chosen = [name for name, has in zip(names, pattern_M, strict=True) if has]
        rows_N = (has_NM == pattern_M).all(1)
        if chosen:
            factor_KD = np.concatenate([factors[name] for name in chosen], axis=1)
            values_ND = np.concatenate([standard[name][rows_N] for name in chosen], axis=1)
            shared_NK[rows_N] = np.linalg.solve(factor_KD @ factor_KD.T + ridge * np.eye(rank), factor_KD @ values_ND.T).T
    return shared_NK


def _loss(
    standard: Mapping[str, Matrix], present: Mapping[str, Flags], factors: Mapping[str, Matrix], shared_NK: Matrix, ridge: float
) -> float:
    missed = sum(float(((standard[name] - shared_NK @ factors[name])[present[name]] ** 2).sum()) for name in factors)
    return missed + ridge * (float((shared_NK**2).sum()) + sum(float((factor**2).sum()) for factor in factors.values()))
