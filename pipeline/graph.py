"""How the steps of a recipe hang together: order, pictures.

In: a Recipe. Out: a Graph whose edges all exist and have the right kind; `lint` finds what is wrong, before anything runs. Must not
import ray, torch or mlflow.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass

from pipeline import edges, mixtures
from pipeline.errors import RecipeError
from pipeline.labels import family_of
from pipeline.lint import examine
from pipeline.steps import Recipe, Step
from tasks.registry import closest


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
    """Put the steps in order. Raises RecipeError with everything that is wrong with how they hang together."""
    examined = examine(recipe)
    if examined.problems:
        raise RecipeError(*examined.problems)
    families = {name: tuple(member.name for member in members) for name, members in examined.families.items()}
    return Graph(examined.recipe, tuple(examined.recipe.steps), recipe, families)


def text(graph: Graph) -> str:
    """One line a step of the recipe: name, task, where its inputs come from, and what a family varies."""
    names = list(dict.fromkeys(map(family_of, graph.order)))
    width = max(map(len, names))
    written = edges.outlined(graph.written.steps)
    lines = []
    for name in names:
        step = graph.written.steps[name]
        shares = mixtures.shown(step)
        sources = ", ".join(_taken(key, source, shares.get(key)) for key, source in step.inputs.items())
        many = f" × {len(graph.families[name])}" if name in graph.families else ""
        varies = f"   over {_axes(step)}" if step.variants else ""
        made = edges.kind_of(name, written)
        lines.append(f"{name:<{width}}  {step.task} → {made}{many}{f'   from {sources}' if sources else ''}{varies}")
    return "\n".join(lines)


def _taken(key: str, source: str, share: str | None) -> str:
    if share:
        return f"{source} ({share})"
    return source if key in (source, "from") else f"{key}: {source}"


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
    outside, written = 0, edges.outlined(graph.written.steps)
    for name in names:
        shares = mixtures.shown(graph.written.steps[name])
        for key, source in graph.written.steps[name].inputs.items():
            if source in ids:
                share = f", {shares[key]}" if key in shares else ""
                lines.append(f"    {ids[source]} -->|{edges.kind_of(source, written)}{share}| {ids[name]}")
            else:
                lines.append(f'    x{outside}(["{source}"]) -.->|{key}| {ids[name]}')
                outside += 1
    return "\n".join(lines)
