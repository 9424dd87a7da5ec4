"""What the tasks themselves know about their neighbours: an encoder for a modality that the shards are made without.

In: a recipe with one step a variant, whose edges exist. Out: problems, each with its line. Must not import ray, torch or mlflow.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pipeline.catalog import CATALOG
from pipeline.labels import family_of, in_list
from pipeline.steps import Recipe, Step


def misfits(recipe: Recipe) -> list[str]:
    """What the tasks know about their neighbours. What all variants of a family have in common is said once."""
    found: dict[tuple[str, str], list[str]] = {}
    for step in recipe.steps.values():
        for problem in dict.fromkeys(_neighbours(step, recipe)):
            found.setdefault((step.family or step.name, problem), []).append(step.name)
    problems = []
    for (name, problem), steps in found.items():
        everyone = [step for step in recipe.steps.values() if (step.family or step.name) == name]
        who = name if len(steps) == len(everyone) else steps[0]
        more = f" (and {len(steps) - 1} more variants)" if len(everyone) > len(steps) > 1 else ""
        problems.append(f"{recipe.document.at(('steps', name))}: steps.{who}: {problem}{more}")
    return problems


def _neighbours(step: Step, recipe: Recipe) -> list[str]:
    lint = CATALOG[step.task].hook("lint")
    if lint is None:
        return []
    problems = []
    for inputs in _views(step):
        configs = _configs(inputs, recipe)
        if CATALOG[step.task].passes:
            measured = _behind(recipe.steps[list(inputs.values())[-1]], recipe)
            known = CATALOG[measured.task].hook("numbers")
            configs["numbers"] = known(measured.config, _configs(measured.inputs, recipe)) if known else []
        problems += lint(step.config, {**configs, "given": frozenset(map(family_of, inputs))})
    return problems


def _configs(inputs: Mapping[str, str], recipe: Recipe) -> dict[str, Any]:
    """Input → config of the step it comes from, near or far; the nearest wins, so a gate sees the model behind its report."""
    configs: dict[str, Any] = {}
    near = [inputs]
    while near:
        taken = [(key if in_list(key) else family_of(key), source) for other in near for key, source in other.items()]
        edges = [(key, recipe.steps[source]) for key, source in taken if source in recipe.steps]
        behind = [(key, _behind(source_step, recipe)) for key, source_step in edges]
        for key, source_step in behind:
            configs.setdefault(key, source_step.config)
        near = [source_step.inputs for _, source_step in behind]
    return configs


def _behind(step: Step, recipe: Recipe) -> Step:
    """What a step hands on, by the example of the first variant; itself when it makes its output."""
    while passes := CATALOG[step.task].passes:
        step = recipe.steps[next(source for key, source in step.inputs.items() if family_of(key) == passes)]
    return step


def _views(step: Step) -> list[Mapping[str, str]]:
    """The inputs of a step; for one that takes all of a family, those of each variant by itself."""
    single = {key: source for key, source in step.inputs.items() if "[" not in key or in_list(key)}
    labels = dict.fromkeys(key.partition("[")[2] for key in step.inputs if key not in single)
    return [single | {key: source for key, source in step.inputs.items() if key.partition("[")[2] == label} for label in labels] or [single]
