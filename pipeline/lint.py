"""Everything that is wrong with how the steps of a recipe hang together.

In: the steps that are sound by themselves, and an outline of every step. Out: the recipe with one step a variant, and the problems of
edges, families and neighbours in one list. What only follows from a mistake that is told already is left out: a step is looked at as a
whole when it and all that it stands on are sound. Must not import ray, torch or mlflow.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

from pipeline import edges
from pipeline.edges import Outlines
from pipeline.families import Member, expand
from pipeline.neighbours import misfits
from pipeline.steps import Recipe


@dataclass(frozen=True)
class Examined:
    """What comes of a recipe. Whole only when there are no problems."""

    recipe: Recipe
    """With one step a variant, in order of execution."""
    families: Mapping[str, tuple[Member, ...]]
    problems: tuple[str, ...]
    """In the order of the lines."""


def examine(recipe: Recipe, outlines: Outlines | None = None) -> Examined:
    """Check edges, kinds, circles, families and what the tasks know about their neighbours.

    `recipe` may lack steps that have a mistake of their own; `outlines` then stands for all of them.
    """
    outlines = edges.outlined(recipe.steps) if outlines is None else outlines
    checked = edges.check(outlines, recipe.document)
    sound: dict[str, None] = {}
    for name in checked.order:
        sources = [source for source in outlines[name].inputs.values() if source in outlines]
        if name in recipe.steps and name not in checked.wrong and all(source in sound for source in sources):
            sound[name] = None
    expanded = expand(recipe, list(sound))
    whole = replace(recipe, steps=expanded.steps)
    problems = [*checked.problems, *expanded.problems, *misfits(whole)]
    return Examined(whole, expanded.families, tuple(recipe.document.in_order(problems)))
