"""The gate: is a candidate good enough to replace what is in force? Decided from an evaluation's report alone.

In: the folder of a report, and the gate's rules. Out: what speaks against the candidate, and every number it was judged by.

The order of the rules: enough samples, a floor of its own, budgets; then, beside a champion, non-inferiority, power, the best champion
ever, slices and subsets. All of them are always judged, so that one refusal tells everything. `docs/decisions/014-gate.md` says why they
are so.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from tasks.contracts import Json
from tasks.errors import CorruptArtifact, InputError
from tasks.gating import tilted
from tasks.gating.config import CreepConfig, GateConfig
from tasks.gating.contest import Judge
from tasks.gating.parts import judge_parts
from tasks.gating.rows import AGAIN, Rows, read

LEADS_AT = 0.1587
"""p-value below which a version counts as measured better than the best champion: one standard error."""

_COSTS = {
    "latency_ms_p95": (("latency_ms", "p95"), "95 % of its predictions take up to {value:.3g} ms, and the budget is {limit:g} ms"),
    "size_bytes": (("size_bytes",), "its weights take {value:,} bytes, and the budget is {limit:,}"),
    "parameters": (("parameters",), "it has {value:,} parameters, and the budget is {limit:,}"),
}


@dataclass(frozen=True)
class Verdict:
    """What the gate says."""

    objections: tuple[str, ...]
    """A sentence each; none = pass."""
    numbers: Mapping[str, Json]
    leads: bool = False
    """It was measured better than the best champion ever, and becomes that when it is promoted."""


def judge(report: Path, gate: GateConfig, compare: bool, seed: int) -> Verdict:
    """Judge one head. `compare`: there is a baseline to hold the candidate against; else only what it must be by itself counts.

    Raises InputError when the report has no such head, is of another kind or lacks what a rule asks for; CorruptArtifact when a file cannot
    be read.
    """
    rows = read(report / "predictions.parquet", gate)
    described = _described(report)
    numbers: dict[str, Any] = {
        "head": gate.head,
        "metric": gate.metric,
        "samples": rows.size,
        "groups": int(np.unique(rows.groups_N).size),
        "min_samples": gate.min_samples,
        "candidate": rows.value("prediction") if rows.size else None,
        "min_value": gate.min_value,
        "max_value": gate.max_value,
    }
    objections = [*_too_few(numbers), *_not_good_enough(numbers)]
    costs, too_dear = _budgets(gate, described)
    numbers |= costs
    objections += too_dear
    leads = False
    if compare and rows.size:
        if "baseline_prediction" not in rows.scores:
            said = f"the model in force has no head {gate.head!r} to compare with; gate another head, or promote under another alias"
            return Verdict((*objections, said), numbers)
        against, said_against = _against(rows, gate, seed)
        numbers |= against
        creep, too_low, leads = _against_best(rows, gate, described, seed)
        parts, worse = judge_parts(rows, gate, seed)
        numbers |= creep | parts
        objections += [*said_against, *too_low, *worse]
    return Verdict(tuple(objections), numbers, leads)


def _against(rows: Rows, gate: GateConfig, seed: int) -> tuple[dict[str, Json], list[str]]:
    """Non-inferiority to the champion in force, and the power these rows have for it."""
    stand = Judge(rows.contest("prediction", "baseline_prediction"), gate.metric, gate.test, seed)
    numbers = _compared(stand, gate, gate.margin, gate.confidence) | {
        "baseline": stand.contest.rival,
        "test": gate.test,
        "resamples": tilted.RESAMPLES if gate.test == "bootstrap" else None,
        "seed": seed,
    }
    if gate.metric == "accuracy":
        numbers["only_candidate_right"], numbers["only_baseline_right"] = stand.only
    if not stand.enough_groups:
        many = f"{stand.groups} group{'' if stand.groups == 1 else 's'}"
        said = (
            f"the {rows.size} samples are of {many}, and with fewer than {tilted.MIN_GROUPS} nothing can be said about others; "
            "evaluate on more groups"
        )
        return numbers, [said]
    objections = list(_inferior(numbers, numbers["baseline"]))
    if gate.power:
        found = stand.power(-gate.margin, gate.power.effect, gate.confidence)
        numbers |= {"power": found, "power_effect": gate.power.effect, "power_at_least": gate.power.at_least}
        if found < gate.power.at_least:
            needed = stand.samples_for(-gate.margin, gate.power.effect, gate.confidence, gate.power.at_least)
            numbers["samples_for_power"] = needed
            objections.append(
                f"{rows.size} samples are too few to decide: a model with a true difference of {gate.power.effect:+g} would pass with "
                f"probability {found:.2f}, and power.at_least is {gate.power.at_least:g}; about {needed} samples like these would do, or a "
                "larger margin"
            )
    return numbers, objections


def _against_best(rows: Rows, gate: GateConfig, described: Mapping[str, Json], seed: int) -> tuple[dict[str, Json], list[str], bool]:
    """Non-inferiority to the best champion ever, at a level that holds over many decisions; and whether the candidate now leads."""
    baseline, best = described.get("baseline"), described.get("best")
    column = "best_prediction" if best and best["key"] != (baseline or {}).get("key") else "baseline_prediction"
    if gate.creep is None:
        return {}, [], False
    if "best" not in described:
        raise InputError(
            f'gate.creep: the report says nothing of the best champion ever; {AGAIN} has `best: "models:/NAME@best"` beside its `baseline`'
        )
    if best is None or column not in rows.scores:
        said = f"the best champion ever has no head {gate.head!r} to compare with; gate another head, or leave creep out"
        return {}, ([said] if best else []), False
    stand = Judge(rows.contest("prediction", column), gate.metric, gate.test, seed)
    margin, confidence = _creep_margin(gate, gate.creep), 1.0 - (1.0 - gate.confidence) / gate.creep.decisions
    numbers = _compared(stand, gate, margin, confidence)
    numbers |= {"best": stand.contest.rival, "version": best.get("version"), "decisions": gate.creep.decisions}
    objections = [
        f"beside the best champion ever, version {numbers['version']}: {said}" for said in _inferior(numbers, stand.contest.rival)
    ]
    return {"creep": numbers}, objections, stand.p_better(0.0) <= LEADS_AT


def _creep_margin(gate: GateConfig, creep: CreepConfig) -> float:
    return gate.margin if creep.margin is None else creep.margin


def _compared(stand: Judge, gate: GateConfig, margin: float, confidence: float) -> dict[str, Any]:
    enough = stand.enough_groups
    return {
        "head": gate.head,
        "metric": gate.metric,
        "groups": stand.groups,
        "candidate": stand.contest.candidate,
        "difference": stand.difference,
        "lower_bound": stand.lower_bound(confidence, -margin) if enough else None,
        "p": stand.p_better(-margin) if enough else None,
        "p_needed": stand.level(confidence) if enough else None,
        "margin": margin,
        "confidence": confidence,
    }


def _inferior(numbers: Mapping[str, Any], rival: float) -> Iterator[str]:
    if numbers["p"] is None or numbers["p"] > numbers["p_needed"]:
        bound = "unknown" if numbers["lower_bound"] is None else f"{numbers['lower_bound']:+.4f}"
        yield (
            f"a loss of more than {numbers['margin']:g} in {numbers['metric']} of {numbers['head']!r} cannot be ruled out: "
            f"{numbers['candidate']:.4f} against {rival:.4f}, difference {numbers['difference']:+.4f}, "
            f"lower bound {bound} at {100 * numbers['confidence']:.4g} % over {numbers['groups']} groups"
        )


def _budgets(gate: GateConfig, described: Mapping[str, Json]) -> tuple[dict[str, Json], list[str]]:
    if gate.budgets is None:
        return {}, []
    cost = described.get("cost")
    if not cost:
        raise InputError(f"gate.budgets: the report does not say what the model costs; {AGAIN} is of a Medley that measures it")
    numbers, objections = {}, []
    for name, limit in gate.budgets.limits.items():
        path, sentence = _COSTS[name]
        value = cost
        for key in path:
            value = value.get(key) if value else None
        if value is None:
            raise InputError(f"gate.budgets.{name}: the report does not say it; {AGAIN} is of a Medley that measures it")
        numbers[name] = {"value": value, "budget": limit}
        if value > limit:
            objections.append(sentence.format(value=value, limit=limit))
    return {"budgets": numbers | {"machine": cost.get("machine")}}, objections


def _too_few(numbers: Mapping[str, Any]) -> list[str]:
    if numbers["samples"] >= numbers["min_samples"]:
        return []
    return [f"{numbers['samples']} samples with a label are fewer than min_samples {numbers['min_samples']}"]


def _not_good_enough(numbers: Mapping[str, Any]) -> list[str]:
    floor, ceiling, value = numbers["min_value"], numbers["max_value"], numbers["candidate"]
    if floor is not None and value is not None and value < floor:
        return [f"{numbers['metric']} {value:.4f} of {numbers['head']!r} is below min_value {floor:g}"]
    if ceiling is not None and value is not None and value > ceiling:
        return [f"{numbers['metric']} {value:.4g} of {numbers['head']!r} is above max_value {ceiling:g}"]
    return []


def _described(report: Path) -> dict[str, Json]:
    path = report / "report.json"
    try:
        described: dict[str, Json] = json.loads(path.read_bytes())
    except (OSError, ValueError) as error:
        raise CorruptArtifact(f"{path} cannot be read ({error}); evaluate the model again") from error
    return described
