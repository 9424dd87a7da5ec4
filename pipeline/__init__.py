"""What runs, and when. The public Python API:

    recipe = load_recipe(Path("recipe.yaml"))
    plan = make_plan(build_graph(recipe), open_store(recipe.store))
    result = run_plan(plan, in_process, Options())

Names are imported when they are first used: the command line checks whose `tasks` package it has before it imports it.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pipeline.executors import in_process
    from pipeline.graph import Graph
    from pipeline.graph import build as build_graph
    from pipeline.plan import Plan
    from pipeline.plan import make as make_plan
    from pipeline.recipe import load as load_recipe
    from pipeline.runner import Options, RunResult
    from pipeline.runner import run as run_plan
    from pipeline.steps import Recipe
    from pipeline.store import LocalStore
    from pipeline.stores import open_store

__all__ = [
    "Graph",
    "LocalStore",
    "Options",
    "Plan",
    "Recipe",
    "RunResult",
    "build_graph",
    "in_process",
    "load_recipe",
    "make_plan",
    "open_store",
    "run_plan",
]

_HOME = {
    "Graph": ("graph", "Graph"),
    "LocalStore": ("store", "LocalStore"),
    "Options": ("runner", "Options"),
    "Plan": ("plan", "Plan"),
    "Recipe": ("steps", "Recipe"),
    "RunResult": ("runner", "RunResult"),
    "build_graph": ("graph", "build"),
    "in_process": ("executors", "in_process"),
    "load_recipe": ("recipe", "load"),
    "make_plan": ("plan", "make"),
    "open_store": ("stores", "open_store"),
    "run_plan": ("runner", "run"),
}


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module 'pipeline' has no attribute {name!r}")
    module, attribute = _HOME[name]
    return getattr(importlib.import_module(f"pipeline.{module}"), attribute)
