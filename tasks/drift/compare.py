"""Two sketches: did anything move, what, and by how much.

In: a reference and new data. Out: one test a feature, corrected for being many, and for each modality whether it moved. A test says *moved*
when its corrected p-value is at most `alpha` and its effect at least `level`. Must not import torch.

| of | test | effect |
|---|---|---|
| a number | Kolmogorov and Smirnov | PSI over tenths of the reference |
| a class, a label, presence | chi squared | PSI over classes |
| a vector; all numbers of a medium together | MMD with permutations | PSI of the witness function |

The effect is the PSI beyond chance: what two samples of one distribution of these sizes have on the average is taken off.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray
from threadpoolctl import threadpool_limits

from tasks.drift import kernels, statistics
from tasks.drift.features import LABEL
from tasks.drift.sketch import Sketch
from tasks.errors import InputError

ALPHA, LEVEL = 0.01, 0.1
MIN_SAMPLES = 30
"""Of each side; with fewer, shifts that matter are missed more often than found."""
MAX_CLASSES = 12
"""Shown of a class feature."""


@dataclass(frozen=True)
class Settings:
    """How sure, how large, and from which random numbers."""

    alpha: float = ALPHA
    """The chance of any false alarm in a comparison."""
    level: float = LEVEL
    """Smallest effect (PSI beyond chance) that counts; 0 = whatever is significant."""
    seed: int = 0
    """Of permutations."""

    def __post_init__(self) -> None:
        if not 1e-6 <= self.alpha <= 0.5:
            raise InputError(f"--alpha is {self.alpha:g}; the chance of a false alarm is 0.000001 to 0.5")
        if not 0 <= self.level < float("inf"):
            raise InputError(f"--level is {self.level:g}; it is a PSI, at least 0: 0.1 is usual, 0.25 is a large change")


@dataclass(frozen=True)
class Finding:
    """What became of one feature."""

    feature: str
    """`image.brightness`"""
    test: str
    """ks, chi2 or mmd."""
    statistic: float
    p: float
    p_corrected: float
    effect: float
    """PSI beyond chance."""
    psi: float
    """PSI as it is usually given; nan for vectors."""
    counts: tuple[int, int]
    """Samples of the reference and of the new data that have the feature."""
    moved: bool
    details: Mapping[str, Any] = field(default_factory=dict)
    """Numbers: `quantiles` and `mean` of both. Classes: `shares` of both. Embeddings: `frechet`."""

    @property
    def group(self) -> str:
        """Modality, or `label`."""
        return self.feature.split(".")[0]


@dataclass(frozen=True)
class Comparison:
    """All tests, in a fixed order."""

    tests: tuple[Finding, ...]
    sizes: tuple[int, int]
    settings: Settings
    notes: tuple[str, ...] = ()
    """What could not be compared."""

    @property
    def moved(self) -> tuple[str, ...]:
        """Modalities (and `label`) that moved, those that moved most first."""
        effects = {group: self.effect(group) for group in self.groups if any(test.moved for test in self.of(group))}
        return tuple(sorted(effects, key=lambda group: (-effects[group], group)))

    @property
    def groups(self) -> tuple[str, ...]:
        return tuple(dict.fromkeys(test.group for test in self.tests))

    def of(self, group: str) -> list[Finding]:
        """Its tests: what moved first (what can be named before vectors), then the least likely by chance."""
        mine = [test for test in self.tests if test.group == group]
        return sorted(
            mine, key=lambda test: (not test.moved, test.moved and test.test == "mmd", -test.effect if test.moved else test.p, test.feature)
        )

    def effect(self, group: str) -> float:
        """The largest effect that is significant; 0 when none is."""
        return max((test.effect for test in self.of(group) if test.p_corrected <= self.settings.alpha), default=0.0)


@dataclass(frozen=True)
class _Draft:
    """A test before correction."""

    feature: str
    test: str
    tested: statistics.Tested
    effect: float
    psi: float
    counts: tuple[int, int]
    details: Mapping[str, Any]


def compare(reference: Sketch, new: Sketch, settings: Settings | None = None) -> Comparison:
    """Raises InputError when there are too few samples, or nothing in common."""
    check_sizes(reference, new)
    with threadpool_limits(
        1, "blas"
    ):  # matrices are small: on a busy machine two threads that wait for each other take twenty times as long
        return _compared(reference, new, settings or Settings())


def _compared(reference: Sketch, new: Sketch, chosen: Settings) -> Comparison:
    notes: list[str] = []
    vectors = list(_vectors(reference, new, notes))
    plain = [*_presence(reference, new), *_numbers(reference, new, notes), *_classes(reference, new, notes)]
    permutations = kernels.enough_permutations(len(plain) + len(vectors), chosen.alpha)
    drafts = [*plain, *(_tested_vectors(name, *pair, permutations, chosen.seed) for name, pair in vectors)]
    corrected = statistics.holm([draft.tested.p for draft in drafts])
    tests = [
        Finding(
            draft.feature,
            draft.test,
            draft.tested.statistic,
            draft.tested.p,
            p,
            draft.effect,
            draft.psi,
            draft.counts,
            p <= chosen.alpha and draft.effect >= chosen.level,
            draft.details,
        )
        for draft, p in zip(drafts, corrected, strict=True)
    ]
    order = {group: at for at, group in enumerate([*sorted({*reference.present, *new.present}), LABEL])}
    return Comparison(tuple(sorted(tests, key=lambda test: order.get(test.group, -1))), (len(reference), len(new)), chosen, tuple(notes))


def check_sizes(reference: Sketch, new: Sketch) -> None:
    """Raises InputError when one of the two has too few samples, or they have no modality in common."""
    for what, sketch in (("the reference has", reference), ("the new data have", new)):
        if len(sketch) < MIN_SAMPLES:
            alike = (
                f", in {sketch.facts['records']} records: those of one group count once"
                if sketch.facts.get("records", 0) > len(sketch)
                else ""
            )
            raise InputError(
                f"{what} {len(sketch)} independent samples{alike}; a comparison takes {MIN_SAMPLES} of each side, "
                "so wait for more or give more"
            )
    if not {*reference.present} & {*new.present}:
        raise InputError(
            f"the reference has {', '.join(sorted(reference.present)) or 'no modality'}, the new data have "
            f"{', '.join(sorted(new.present)) or 'none of the modalities that the reference prepares'}: nothing in common to compare"
        )


def _presence(reference: Sketch, new: Sketch) -> Iterator[_Draft]:
    """Who has which modality."""
    for modality in sorted({*reference.present, *new.present}):
        masks = [sketch.present.get(modality, np.zeros(len(sketch), dtype=bool)) for sketch in (reference, new)]
        yield _class_draft(f"{modality}.present", *(np.where(mask, "there", "missing") for mask in masks))


def _numbers(reference: Sketch, new: Sketch, notes: list[str]) -> Iterator[_Draft]:
    for name in sorted({*reference.numbers} & {*new.numbers}):
        first, second = (values[np.isfinite(values)] for values in (reference.numbers[name], new.numbers[name]))
        if _too_few(name, first, second, notes) or first.min() == first.max() == second.min() == second.max():
            continue
        edges = statistics.edges_of(first)
        counts = statistics.binned(first, edges), statistics.binned(second, edges)
        details = {
            "quantiles": [[float(level) for level in np.quantile(values, [0.05, 0.25, 0.5, 0.75, 0.95])] for values in (first, second)],
            "mean": [float(first.mean()), float(second.mean())],
        }
        tested = statistics.kolmogorov_smirnov(first, second)
        yield _Draft(
            name, "ks", tested, statistics.beyond_chance(*counts), statistics.stability(*counts), (len(first), len(second)), details
        )


def _classes(reference: Sketch, new: Sketch, notes: list[str]) -> Iterator[_Draft]:
    for name in sorted({*reference.classes} & {*new.classes}):
        first, second = (values[values != ""] for values in (reference.classes[name], new.classes[name]))
        if not _too_few(name, first, second, notes):
            yield _class_draft(name, first, second)


def _class_draft(name: str, first: NDArray[np.str_], second: NDArray[np.str_]) -> _Draft:
    kinds = np.unique(np.concatenate([first, second]))
    counts = [np.array([(values == kind).sum() for kind in kinds]) for values in (first, second)]
    shares = {str(kind): [float(a / len(first)), float(b / len(second))] for kind, a, b in zip(kinds, *counts, strict=True)}
    largest = sorted(shares, key=lambda kind: -max(shares[kind]))[:MAX_CLASSES]
    tested = statistics.chi_squared(*counts)
    details = {"shares": {kind: shares[kind] for kind in largest}}
    return _Draft(
        name, "chi2", tested, statistics.beyond_chance(*counts), statistics.stability(*counts), (len(first), len(second)), details
    )


def _vectors(reference: Sketch, new: Sketch, notes: list[str]) -> Iterator[tuple[str, tuple[statistics.Floats, statistics.Floats]]]:
    """Vectors of both, and of each medium all numbers together, each on the reference's scale."""
    for name in sorted({*reference.vectors} & {*new.vectors}):
        first, second = (values[np.isfinite(values[:, 0])].astype(np.float64) for values in (reference.vectors[name], new.vectors[name]))
        if not _too_few(name, first, second, notes):
            yield name, (first, second)
    for modality in sorted({*reference.present} & {*new.present}):
        names = [name for name in sorted({*reference.numbers} & {*new.numbers}) if name.split(".")[0] == modality]
        pair = [np.stack([sketch.numbers[name] for name in names], axis=1) if names else np.zeros((0, 0)) for sketch in (reference, new)]
        first, second = (rows[np.isfinite(rows).all(1)] for rows in pair)
        if len(names) > 1 and min(len(first), len(second)) >= MIN_SAMPLES:
            first, second = _scaled(first, second)
            if first.shape[1] > 1:
                yield f"{modality}.all", (first, second)


def _scaled(first_ND: statistics.Floats, second_MD: statistics.Floats) -> tuple[statistics.Floats, statistics.Floats]:
    """Each column as ranks of both together, 0 to 1, so that no outlier decides; without those that are constant."""
    both = np.concatenate([first_ND, second_MD])
    columns = []
    for column in both.T:
        ordered = np.sort(column)
        if ordered[0] < ordered[-1]:
            columns.append((np.searchsorted(ordered, column, "left") + np.searchsorted(ordered, column, "right")) / (2 * len(ordered)))
    ranked = np.stack(columns, axis=1) if columns else np.zeros((len(both), 0))
    return ranked[: len(first_ND)], ranked[len(first_ND) :]


def _tested_vectors(name: str, first: statistics.Floats, second: statistics.Floats, permutations: int, seed: int) -> _Draft:
    """Rows of a sketch are in the order of a hash, so the first are a sample."""
    details = {"frechet": statistics.frechet(first, second)} if name.endswith(".embedding") else {}
    counts = (len(first), len(second))
    first, second = first[: kernels.MAX_ROWS], second[: kernels.MAX_ROWS]
    matrix = kernels.kernel(first, second)
    generator = np.random.default_rng([seed, zlib.crc32(name.encode())])
    tested = kernels.permutation_test(matrix, len(first), permutations, generator)
    return _Draft(name, "mmd", tested, kernels.witness_effect(matrix, len(first)), float("nan"), counts, details)


def _too_few(name: str, first: Sequence[Any] | NDArray[Any], second: Sequence[Any] | NDArray[Any], notes: list[str]) -> bool:
    """One that too few samples have is not tested; how often it is there is compared all the same."""
    if min(len(first), len(second)) >= MIN_SAMPLES:
        return False
    notes.append(f"{name} is not compared: {len(first)} and {len(second)} samples have it, and it takes {MIN_SAMPLES} of each side")
    return True
