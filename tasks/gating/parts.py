"""Slices of the test set and subsets of modalities: is the candidate significantly worse in any of them?

In: the rows of a report. Out: a number for each part, and an objection for each that blocks. A part blocks only when its loss is beyond the
margin after Holm's correction over all slices and subsets together, so that many parts do not make false alarms likely.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from tasks.contracts import Json
from tasks.errors import InputError
from tasks.gating.config import GateConfig
from tasks.gating.contest import Judge
from tasks.gating.rows import AGAIN, Contest, Rows


def judge_parts(rows: Rows, gate: GateConfig, seed: int) -> tuple[dict[str, Json], list[str]]:
    """Numbers under `slices` and `subsets`, and objections. Raises InputError when the report lacks what the rules name."""
    found = [*_slices(rows, gate), *_subsets(rows, gate)]
    if not found:
        return {}, []
    numbers, p_values = [], []
    for kind, name, contest, margin in found:
        judge = Judge(contest, gate.metric, _test(gate, contest), seed)
        p_values.append(judge.p_worse(-margin) if judge.enough_groups else 1.0)
        numbers.append(_numbers(kind, name, judge, margin))
    corrected = holm(p_values)
    objections = []
    for facts, p, adjusted in zip(numbers, p_values, corrected, strict=True):
        facts |= {"p_worse": p, "p_corrected": adjusted}
        if adjusted <= 1.0 - gate.confidence:
            objections.append(_sentence(facts, gate, len(found)))
    return {f"{kind}s": [facts for facts in numbers if facts["part"] == kind] for kind in ("slice", "subset")}, objections


def holm(p_values: Sequence[float]) -> list[float]:
    """Holm's step-down p-values (1979): at most `level` of them false in any family with probability `level`."""
    order = np.argsort(p_values, kind="stable")
    raised = np.asarray(p_values, dtype=np.float64)[order] * np.arange(len(p_values), 0, -1)
    adjusted = np.empty(len(p_values))
    adjusted[order] = np.minimum(1.0, np.maximum.accumulate(raised))
    return [float(value) for value in adjusted]


def _slices(rows: Rows, gate: GateConfig) -> Iterator[tuple[str, str, Contest, float]]:
    if gate.slices is None:
        return
    for column in gate.slices.columns:
        values_N = rows.slices[column]
        for value in sorted({value for value in values_N if value is not None}):
            among_N = np.asarray(values_N == value, dtype=bool)
            if among_N.sum() < gate.slices.min_samples:
                continue
            contest = rows.contest("prediction", "baseline_prediction", among_N)
            if contest.tells:
                yield "slice", f"{column}={value}", contest, gate.slices.margin


def _subsets(rows: Rows, gate: GateConfig) -> Iterator[tuple[str, str, Contest, float]]:
    if gate.subsets is None:
        return
    own = {name.partition("[")[2].rstrip("]") for name in rows.scores if name.startswith("prediction[")}
    shared = [name for name in sorted(own) if f"baseline_prediction[{name}]" in rows.scores]
    if own and not shared:
        raise InputError(
            "gate.subsets: the report holds the baseline's predictions from all modalities only, not from each subset; it was made by an "
            f"older Medley, or the two models have no modality in common. {AGAIN} is of this version and has a `baseline`"
        )
    largest = max((name.count("+") for name in own), default=0)
    for name in shared:
        if name.count("+") < largest:
            contest = rows.contest(f"prediction[{name}]", f"baseline_prediction[{name}]")
            if contest.tells:
                yield "subset", name, contest, gate.subsets.margin


def _test(gate: GateConfig, contest: Contest) -> str:
    """A part whose samples are all groups of their own is judged as the whole is; every part of such a whole is."""
    return gate.test if np.unique(contest.groups_N).size == contest.groups_N.size else "bootstrap"


def _numbers(kind: str, name: str, judge: Judge, margin: float) -> dict[str, Any]:
    contest = judge.contest
    return {
        "part": kind,
        "name": name,
        "samples": int(contest.groups_N.size),
        "groups": judge.groups,
        "candidate": contest.candidate,
        "baseline": contest.rival,
        "difference": judge.difference,
        "margin": margin,
    }


def _sentence(facts: dict[str, Any], gate: GateConfig, parts: int) -> str:
    where = f"in the slice {facts['name']}" if facts["part"] == "slice" else f"from {facts['name']} alone"
    return (
        f"{where} the candidate is worse by more than {facts['margin']:g}: {gate.metric} {facts['candidate']:.4f} against "
        f"{facts['baseline']:.4f} over {facts['samples']} samples, p {facts['p_corrected']:.2g} corrected for {parts} slices and subsets"
    )
