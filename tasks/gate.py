"""The gate: is a candidate good enough to replace what is in force? Decided from an evaluation's predictions alone.

In: `predictions.parquet` of a report, and the gate's rules. Out: what speaks against the candidate, and every number it was judged by.
Non-inferiority: the lower confidence bound of the accuracy's difference, candidate minus baseline on the same rows, must not lie below
minus the margin. The bound is one-sided, from a bootstrap over groups (`tasks.evaluation.intervals`).

A plain percentile bootstrap is too bold when the two models seldom disagree: resamples of few disagreements hardly vary, and of none not
at all. In 4,000 simulations each at a true difference of minus the margin (0.02, 95 %), it promoted 14 % with 300 samples and 10 % with
1,000 (2 % of them in disagreement) where 5 % are allowed. So one group of mean size on which only the baseline is right is added: 6.4 % and
5.4 %. With no disagreement at all this gives the rule of three, and its weight fades as 1 / groups.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from tasks.contracts import Json
from tasks.errors import CorruptArtifact, InputError
from tasks.evaluation.intervals import Bootstrap, num_groups, resampled_sums
from tasks.registry import closest

if TYPE_CHECKING:
    from tasks.promote import GateConfig

RESAMPLES = 10_000

_ADDED_GROUP = "\0added"


@dataclass(frozen=True)
class Verdict:
    """What the gate says."""

    objections: tuple[str, ...]
    """A sentence each; none = pass."""
    numbers: Mapping[str, Json]


def judge(predictions: Path, gate: GateConfig, compare: bool, seed: int) -> Verdict:
    """Judge one head. `compare`: there is a baseline to hold the candidate against; else only the floor and the count apply.

    Raises InputError when the report has no such head or it is no classification, CorruptArtifact when the file cannot be read.
    """
    columns = _read(predictions, gate.head, compare)
    right_N, groups_N = columns["prediction"], columns["group"]
    numbers: dict[str, Json] = {
        "head": gate.head,
        "metric": gate.metric,
        "samples": int(right_N.size),
        "groups": num_groups(groups_N) if right_N.size else 0,
        "min_samples": gate.min_samples,
        "candidate": float(right_N.mean()) if right_N.size else None,
        "min_value": gate.min_value,
    }
    objections = [*_too_few(numbers), *_below_floor(numbers)]
    if compare and right_N.size:
        if "baseline_prediction" not in columns:
            objections.append(
                f"the model in force has no head {gate.head!r} to compare with; gate another head, or promote under another alias"
            )
        else:
            numbers |= _compare(right_N, columns["baseline_prediction"], groups_N, gate, seed)
            objections += _inferior(numbers)
    return Verdict(tuple(objections), numbers)


def _compare(right_N: NDArray[Any], baseline_N: NDArray[Any], groups_N: NDArray[Any], gate: GateConfig, seed: int) -> dict[str, Json]:
    gain_N = right_N.astype(np.float64) - baseline_N.astype(np.float64)
    return {
        "baseline": float(baseline_N.mean()),
        "difference": float(gain_N.mean()),
        "only_candidate_right": int((gain_N > 0).sum()),
        "only_baseline_right": int((gain_N < 0).sum()),
        "lower_bound": lower_bound(gain_N, groups_N, gate.confidence, seed),
        "margin": gate.margin,
        "confidence": gate.confidence,
        "resamples": RESAMPLES,
        "seed": seed,
    }


def lower_bound(gain_N: NDArray[np.float64], groups_N: NDArray[Any], confidence: float, seed: int) -> float | None:
    """One-sided lower confidence bound of the mean gain, whole groups drawn. None when there is one group only."""
    groups = num_groups(groups_N)
    if groups < 2:
        return None
    size = gain_N.size / groups
    columns_NC = np.stack([gain_N, np.ones_like(gain_N)], axis=1)
    columns_NC = np.concatenate([columns_NC, [[-size, size]]])
    groups_N = np.append(groups_N.astype(str), _ADDED_GROUP)
    sums_RC = resampled_sums(columns_NC, groups_N, Bootstrap(RESAMPLES, confidence, seed))
    return float(np.quantile(sums_RC[:, 0] / sums_RC[:, 1], 1.0 - confidence))


def _too_few(numbers: Mapping[str, Any]) -> list[str]:
    if numbers["samples"] >= numbers["min_samples"]:
        return []
    return [f"{numbers['samples']} samples with a label are fewer than min_samples {numbers['min_samples']}"]


def _below_floor(numbers: Mapping[str, Any]) -> list[str]:
    floor, value = numbers["min_value"], numbers["candidate"]
    if floor is None or value is None or value >= floor:
        return []
    return [f"{numbers['metric']} {value:.4f} of {numbers['head']!r} is below min_value {floor:g}"]


def _inferior(numbers: Mapping[str, Any]) -> list[str]:
    bound, margin = numbers["lower_bound"], numbers["margin"]
    if bound is None:
        return ["all samples belong to one group, so nothing can be said about others; evaluate on several groups"]
    if bound >= -margin:
        return []
    said = (
        f"a loss of more than {margin:g} in {numbers['metric']} of {numbers['head']!r} cannot be ruled out: "
        f"{numbers['candidate']:.4f} against {numbers['baseline']:.4f}, difference {numbers['difference']:+.4f}, "
        f"lower bound {bound:+.4f} at {numbers['confidence']:.0%} over {numbers['groups']} groups"
    )
    return [said]


def _read(predictions: Path, head: str, compare: bool) -> dict[str, NDArray[Any]]:
    """`group`, and whether `prediction` (and `baseline_prediction`) is right, of the samples with a label."""
    try:
        file = pq.ParquetFile(predictions)
    except (OSError, pa.ArrowInvalid) as error:
        raise CorruptArtifact(f"{predictions} cannot be read ({error}); evaluate the model again") from error
    with file:
        there = file.schema_arrow.names
        _check_head(head, there)
        wanted = [name for name in ("prediction", "baseline_prediction") if f"{head}.{name}" in there and (compare or name == "prediction")]
        table = file.read(["group", f"{head}.label", *(f"{head}.{name}" for name in wanted)])
    labels_N = _strings(table, f"{head}.label")
    known_N = np.array([label is not None for label in labels_N], dtype=bool)
    columns = {name: (_strings(table, f"{head}.{name}") == labels_N)[known_N] for name in wanted}
    return columns | {"group": _strings(table, "group")[known_N]}


def _check_head(head: str, columns: list[str]) -> None:
    heads = [name.removesuffix(".label") for name in columns if name.endswith(".label")]
    if head not in heads:
        raise InputError(f"gate.head {head!r} is not in the report; its heads are: {', '.join(heads) or 'none'}{closest(head, heads)}")
    if f"{head}.probability" not in columns:
        raise InputError(f"gate.head {head!r} predicts a number, and the metric accuracy needs a classification head")


def _strings(table: pa.Table, column: str) -> NDArray[Any]:
    return np.array(table[column].cast(pa.string()).to_pylist(), dtype=object)
