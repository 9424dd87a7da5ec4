"""The numbers of one head of any kind in `MEASURED` that has a scorer: one code for all of them.

In: what is true and what is said of the samples that count. Out: the head's part of `report.json`. A scorer turns (said, true) into columns
of one number a sample. Sums of columns, or the columns themselves weighted by a resample, give every metric; so intervals, subsets of
modalities, slices, the baseline and the gate are the same code for every kind. All intervals of a head come from the same resamples, so
every difference is paired.

    kind                 one of `tasks.evaluation.measures.MEASURED`
    metric               the one that decides, called M below
    samples, groups      that count; `missing` = left out, because they have no label, or nothing to be compared with
    M, interval          with all modalities
    every other metric, each also as `…_interval`
    by_modalities        {subset: {M, interval, difference, covered}}: `difference` is the full set minus the subset
    best_single          {modalities, M, interval, difference}, or null when there is one modality only
    baseline_M, baseline_interval                with a baseline
    difference           candidate minus baseline; below zero is better where lower is, as `measures` says
    and what a kind has beside, such as `per_class` or `directions`: see its scorer

A difference is {value, interval}. An interval is [low, high], or null when all samples are of one group. A number is null when the samples
cannot tell it, such as the area under ROC where none is strange.

Shapes: N samples, R resamples.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tasks.evaluation.classification import best_single
from tasks.evaluation.intervals import Bootstrap, Floats, interval, num_groups, resampled_sums, resampled_weights
from tasks.evaluation.measures import MEASURED, Measure
from tasks.evaluation.said import HeadPredictions
from tasks.evaluation.scorer import Columns, Scorer, scorer_class

_MOST_CELLS = 1_000_000_000
"""Samples × classes × resamples of a metric that is computed again for each resample: half a minute. Beyond it, the first resamples do."""
_LEAST_RESAMPLES = 200
_STEP = 1e-4
"""Of the difference quotient that says what a sample makes of a metric, as a share of the sums."""


def value_of(kind: str, measure: Measure, sums: Columns) -> Any:
    """A metric from sums of columns; NaN where there is nothing below the line."""
    if measure.above:
        above, below = np.asarray(sums[measure.above], dtype=np.float64), np.asarray(sums[measure.below], dtype=np.float64)
        return np.divide(above, below, out=np.full(above.shape, np.nan), where=below > 0)
    return np.asarray(scorer_class(kind).formulas[measure.name](sums), dtype=np.float64)


def is_of_sums(kind: str, measure: Measure) -> bool:
    """Whether `value_of` knows it; else it is one of the scorer's `weighted`."""
    return bool(measure.above) or measure.name in scorer_class(kind).formulas


def value_of_columns(kind: str, measure: Measure, columns: Columns) -> float:
    """A metric from the columns themselves."""
    if is_of_sums(kind, measure):
        return float(value_of(kind, measure, {name: column.sum(axis=0) for name, column in columns.items()}))
    size = len(next(iter(columns.values())))
    return float(scorer_class(kind).weighted[measure.name](columns, np.ones((1, size)))[0])


def parts_of(kind: str, measure: Measure, columns: Columns) -> Floats:
    """N numbers whose mean is the metric, each what its sample makes of it (the influence function added to the value).

    Of a function of sums by difference quotients, which for a ratio A/B is A/B + N (a - A/B · b) / B.
    """
    if not is_of_sums(kind, measure):
        found: Floats = scorer_class(kind).parts[measure.name](columns)
        return found
    sums = {name: float(column.sum()) for name, column in columns.items()}
    value, size = float(value_of(kind, measure, sums)), len(next(iter(columns.values())))
    parts_N = np.zeros(size)
    for name, column in columns.items():
        step = _STEP * max(abs(sums[name]), 1.0)
        up, down = (float(value_of(kind, measure, {**sums, name: sums[name] + sign * step})) for sign in (1, -1))
        parts_N += size * (up - down) / (2 * step) * (column - sums[name] / size)
    return np.asarray(value + parts_N - parts_N.mean(), dtype=np.float64)


@dataclass(frozen=True)
class Contender:
    """What one answer to the samples makes of them."""

    columns: Columns
    tables: Columns
    """Only where metrics beside the first are asked for."""

    def rows(self, chosen_N: NDArray[np.bool_]) -> Contender:
        """Some samples, each with the numbers that it has among all of them."""
        return Contender({name: column[chosen_N] for name, column in self.columns.items()}, {})


@dataclass(frozen=True)
class Compared:
    """One head's answers, over the samples that count."""

    kind: str
    scorer: Scorer
    known_N: NDArray[np.bool_]
    """Of all samples of the split: which count."""
    true: NDArray[Any]
    said: NDArray[Any]
    """With all modalities."""
    by_subset: Mapping[str, Contender]
    """The full set is the last."""
    baseline: Mapping[str, Contender]
    """The same of the baseline; empty where it cannot be compared."""
    best: Contender | None = None

    @property
    def full(self) -> Contender:
        return list(self.by_subset.values())[-1]

    @property
    def rival(self) -> Contender | None:
        """The baseline with all its modalities."""
        return list(self.baseline.values())[-1] if self.baseline else None


def compared(own: HeadPredictions, true: NDArray[Any], baseline: HeadPredictions | None, best: HeadPredictions | None = None) -> Compared:
    """`own` has a scorer. Raises nothing where the others cannot be compared: they are left out."""
    assert own.scorer is not None
    scorer, known_N = own.scorer, own.scorer.known(true)
    there, full = true[known_N], list(own.by_subset)[-1]

    def contender(said: NDArray[Any], *, whole: bool = False) -> Contender:
        return Contender(scorer.columns(said, there), scorer.tables(said, there) if whole else {})

    def translated(other: HeadPredictions | None) -> dict[str, Contender]:
        if other is None or other.kind != own.kind:
            return {}
        found = {name: scorer.translated(said[known_N], other.scorer) for name, said in other.by_subset.items()}
        return {name: contender(said) for name, said in found.items() if said is not None}

    by_subset = {name: contender(said[known_N], whole=name == full) for name, said in own.by_subset.items()}
    ever = list(translated(best).values())
    return Compared(own.kind, scorer, known_N, there, own.full[known_N], by_subset, translated(baseline), ever[-1] if ever else None)


def values(
    kind: str, measure: Measure, contenders: Sequence[Contender], groups_N: NDArray[Any], bootstrap: Bootstrap
) -> list[tuple[float, Floats]]:
    """The metric of each, and its values over the same resamples."""
    if is_of_sums(kind, measure):
        names = list(contenders[0].columns)
        draws_RC = resampled_sums((each.columns[name] for each in contenders for name in names), groups_N, bootstrap)
        found = []
        for place, each in enumerate(contenders):
            part_RC = draws_RC[:, place * len(names) : (place + 1) * len(names)]
            drawn = value_of(kind, measure, dict(zip(names, part_RC.T, strict=True)))
            found.append((value_of_columns(kind, measure, each.columns), drawn))
        return found
    formula = scorer_class(kind).weighted[measure.name]
    given = [{**each.columns, **each.tables} for each in contenders]
    width = max(column.shape[1] if column.ndim > 1 else 1 for column in given[0].values())
    enough = max(_LEAST_RESAMPLES, _MOST_CELLS // (groups_N.size * width))
    drawn_parts: list[list[Floats]] = []
    for weight_RN in resampled_weights(groups_N, bootstrap):
        drawn_parts.append([formula(columns, weight_RN) for columns in given])
        if sum(len(parts[0]) for parts in drawn_parts) >= enough:
            break
    drawn_all = [np.concatenate(parts) for parts in zip(*drawn_parts, strict=True)]
    return [(value_of_columns(kind, measure, columns), draws) for columns, draws in zip(given, drawn_all, strict=True)]


def qualities(given: Compared, side: Contender) -> Floats:
    """How good each sample of the split is answered, more is better: the kind's `by_sample` metric of that sample alone; NaN where it does
    not count.

    For people who want to see good and bad ones; nothing is decided by it.
    """
    measure = MEASURED[given.kind].of_sample
    if is_of_sums(given.kind, measure):
        value_N = value_of(given.kind, measure, side.columns)
    else:
        value_N = parts_of(given.kind, measure, side.columns)
    found_N = np.full(given.known_N.size, np.nan)
    found_N[given.known_N] = value_N if measure.higher else -value_N
    return found_N


def score_kind(given: Compared, groups_N: NDArray[Any], bootstrap: Bootstrap) -> dict[str, Any]:
    """All numbers of the head; `groups_N` of the samples that count."""
    kind, made = given.kind, given.by_subset
    first, *others = MEASURED[kind].measures
    full = list(made)[-1]
    rival = [] if given.rival is None else [given.rival]
    scored = values(kind, first, [*made.values(), *rival], groups_N, bootstrap)
    by_name = dict(zip(made, scored, strict=False))
    entries = {name: _entry(first, by_name, name, full, groups_N, bootstrap) for name in made}
    head: dict[str, Any] = {
        "kind": kind,
        "metric": first.name,
        "samples": int(groups_N.size),
        "groups": num_groups(groups_N),
        first.name: entries[full][first.name],
        "interval": entries[full]["interval"],
    }
    for measure in others:
        ((value, draws_R),) = values(kind, measure, [made[full]], groups_N, bootstrap)
        head |= {measure.name: value, f"{measure.name}_interval": bounds(draws_R, groups_N, bootstrap)}
    head |= given.scorer.details(given.said, given.true, groups_N, bootstrap)
    head |= {"by_modalities": entries, "best_single": best_single(entries, first.name, largest=first.higher)}
    if rival:
        head |= against(first, by_name[full], scored[-1], groups_N, bootstrap)
    return head


def score_slice(given: Compared, here_N: NDArray[np.bool_], groups_N: NDArray[Any], bootstrap: Bootstrap) -> dict[str, Any] | None:
    """The metric that decides on some samples of the split; None when none of them counts. `groups_N`: of all samples."""
    chosen_N, groups = here_N[given.known_N], groups_N[given.known_N & here_N]
    if not chosen_N.any():
        return None
    first = MEASURED[given.kind].primary
    sides = [side.rows(chosen_N) for side in (given.full, given.rival) if side is not None]
    scored = values(given.kind, first, sides, groups, bootstrap)
    if not np.isfinite(scored[0][0]):
        return None
    found = {
        "metric": first.name,
        "samples": int(groups.size),
        first.name: scored[0][0],
        "interval": bounds(scored[0][1], groups, bootstrap),
    }
    return found | (against(first, scored[0], scored[1], groups, bootstrap) if len(scored) == 2 else {})


def against(
    measure: Measure, own: tuple[float, Floats], rival: tuple[float, Floats], groups_N: NDArray[Any], bootstrap: Bootstrap
) -> dict[str, Any]:
    """`baseline_M`, its interval and the paired difference."""
    return {
        f"baseline_{measure.name}": rival[0],
        "baseline_interval": bounds(rival[1], groups_N, bootstrap),
        "difference": {"value": own[0] - rival[0], "interval": bounds(own[1] - rival[1], groups_N, bootstrap)},
    }


def bounds(draws_R: Floats, groups_N: NDArray[Any], bootstrap: Bootstrap) -> list[float] | None:
    """The interval over the resamples that can tell the number; None when none can."""
    known_R = draws_R[np.isfinite(draws_R)]
    return interval(known_R, groups_N, bootstrap) if known_R.size else None


def _entry(
    measure: Measure, by_name: Mapping[str, tuple[float, Floats]], name: str, full: str, groups_N: NDArray[Any], bootstrap: Bootstrap
) -> dict[str, Any]:
    (value, draws_R), (whole, whole_R) = by_name[name], by_name[full]
    return {
        measure.name: value,
        "interval": bounds(draws_R, groups_N, bootstrap),
        "difference": {"value": whole - value, "interval": bounds(whole_R - draws_R, groups_N, bootstrap)},
    }
