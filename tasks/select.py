"""Step `select`: the best of a family.

In: `from`, the variants of a family, and optionally `by`, a family that was measured on them, such as their reports. Out: a selection
(`selection.json`), which lists what every variant reached and names the chosen one. Whoever takes the step's output is handed the chosen
artifact itself, under its own key. Imports nothing heavy.
"""

from __future__ import annotations

import json
import math
import statistics
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

from pydantic import Field, field_validator
from pydantic.json_schema import SkipJsonSchema

from tasks.contracts import FORMAT_VERSION, Artifact, Inputs, Json, Summary, TaskContext
from tasks.errors import InputError
from tasks.registry import Config, closest

KIND = "selection"
"""Kind of the artifact this step makes; it stands for the one it names."""


class Candidate(Config):
    """One variant of the family."""

    label: str
    """Its name inside the family, `fusion.kind=concat,seed=0`."""
    sets: dict[str, Json]
    """What the matrix gave it: path → value."""


class SelectConfig(Config):
    """By which number the best is chosen."""

    metric: str = Field(min_length=1)
    """Dotted path to a number in the summary of what is measured, such as `val.digit.accuracy` or `heads.digit.accuracy`."""
    mode: Literal["max", "min"]
    """Whether the largest or the smallest number is the best."""
    over: tuple[str, ...] = ()
    """Paths of the matrix over which the mean is taken, such as `seed`: groups are ranked by their mean, then the best of the best
    group is taken."""
    allow_test: bool = False
    """Lets numbers of the test split choose. What such a choice reaches on the test split is no longer an honest estimate."""
    candidates: SkipJsonSchema[tuple[Candidate, ...]] = ()
    """The variants, in order; put in by Medley when it plans, never by hand."""

    @field_validator("over", mode="before")
    @classmethod
    def _one_or_more(cls, value: Any) -> Any:
        return (value,) if isinstance(value, str) else value


def lint(config: SelectConfig, inputs: Mapping[str, Any]) -> list[str]:
    """The test split chooses nothing, unless the recipe says so; and the number must be one that will be there.

    The planner hands over as `numbers` where the summary of what is measured will have numbers; empty when it can't say.
    """
    problems = []
    measured = "by" if "by" in inputs else "from"
    if not config.allow_test and getattr(inputs.get(measured), "split", None) == "test":
        problems.append(
            f"{measured}: these reports are on the test split, and a choice made there spoils it: the chosen variant's numbers on it come "
            "out too good; let reports with `split: val` choose, or say `allow_test: true`"
        )
    known: list[str] = inputs.get("numbers", [])
    if known and not any(config.metric == path or config.metric.startswith(f"{path}.") for path in known):
        problems.append(f"metric: {measured} will have no {config.metric!r}; it has {', '.join(known)}{closest(config.metric, known)}")
    return problems


@dataclass(frozen=True)
class Ranked:
    """One variant with its number."""

    variant: str
    step: str
    key: str
    value: float | None
    """None when the number is not finite: the variant diverged, and can't be chosen."""


@dataclass(frozen=True)
class Group:
    """Variants that differ in nothing but what is averaged over."""

    group: str
    num: int
    mean: float | None
    """None when a number of the group is not finite."""
    spread: float | None
    """Sample standard deviation; None for fewer than two."""
    variants: tuple[str, ...]


def select(config: SelectConfig, inputs: Inputs, output_dir: Path, context: TaskContext) -> Summary:
    """Rank the variants, the first in order where numbers are equal, and write down all of them.

    Raises InputError when a summary lacks the number, or when no variant has a finite one.
    """
    ranked = [_ranked(config.metric, candidate, inputs) for candidate in config.candidates]
    groups = list(_groups(config, ranked))
    group = _best(config.mode, groups, [group.mean for group in groups])
    if group is None:
        listed = ", ".join(variant.variant for variant in ranked if variant.value is None)
        raise InputError(
            f"nothing can be chosen: {config.metric} is not a finite number for {listed}; look at these trainings' curves, and lower their "
            "learning rate or leave them out of the matrix"
        )
    members = [variant for variant in ranked if variant.variant in group.variants]
    chosen = _best(config.mode, members, [variant.value for variant in members])
    assert chosen is not None, "a group with a mean has members with values"
    summary: Summary = {
        "chosen": chosen.variant,
        "step": chosen.step,
        "key": chosen.key,
        "metric": config.metric,
        "mode": config.mode,
        "value": chosen.value,
        "over": list(config.over),
        "group": asdict(group),
        "groups": [asdict(each) for each in groups] if config.over else [],
        "variants": [asdict(each) for each in ranked],
    }
    (output_dir / "selection.json").write_text(json.dumps({"format": FORMAT_VERSION, **summary}, indent=1, sort_keys=True) + "\n", "utf-8")
    for line in _told(config, groups, ranked):
        context.sink.note(line)
    return summary


def _ranked(metric: str, candidate: Candidate, inputs: Inputs) -> Ranked:
    given = inputs[f"from[{candidate.label}]"]
    measured = inputs.get(f"by[{candidate.label}]", given)
    value = _number(metric, measured)
    return Ranked(candidate.label, given.step, given.key, value if value is not None and math.isfinite(value) else None)


def _number(metric: str, artifact: Artifact) -> float | None:
    known = dict(numbers(artifact.summary))
    if metric not in known:
        raise InputError(
            f"the summary of {artifact.step} has no number {metric!r}; its numbers: {', '.join(known) or 'none'}"
            f"{closest(metric, list(known))}"
        )
    return known[metric]


def numbers(summary: Mapping[str, Json], prefix: str = "") -> Iterator[tuple[str, float | None]]:
    """Every number of a summary under its dotted path; None where one is missing."""
    for name, value in summary.items():
        if isinstance(value, Mapping):
            yield from numbers(value, f"{prefix}{name}.")
        elif value is None or (isinstance(value, int | float) and not isinstance(value, bool)):
            yield f"{prefix}{name}", value


def _groups(config: SelectConfig, ranked: Sequence[Ranked]) -> Iterator[Group]:
    together: dict[str, list[Ranked]] = {}
    for candidate, variant in zip(config.candidates, ranked, strict=True):
        rest = {path: value for path, value in candidate.sets.items() if path not in config.over}
        together.setdefault(json.dumps(rest, sort_keys=True), []).append(variant)
    for rest_json, members in together.items():
        values = [variant.value for variant in members if variant.value is not None]
        whole = len(values) == len(members)
        named = ",".join(f"{path}={_short(value)}" for path, value in json.loads(rest_json).items()) if config.over else members[0].variant
        yield Group(
            named or "all",
            len(members),
            statistics.fmean(values) if whole else None,
            statistics.stdev(values) if whole and len(values) > 1 else None,
            tuple(variant.variant for variant in members),
        )


def _short(value: Json) -> str:
    return value if isinstance(value, str) else json.dumps(value)


def _best(mode: str, items: Sequence[Any], values: Sequence[float | None]) -> Any | None:
    """The item with the best value, the first of those that share it."""
    rated = [(value if mode == "max" else -value, -position) for position, value in enumerate(values) if value is not None]
    return items[-max(rated)[1]] if rated else None


def _told(config: SelectConfig, groups: Sequence[Group], ranked: Sequence[Ranked]) -> Iterator[str]:
    if not config.over:
        yield from (f"{variant.variant}: {_figure(variant.value)}" for variant in ranked)
        return
    for group in groups:
        spread = f", standard deviation {group.spread:.4g}" if group.spread is not None else ""
        yield f"{group.group}: mean {_figure(group.mean)} of {group.num}{spread}"


def _figure(value: float | None) -> str:
    return "not finite" if value is None else f"{value:.4g}"
