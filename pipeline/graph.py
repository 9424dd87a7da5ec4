"""How the steps of a recipe hang together: lint, order, pictures.

In: a Recipe. Out: a Graph whose edges all exist and have the right kind. Everything wrong is found in one pass, before anything
runs. Must not import ray, torch or mlflow.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from graphlib import CycleError, TopologicalSorter
from typing import Any

from pipeline.catalog import CATALOG, Input
from pipeline.errors import RecipeError
from pipeline.families import expand
from pipeline.labels import family_of
from pipeline.positions import dotted
from pipeline.recipe import Recipe, Step
from tasks.registry import closest

REFERENCE = re.compile(r"^models:/(?P<name>[^/@]+)(?:@(?P<alias>[^/@]+)|/(?P<version>\d+))$")
"""An outside reference to a registered model."""


@dataclass(frozen=True)
class Graph:
    """A recipe whose steps fit together."""

    recipe: Recipe
    """With one step a variant where there are families."""
    order: tuple[str, ...]
    """Step names, each after the steps it takes from; ties in the order of the recipe."""
    written: Recipe
    """As it stands in the file."""
    families: Mapping[str, tuple[str, ...]]
    """Step of the recipe → the names of its variants."""

    def parents(self, name: str) -> dict[str, str]:
        """input → step, without outside references."""
        return {key: source for key, source in self.recipe.steps[name].inputs.items() if source in self.recipe.steps}

    def children(self, name: str) -> list[str]:
        """Every step that depends on one, near or far, in order."""
        found = {name}
        for other in self.order:
            if found & set(self.parents(other).values()):
                found.add(other)
        return [other for other in self.order if other in found and other != name]

    def needed(self, until: str | None) -> tuple[str, ...]:
        """Steps that lead to `until`, a step or a family, itself included; all when None. Raises RecipeError for an unknown name."""
        if until is None:
            return self.order
        if until not in self.recipe.steps and until not in self.families:
            known = list(self.written.steps)
            hint = closest(until, known if "[" not in until else list(self.order))
            raise RecipeError(f"--until {until}: there is no such step; steps: {', '.join(known)}{hint}")
        wanted = {until, *self.families.get(until, ())}
        for name in reversed(self.order):
            if name in wanted:
                wanted.update(self.parents(name).values())
        return tuple(name for name in self.order if name in wanted)


def build(recipe: Recipe) -> Graph:
    """Check edges, kinds, cycles, families and what the tasks themselves know about their neighbours. Raises RecipeError with all of it."""
    problems: list[str] = []
    for step in recipe.steps.values():
        problems += _edges(step, recipe)
    edges = {name: [source for source in step.inputs.values() if source in recipe.steps] for name, step in recipe.steps.items()}
    try:
        order = tuple(TopologicalSorter(edges).static_order())
    except CycleError as error:
        cycle = list(error.args[1])
        start = cycle.index(min(cycle[:-1], key=list(recipe.steps).index))
        cycle = cycle[start:-1] + cycle[: start + 1]
        path = ("steps", cycle[0])
        problems.append(
            f"{recipe.document.at(path)}: the steps feed each other in a circle: {' → '.join(cycle)}; remove one of these inputs"
        )
        raise RecipeError(*problems) from error
    if problems:
        raise RecipeError(*problems)
    expanded = expand(recipe, _stable(order, edges, list(recipe.steps)))
    whole = replace(recipe, steps=expanded.steps)
    if not expanded.problems:
        expanded.problems += _misfits(whole)
    if expanded.problems:
        raise RecipeError(*expanded.problems)
    families = {name: tuple(member.name for member in members) for name, members in expanded.families.items()}
    return Graph(whole, tuple(expanded.steps), recipe, families)


def _stable(order: tuple[str, ...], edges: Mapping[str, list[str]], written: list[str]) -> tuple[str, ...]:
    placed: list[str] = []
    while len(placed) < len(order):
        placed.append(next(name for name in written if name not in placed and all(source in placed for source in edges[name])))
    return tuple(placed)


def _edges(step: Step, recipe: Recipe) -> list[str]:
    task = CATALOG[step.task]
    problems = []
    for key, wanted in task.inputs.items():
        path = ("steps", step.name, key)
        where = f"{recipe.document.at(path)}: {dotted(path)}"
        source = step.inputs.get(key)
        if source is None:
            if not wanted.optional:
                problems.append(f"{where}: is missing; {step.task} needs {_offered(key, wanted, recipe)}")
        elif source in recipe.steps:
            made = kind_of(recipe.steps[source], recipe)
            if not _fits(recipe.steps[source], wanted, recipe):
                problems.append(f"{where}: needs {_a(wanted.kind)}, but step {source!r} ({recipe.steps[source].task}) makes {_a(made)}")
        elif not (wanted.reference and REFERENCE.match(source)):
            problems.append(f"{where}: {_unknown(source, wanted, recipe)}")
    return problems


def _offered(key: str, wanted: Input, recipe: Recipe) -> str:
    if wanted.family:
        makers = [step.name for step in recipe.steps.values() if step.variants]
        return f"a family, such as {key}: {makers[0]}" if makers else "a family, and no step of the recipe has a `matrix:`"
    makers = [step.name for step in recipe.steps.values() if CATALOG[step.task].output == wanted.kind]
    offer = f"such as {key}: {makers[0]}" if makers else f"and no step of the recipe makes one: add a step with {_makers(wanted.kind)}"
    return f"a {wanted.kind}, {offer}"


def _unknown(source: str, wanted: Input, recipe: Recipe) -> str:
    fitting = [name for name, step in recipe.steps.items() if _fits(step, wanted, recipe)]
    also = ", or models:/NAME@ALIAS or models:/NAME/VERSION" if wanted.reference else ""
    makers = f"steps that make {_a(wanted.kind)}" if wanted.kind else "steps"
    return f"there is no step {source!r}; {makers}: {', '.join(fitting) or 'none'}{also}{closest(source, list(recipe.steps))}"


def kind_of(step: Step, recipe: Recipe) -> str:
    """Kind of artifact that a step makes, or hands on; empty when that can't be said, since it names no step or itself."""
    seen: set[str] = set()
    while (passes := CATALOG[step.task].passes) and step.name not in seen:
        seen.add(step.name)
        source = next((source for key, source in step.inputs.items() if family_of(key) == passes), "")
        if source not in recipe.steps:
            return ""
        step = recipe.steps[source]
    return "" if CATALOG[step.task].passes else CATALOG[step.task].output


def _fits(step: Step, wanted: Input, recipe: Recipe) -> bool:
    return not wanted.kind or kind_of(step, recipe) in (wanted.kind, "")


def _misfits(recipe: Recipe) -> list[str]:
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
        problems += lint(step.config, configs)
    return problems


def _configs(inputs: Mapping[str, str], recipe: Recipe) -> dict[str, Any]:
    """Input → config of the step it comes from, near or far; the nearest wins, so a gate sees the model behind its report."""
    configs: dict[str, Any] = {}
    near = [inputs]
    while near:
        edges = [(family_of(key), recipe.steps[source]) for other in near for key, source in other.items() if source in recipe.steps]
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
    single = {key: source for key, source in step.inputs.items() if "[" not in key}
    labels = dict.fromkeys(key.partition("[")[2] for key in step.inputs if "[" in key)
    return [single | {key: source for key, source in step.inputs.items() if key.partition("[")[2] == label} for label in labels] or [single]


def _makers(kind: str) -> str:
    return " or ".join(f"task: {name}" for name, task in CATALOG.items() if task.output == kind)


def _a(kind: str) -> str:
    return kind if kind == "shards" else f"a {kind}"


def text(graph: Graph) -> str:
    """One line a step of the recipe: name, task, where its inputs come from, and what a family varies."""
    names = list(dict.fromkeys(map(family_of, graph.order)))
    width = max(map(len, names))
    lines = []
    for name in names:
        step = graph.written.steps[name]
        sources = ", ".join(source if key in (source, "from") else f"{key}: {source}" for key, source in step.inputs.items())
        many = f" × {len(graph.families[name])}" if name in graph.families else ""
        varies = f"   over {_axes(step)}" if step.variants else ""
        made = kind_of(step, graph.written)
        lines.append(f"{name:<{width}}  {step.task} → {made}{many}{f'   from {sources}' if sources else ''}{varies}")
    return "\n".join(lines)


def _axes(step: Step) -> str:
    values: dict[str, list[str]] = {}
    for variant in step.variants:
        for path, value in variant.sets.items():
            shown = value if isinstance(value, str) else json.dumps(value)
            if shown not in values.setdefault(path, []):
                values[path].append(shown)
    return "; ".join(f"{path}: {', '.join(each)}" for path, each in values.items())


def mermaid(graph: Graph) -> str:
    """A Mermaid flow chart, for Markdown. A family is one box."""
    lines = ["flowchart LR"]
    names = list(dict.fromkeys(map(family_of, graph.order)))
    ids = {name: f"s{index}" for index, name in enumerate(names)}
    for name in names:
        many = f" × {len(graph.families[name])}" if name in graph.families else ""
        lines.append(f'    {ids[name]}["{name}{many}<br/><i>{graph.written.steps[name].task}</i>"]')
    outside = 0
    for name in names:
        for key, source in graph.written.steps[name].inputs.items():
            if source in ids:
                lines.append(f"    {ids[source]} -->|{kind_of(graph.written.steps[source], graph.written)}| {ids[name]}")
            else:
                lines.append(f'    x{outside}(["{source}"]) -.->|{key}| {ids[name]}')
                outside += 1
    return "\n".join(lines)
