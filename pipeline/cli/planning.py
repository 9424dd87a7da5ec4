"""check, plan, graph, schema, version: look and change nothing."""

from __future__ import annotations

from argparse import Namespace
from typing import Any

from pipeline.cli import output
from pipeline.labels import family_of, folded


def version(arguments: Namespace) -> int:
    """`medley --version`, and `medley` alone."""
    if not arguments.versions:
        output.say("medley: give a verb, such as `medley demo` or `medley run RECIPE`; `medley --help` lists them")
        return 2
    from pipeline.code import libraries, revision

    for name, number in libraries().items():
        output.say(f"{name} {number or 'not installed'}")
    output.say(f"code {revision()}")
    return 0


def load_plan(arguments: Namespace) -> Any:
    """The plan that the arguments of `plan` and `run` describe."""
    from pipeline import graph as graphs
    from pipeline import journal, recipe
    from pipeline import plan as plans
    from pipeline.stores import store_at

    origin = getattr(arguments, "origin", None)
    loaded = recipe.load(arguments.recipe, arguments.set, arguments.limit, arguments.store, origin)
    built = graphs.build(loaded)
    store = store_at(loaded.store)
    previous = journal.last_parts(store.root, loaded.name)
    return plans.make(built, store, arguments.until, strict_code=arguments.strict_code, previous=previous)


def check(arguments: Namespace) -> int:
    """Exit 0 when the recipe is sound."""
    from pipeline import graph as graphs
    from pipeline import recipe

    built = graphs.build(recipe.load(arguments.recipe, arguments.set, arguments.limit, arguments.store))
    if arguments.json:
        output.document({"recipe": str(built.recipe.path), "name": built.recipe.name, "steps": list(built.order), "ok": True})
    else:
        output.say(f"{arguments.recipe}: sound, {len(built.order)} steps: {' → '.join(_named(built))}")
    return 0


def _named(graph: Any) -> list[str]:
    return [
        f"{name} × {len(graph.families[name])}" if name in graph.families else name for name in dict.fromkeys(map(family_of, graph.order))
    ]


def plan(arguments: Namespace) -> int:
    """What would run and why."""
    made = load_plan(arguments)
    if arguments.json:
        steps = {
            step.name: {
                "status": "cached" if step.cached else "run",
                "why": step.why,
                "key": step.key,
                "artifact": str(made.store.artifact_path(step.key)) if step.cached else "",
                "estimate": dict(step.estimate),
            }
            for step in made.steps.values()
        }
        output.document({"recipe": str(made.graph.recipe.path), "store": made.store.where, "steps": steps})
        return 0
    rows = [_row(shown, [made.steps[name] for name in names]) for shown, names in folded(list(made.steps))]
    output.table(["step", "task", "", "key", "estimate", "why"], rows)
    output.say(f"\n{len(made.to_run)} of {len(made.steps)} steps would run; store {made.store.where}")
    return 0


def _row(shown: str, steps: list[Any]) -> list[str]:
    """A step's line; a long family is one line, with the reason of the first of it that runs."""
    first = next((step for step in steps if not step.cached), steps[0])
    guess = first.estimate
    records = f"{output.count(guess['records'])} records" if guess.get("records") else ""
    amount = ", ".join([records, *([output.size(guess["bytes"])] if guess.get("bytes") else [])]) if records else ""
    cached = sum(step.cached for step in steps)
    status = "cached" if cached == len(steps) else f"run {len(steps) - cached}" if cached else "run"
    return [shown, first.task, status, first.key[:12] if len(steps) == 1 else "", amount, first.why]


def graph(arguments: Namespace) -> int:
    """Text, Mermaid or JSON."""
    from pipeline import graph as graphs
    from pipeline import recipe

    built = graphs.build(recipe.load(arguments.recipe, arguments.set, arguments.limit, arguments.store))
    if arguments.json:
        steps = {name: {"task": step.task, "inputs": dict(step.inputs)} for name, step in built.recipe.steps.items()}
        families = {name: list(members) for name, members in built.families.items()}
        output.document({"order": list(built.order), "steps": steps, "families": families})
    else:
        output.say(graphs.mermaid(built) if arguments.format == "mermaid" else graphs.text(built))
    return 0


def schema(_arguments: Namespace) -> int:
    """The recipe's JSON Schema."""
    from pipeline.schema import recipe_schema

    output.document(recipe_schema())
    return 0
