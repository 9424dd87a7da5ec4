"""Families: a recipe with `matrix:` → a recipe with one step a variant.

In: a recipe whose edges exist, and the order of its steps. Out: the same recipe in which each family is several steps with names such as
`model[fusion.kind=concat,seed=0]`. A step that takes a family where it expects one artifact becomes a family itself, variant by variant;
two families of the same origin are taken side by side, two of different origin in every combination. A task like `select` takes all of a
family and ends it. Must not import ray, torch or mlflow.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from pipeline import matrix
from pipeline.catalog import CATALOG
from pipeline.labels import family_of, label, label_of
from pipeline.positions import dotted
from pipeline.steps import Recipe, Step
from tasks.registry import closest
from tasks.select import Candidate, SelectConfig


@dataclass(frozen=True)
class Member:
    """One variant of a family, by where it comes from."""

    name: str
    """Of its step."""
    at: Mapping[str, int]
    """Step with a matrix → which of its variants."""
    sets: Mapping[str, Any]
    """Path → value, over all matrices behind it; the path is led by its step's name where two have the same."""


@dataclass
class Expanded:
    """What comes of a recipe."""

    steps: dict[str, Step] = field(default_factory=dict)
    families: dict[str, tuple[Member, ...]] = field(default_factory=dict)
    problems: list[str] = field(default_factory=list)


def expand(recipe: Recipe, order: Sequence[str]) -> Expanded:
    """Every step as its variants, in `order`, in which each step stands after those it takes from."""
    done = Expanded()
    wrong: set[str] = set()
    for name in order:
        step = recipe.steps[name]
        if wrong.intersection(step.inputs.values()):
            wrong.add(name)  # it would only repeat the problem
            continue
        before = len(done.problems)
        members = _members(step, recipe, done)
        made = [_gathered(step, recipe, done)] if members is None else [_variant(step, *member, recipe, done) for member in members]
        if len(done.problems) > before:
            wrong.add(name)
            continue
        if members is not None:
            done.families[name] = tuple(member for member, _ in members)
        done.steps.update({single.name: single for single in made})
    return done


def _members(step: Step, recipe: Recipe, done: Expanded) -> list[tuple[Member, dict[str, str]]] | None:
    """The variants of a step and what each takes; None when it is one step."""
    task = CATALOG[step.task]
    where = f"{recipe.document.at(step.path)}: {dotted(step.path)}"
    taken = {key: source for key, source in step.inputs.items() if source in done.families and not task.inputs[family_of(key)].family}
    if not taken and not step.variants:
        return None
    if not task.maps:
        key, source = next(iter(taken.items()), ("matrix", ""))
        what = f"{key}: {source!r} is a family of {len(done.families[source])} variants" if source else "has a matrix"
        done.problems.append(
            f"{where}: {what}, but {step.task} has an effect outside the store and is done once; choose with a step such as "
            f"{{task: select, from: {source or 'model'}, metric: …, mode: max}} and take that one"
        )
        return []
    joined: list[tuple[dict[str, int], dict[str, str]]] = [({}, {})]
    for key, source in taken.items():
        joined = [
            (at | dict(member.at), inputs | {key: member.name})
            for at, inputs in joined
            for member in done.families[source]
            if _agree(at, member.at)
        ]
    if step.variants:
        joined = [(at | {step.name: index}, inputs) for at, inputs in joined for index in range(len(step.variants))]
    if len(joined) > matrix.MAX_VARIANTS:
        done.problems.append(f"{where}: {matrix.too_many(str(len(joined)))}")
        return []
    sets = [_sets(at, recipe) for at, _ in joined]
    paths = list(dict.fromkeys(path for each in sets for path in each))
    names = [f"{step.name}[{label(each, paths)}]" for each in sets]
    return [(Member(name, at, each), inputs) for name, each, (at, inputs) in zip(names, sets, joined, strict=True)]


def _agree(at: Mapping[str, int], other: Mapping[str, int]) -> bool:
    return all(at[origin] == index for origin, index in other.items() if origin in at)


def _sets(at: Mapping[str, int], recipe: Recipe) -> dict[str, Any]:
    """What a variant sets, with the paths of all matrices behind it."""
    by_origin = {origin: {path for variant in recipe.steps[origin].variants for path in variant.sets} for origin in at}
    found = {}
    for origin, index in at.items():
        for path, value in recipe.steps[origin].variants[index].sets.items():
            shared = any(path in paths for other, paths in by_origin.items() if other != origin)
            found[f"{origin}.{path}" if shared else path] = value
    return found


def _variant(step: Step, member: Member, inputs: Mapping[str, str], recipe: Recipe, done: Expanded) -> Step:
    config = step.variants[member.at[step.name]].config if step.variants else step.config
    single = replace(step, name=member.name, config=config, inputs={**step.inputs, **inputs}, variants=(), family=step.name)
    return _gathered(single, recipe, done)


def _gathered(step: Step, recipe: Recipe, done: Expanded) -> Step:
    """A step that takes all of a family has an input for each variant: `from[fusion.kind=concat,seed=0]`."""
    task = CATALOG[step.task]
    gathers = [key for key, wanted in task.inputs.items() if wanted.family and key in step.inputs]
    if not gathers:
        return step
    before = len(done.problems)
    for key in gathers:
        if step.inputs[key] not in done.families:
            path = (*step.path, key)
            done.problems.append(
                f"{recipe.document.at(path)}: {dotted(path)}: step {step.inputs[key]!r} makes one output, so there is nothing to choose "
                "from; give it a `matrix:`, such as matrix: {seed: [0, 1, 2]}"
            )
    if len(done.problems) > before:
        return step
    leading = done.families[step.inputs[gathers[0]]]
    inputs = {key: source for key, source in step.inputs.items() if key not in gathers}
    for member in leading:
        for key in gathers:
            matching = [other for other in done.families[step.inputs[key]] if dict(other.at) == dict(member.at)]
            if len(matching) != 1:
                path = (*step.path, key)
                done.problems.append(
                    f"{recipe.document.at(path)}: {dotted(path)}: the variants of {step.inputs[key]!r} are not those of "
                    f"{step.inputs[gathers[0]]!r}, so {member.name} would have {len(matching)} of them; give a family that takes "
                    f"from {step.inputs[gathers[0]]!r} and has no matrix of its own"
                )
                return step
            inputs[f"{key}[{label_of(member.name)}]"] = matching[0].name
    return replace(step, inputs=inputs, config=_told(step, leading, recipe, done))


def _told(step: Step, members: Sequence[Member], recipe: Recipe, done: Expanded) -> Any:
    """The config with what the planner knows: the variants and what each sets."""
    config = step.config
    if not isinstance(config, SelectConfig):
        return config
    if config.candidates:
        path = (*step.path, "candidates")
        done.problems.append(f"{recipe.document.at(path)}: {dotted(path)}: is put in by Medley; take it out")
    varied = list(dict.fromkeys(path for member in members for path in member.sets))
    at = (*step.path, "over")
    for averaged in config.over:
        if averaged not in varied:
            done.problems.append(
                f"{recipe.document.at(at)}: {dotted(at)}: {averaged!r} is not what the family varies; it varies {', '.join(varied)}"
                f"{closest(averaged, varied)}"
            )
    return config.model_copy(
        update={"candidates": tuple(Candidate(label=label_of(member.name), sets=dict(member.sets)) for member in members)}
    )
