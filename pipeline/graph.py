"""How the steps of a recipe hang together: lint, order, pictures.

In: a Recipe. Out: a Graph whose edges all exist and have the right kind. Everything wrong is found in one pass, before anything
runs. Must not import ray, torch or mlflow.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from graphlib import CycleError, TopologicalSorter
from typing import Any

from pipeline.catalog import CATALOG, Input, Task
from pipeline.errors import RecipeError
from pipeline.positions import dotted
from pipeline.recipe import Recipe, Step
from tasks.registry import closest

REFERENCE = re.compile(r"^models:/(?P<name>[^/@]+)(?:@(?P<alias>[^/@]+)|/(?P<version>\d+))$")
"""An outside reference to a registered model."""


@dataclass(frozen=True)
class Graph:
    """A recipe whose steps fit together."""

    recipe: Recipe
    order: tuple[str, ...]
    """Step names, each after the steps it takes from; ties in the order of the recipe."""

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
        """Steps that lead to `until`, itself included; all when None. Raises RecipeError for an unknown name."""
        if until is None:
            return self.order
        if until not in self.recipe.steps:
            raise RecipeError(f"--until {until}: there is no such step; steps: {', '.join(self.order)}{closest(until, list(self.order))}")
        wanted = {until}
        for name in reversed(self.order):
            if name in wanted:
                wanted.update(self.parents(name).values())
        return tuple(name for name in self.order if name in wanted)


def build(recipe: Recipe) -> Graph:
    """Check edges, kinds, cycles and what the tasks themselves know about their neighbours. Raises RecipeError with all of it."""
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
    if not problems:
        for name in order:
            problems += _neighbours(recipe.steps[name], recipe)
    if problems:
        raise RecipeError(*problems)
    return Graph(recipe, _stable(order, edges, list(recipe.steps)))


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
                makers = [other.name for other in recipe.steps.values() if CATALOG[other.task].output == wanted.kind]
                offer = (
                    f"such as {key}: {makers[0]}"
                    if makers
                    else f"and no step of the recipe makes one: add a step with {_makers(wanted.kind)}"
                )
                problems.append(f"{where}: is missing; {step.task} needs a {wanted.kind}, {offer}")
        elif source in recipe.steps:
            made = CATALOG[recipe.steps[source].task].output
            if made != wanted.kind:
                problems.append(f"{where}: needs {_a(wanted.kind)}, but step {source!r} ({recipe.steps[source].task}) makes {_a(made)}")
        elif not (wanted.reference and REFERENCE.match(source)):
            problems.append(f"{where}: {_unknown(source, wanted, recipe)}")
    return problems


def _unknown(source: str, wanted: Input, recipe: Recipe) -> str:
    fitting = [name for name, step in recipe.steps.items() if CATALOG[step.task].output == wanted.kind]
    also = ", or models:/NAME@ALIAS or models:/NAME/VERSION" if wanted.reference else ""
    hint = closest(source, list(recipe.steps))
    return f"there is no step {source!r}; steps that make {_a(wanted.kind)}: {', '.join(fitting) or 'none'}{also}{hint}"


def _neighbours(step: Step, recipe: Recipe) -> list[str]:
    lint = CATALOG[step.task].hook("lint")
    if lint is None:
        return []
    configs: dict[str, Any] = {}
    near = [step]
    while near:  # the nearest step of an input's name wins: a gate looks at the model behind its report
        edges = [(key, recipe.steps[source]) for other in near for key, source in other.inputs.items() if source in recipe.steps]
        for key, source_step in edges:
            configs.setdefault(key, source_step.config)
        near = [source_step for _, source_step in edges]
    where = f"{recipe.document.at(('steps', step.name))}: steps.{step.name}"
    return [f"{where}: {problem}" for problem in lint(step.config, configs)]


def _makers(kind: str) -> str:
    return " or ".join(f"task: {name}" for name, task in CATALOG.items() if task.output == kind)


def _a(kind: str) -> str:
    return kind if kind == "shards" else f"a {kind}"


def text(graph: Graph) -> str:
    """One line a step: name, task and where its inputs come from."""
    width = max(map(len, graph.order))
    lines = []
    for name in graph.order:
        step = graph.recipe.steps[name]
        task: Task = CATALOG[step.task]
        sources = ", ".join(source if key == source else f"{key}: {source}" for key, source in step.inputs.items())
        lines.append(f"{name:<{width}}  {step.task} → {task.output}{f'   from {sources}' if sources else ''}")
    return "\n".join(lines)


def mermaid(graph: Graph) -> str:
    """A Mermaid flow chart, for Markdown."""
    lines = ["flowchart LR"]
    ids = {name: f"s{index}" for index, name in enumerate(graph.order)}
    lines += [f'    {ids[name]}["{name}<br/><i>{graph.recipe.steps[name].task}</i>"]' for name in graph.order]
    outside = 0
    for name in graph.order:
        for key, source in graph.recipe.steps[name].inputs.items():
            if source in ids:
                lines.append(f"    {ids[source]} -->|{CATALOG[graph.recipe.steps[source].task].output}| {ids[name]}")
            else:
                lines.append(f'    x{outside}(["{source}"]) -.->|{key}| {ids[name]}')
                outside += 1
    return "\n".join(lines)
