"""Which step takes from which: names, kinds and circles.

In: an outline of every step, of those too whose configs are wrong, so that one mistake hides no other. Out: an order, and every problem
with its line. Knows nothing of configs; must not import ray, torch or mlflow.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from graphlib import CycleError, TopologicalSorter

from pipeline.catalog import CATALOG, Input
from pipeline.labels import family_of, in_list, label_of
from pipeline.positions import Document, Path, dotted
from pipeline.steps import Step
from tasks.registry import closest

REFERENCE = re.compile(r"^models:/(?P<name>[^/@]+)(?:@(?P<alias>[^/@]+)|/(?P<version>\d+))$")
"""An outside reference to a registered model."""


@dataclass(frozen=True)
class Outline:
    """A step as its neighbours see it."""

    name: str
    task: str
    """Empty when the recipe does not say it, or names none that there is."""
    inputs: Mapping[str, str]
    """input → the step's name or the outside reference it takes."""
    family: bool = False
    """It has a `matrix:`."""
    told: frozenset[str] = frozenset()
    """Inputs about which something is told already."""


Outlines = Mapping[str, Outline]


@dataclass(frozen=True)
class Checked:
    """What comes of the edges."""

    order: tuple[str, ...]
    """Each step after those it takes from, as far as they go in no circle; ties in the order of the recipe."""
    problems: tuple[str, ...]
    wrong: frozenset[str]
    """Steps that have one of these problems."""


def outlined(steps: Mapping[str, Step]) -> dict[str, Outline]:
    """Outlines of steps without a mistake."""
    return {name: Outline(name, step.task, step.inputs, family=bool(step.variants)) for name, step in steps.items()}


def check(outlines: Outlines, document: Document) -> Checked:
    """Look at every edge and for every circle."""
    problems, wrong = [], set()
    for step in outlines.values():
        found = _edges(step, outlines, document)
        problems += found
        wrong.update([step.name] if found else [])
    edges = {name: [source for source in step.inputs.values() if source in outlines] for name, step in outlines.items()}
    while True:
        try:
            order = tuple(TopologicalSorter(edges).static_order())
        except CycleError as error:
            circle = _circle(error, list(outlines))
            problems.append(
                f"{document.at(('steps', circle[0]))}: the steps feed each other in a circle: {' → '.join(circle)}; "
                "remove one of these inputs"
            )
            wrong.update(circle)
            edges[circle[1]] = [source for source in edges[circle[1]] if source != circle[0]]  # the next look finds the next circle
        else:
            return Checked(_stable(order, edges, list(outlines)), tuple(problems), frozenset(wrong))


def _circle(error: CycleError, written: list[str]) -> list[str]:
    """From its first step in the recipe back to it; each feeds the next."""
    circle = list(error.args[1])
    start = circle.index(min(circle[:-1], key=written.index))
    return circle[start:-1] + circle[: start + 1]


def _stable(order: tuple[str, ...], edges: Mapping[str, list[str]], written: list[str]) -> tuple[str, ...]:
    placed: list[str] = []
    while len(placed) < len(order):
        placed.append(next(name for name in written if name not in placed and all(source in placed for source in edges[name])))
    return tuple(placed)


def _edges(step: Outline, outlines: Outlines, document: Document) -> list[str]:
    problems = []
    for key, wanted in CATALOG[step.task].inputs.items() if step.task else ():
        given = {each: source for each, source in step.inputs.items() if family_of(each) == key}
        path: Path = ("steps", step.name, key)
        if not given and not wanted.optional and key not in step.told:
            problems.append(f"{document.at(path)}: {dotted(path)}: is missing; {step.task} needs {_offered(key, wanted, outlines)}")
        for each, source in given.items() if key not in step.told else ():
            path = ("steps", step.name, key, int(label_of(each)), "from") if in_list(each) else ("steps", step.name, key)
            wrong = _wrong(source, wanted, outlines)
            problems += [f"{document.at(path)}: {dotted(path)}: {wrong}"] if wrong else []
    return problems


def _wrong(source: str, wanted: Input, outlines: Outlines) -> str:
    """What is wrong with taking from there; empty = nothing."""
    if source in outlines:
        made = f"step {source!r} ({outlines[source].task}) makes {_a(kind_of(source, outlines))}"
        return "" if _fits(source, wanted, outlines) else f"needs {_a(wanted.kind)}, but {made}"
    return "" if wanted.reference and REFERENCE.match(source) else _unknown(source, wanted, outlines)


def _offered(key: str, wanted: Input, outlines: Outlines) -> str:
    if wanted.family:
        makers = [step.name for step in outlines.values() if step.family]
        return f"a family, such as {key}: {makers[0]}" if makers else "a family, and no step of the recipe has a `matrix:`"
    makers = [step.name for step in outlines.values() if step.task and CATALOG[step.task].output == wanted.kind]
    if makers:
        return f"a {wanted.kind}, such as {key}: {makers[0]}"
    if _all_known(outlines):
        return f"a {wanted.kind}, and no step of the recipe makes one: add a step with {_makers(wanted.kind)}"
    return f"a {wanted.kind}: the name of a step with {_makers(wanted.kind)}"


def _unknown(source: str, wanted: Input, outlines: Outlines) -> str:
    fitting = [name for name, step in outlines.items() if step.task and _fits(name, wanted, outlines)]
    also = ", or models:/NAME@ALIAS or models:/NAME/VERSION" if wanted.reference else ""
    makers = f"steps that make {_a(wanted.kind)}" if wanted.kind else "steps"
    listed = ", ".join(fitting) or ("none" if _all_known(outlines) else "none as far as their tasks are known")
    return f"there is no step {source!r}; {makers}: {listed}{also}{closest(source, list(outlines))}"


def kind_of(name: str, outlines: Outlines) -> str:
    """Kind of artifact that a step makes, or hands on; empty when that can't be said, since it names no step or itself."""
    seen: set[str] = set()
    while name in outlines and name not in seen and (task := CATALOG.get(outlines[name].task)):
        if not task.passes:
            return task.output
        seen.add(name)
        name = next((source for key, source in outlines[name].inputs.items() if family_of(key) == task.passes), "")
    return ""


def _fits(name: str, wanted: Input, outlines: Outlines) -> bool:
    return not wanted.kind or kind_of(name, outlines) in (wanted.kind, "")


def _all_known(outlines: Outlines) -> bool:
    return all(step.task for step in outlines.values())


def _makers(kind: str) -> str:
    return " or ".join(f"task: {name}" for name, task in CATALOG.items() if task.output == kind)


def _a(kind: str) -> str:
    return kind if kind == "shards" else f"a {kind}"
