"""What would run, what is cached, and why.

In: a Graph and a store. Out: a Plan: every step's key, which is a hash of all that its output depends on. Keys follow from keys,
so the whole plan is known before anything runs. Must not import ray, torch or mlflow.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

from pipeline import code, references
from pipeline.catalog import CATALOG
from pipeline.errors import RecipeError
from pipeline.graph import Graph
from pipeline.labels import folded
from pipeline.references import Version
from pipeline.store import LocalStore
from tasks import forgotten
from tasks.contracts import Summary
from tasks.errors import InputError, TaskError


@dataclass(frozen=True)
class PlannedStep:
    """One step of a plan."""

    name: str
    task: str
    key: str
    parts: Mapping[str, Any]
    """What the key is the hash of."""
    cached: bool
    why: str
    """Why it runs, or what is worth knowing about the cached output."""
    versions: Mapping[str, Version]
    """input → the version an outside reference was resolved to."""
    estimate: Mapping[str, Any]
    """`records` and `bytes` it will handle, and `splits` of the records; only what is known, and nothing for what handles none."""
    summary: Summary
    """Of the cached output; empty otherwise."""


@dataclass(frozen=True)
class Plan:
    """A graph with keys."""

    graph: Graph
    store: LocalStore
    steps: Mapping[str, PlannedStep]
    """In order of execution."""

    @property
    def to_run(self) -> list[str]:
        return [name for name, step in self.steps.items() if not step.cached]

    @property
    def stands_on(self) -> list[str]:
        """Keys of all that a run of it may use or make."""
        return [key for step in self.steps.values() for key in (step.key, *(version.model_key for version in step.versions.values()))]


def make(
    graph: Graph, store: LocalStore, until: str | None = None, *, strict_code: bool = False, previous: Mapping[str, Any] | None = None
) -> Plan:
    """Compute every key and look it up. `previous` holds the parts of the recipe's last run, for the reasons."""
    recipe = graph.recipe
    store.check_layout()
    planned: dict[str, PlannedStep] = {}
    problems: list[str] = []
    for name in graph.needed(until):
        if any(source not in planned for source in graph.parents(name).values()):
            continue  # an input could not be planned; its own problem is in the report
        where = f"{recipe.document.at(recipe.steps[name].path)}: steps.{name}"
        try:
            planned[name] = _planned(name, graph, store, planned, strict_code, previous)
        except (RecipeError, InputError) as error:
            problems.append(f"{where}: {error}")
        except TaskError as error:
            error.add_note(f"while planning step {name!r}")
            raise
    if problems:
        raise RecipeError(*problems)
    return Plan(graph, store, planned)


def look_again(plan: Plan) -> Plan:
    """The plan with what became of its outputs since it was made.

    Raises RecipeError when a model that a reference stands for is gone, or when a record of a corpus was forgotten.
    """
    steps = {}
    for name, step in plan.steps.items():
        for version in step.versions.values():
            references.artifact(version, plan.store)
        if CATALOG[step.task].ingests and forgotten.is_superseded(plan.store, step.key):
            raise RecipeError(
                f"step {name!r}: since this run was planned, samples of its corpus were forgotten or are to be read again; "
                "run the same command again"
            )
        gone = step.cached and plan.store.manifest(step.key) is None
        steps[name] = replace(step, cached=False, why="its output was deleted after planning", summary={}) if gone else step
    return replace(plan, steps=steps)


def _planned(
    name: str, graph: Graph, store: LocalStore, planned: Mapping[str, PlannedStep], strict_code: bool, previous: Mapping[str, Any] | None
) -> PlannedStep:
    recipe, step, task = graph.recipe, graph.recipe.steps[name], CATALOG[graph.recipe.steps[name].task]
    inputs: dict[str, Any] = {key: planned[source].key for key, source in graph.parents(name).items()}
    versions: dict[str, Version] = {}
    for key, source in step.inputs.items():
        if source in recipe.steps:
            continue
        version = references.resolve(source, store, candidate=_candidate(inputs.get("model", ""), store))
        inputs[key] = {"version": version.uri, "model": version.model_key} if version else None
        if version:
            references.artifact(version, store)
            versions[key] = version
    identity = task.hook("identity")
    parts: dict[str, Any] = {
        "task": step.task,
        "version": task.version,
        "config": step.config.model_dump(mode="json"),
        "inputs": inputs,
        "identity": identity(step.config, recipe.base_dir) if identity else {},
    }
    if task.seeded:
        parts["seed"] = recipe.seed
    if task.verdicts and (cleared := store.list("retries")):
        parts["retries"] = len(cleared)
    if strict_code:
        parts["code"] = {"revision": code.revision(), **code.libraries()}
    key, parts = _keyed(json.loads(json.dumps(parts)), store, ingests=task.ingests)
    manifest = store.manifest(key)
    if manifest is not None:
        summary = references.standing(manifest["summary"], store) if task.output == "decision" else manifest["summary"]
        return PlannedStep(name, step.task, key, parts, True, _aged(manifest), versions, {}, summary)
    estimate = task.hook("estimate")
    known = {other: dict(planned[source].summary or planned[source].estimate) for other, source in graph.parents(name).items()}
    guess = estimate(step.config, recipe.base_dir, known) if estimate else {}
    why = _why(parts, (previous or {}).get(name), {source: planned[source] for source in graph.parents(name).values()})
    return PlannedStep(name, step.task, key, parts, False, why, versions, guess, {})


def _keyed(parts: dict[str, Any], store: LocalStore, *, ingests: bool) -> tuple[str, dict[str, Any]]:
    """The hash of the parts, and the parts. In place of a corpus that was superseded stands its successor: without what was forgotten."""
    key = hashlib.sha256(json.dumps(parts, sort_keys=True, separators=(",", ":")).encode()).hexdigest()
    changed = forgotten.successor(store, key, parts) if ingests else None
    return _keyed(changed, store, ingests=ingests) if changed else (key, parts)


def _candidate(key: str, store: LocalStore) -> str:
    """Key of the model itself where a selection, made before, stands for it."""
    found = references.chosen(store.artifact(key), store) if key else None
    return found.key if found else key


def _aged(manifest: Mapping[str, Any]) -> str:
    made_with = {"code": manifest.get("code_revision"), **manifest.get("libraries", {})}
    now = {"code": code.revision(), **code.libraries()}
    differing = [name for name, value in made_with.items() if now.get(name) != value]
    if not differing:
        return ""
    return f"made with other versions of {', '.join(differing)}, task version is the same: cached (--strict-code would run it)"


def _why(parts: Mapping[str, Any], before: Mapping[str, Any] | None, parents: Mapping[str, PlannedStep]) -> str:
    rerun = [name for name, parent in parents.items() if not parent.cached]
    if before is None:
        return "never made"
    if before == parts:
        return "its output is not in the store; the last run did not finish it"
    changes = list(_changes(before, parts, ""))
    own = [change for change in changes if not change.startswith("inputs.")]
    if own:
        return "; ".join(own[:3]) + (f"; and {len(own) - 3} more changes" if len(own) > 3 else "")
    return f"takes from {', '.join(name for name, _ in folded(rerun))}, which runs" if rerun else "its inputs changed"


def _changes(before: Any, after: Any, path: str) -> Iterator[str]:
    if isinstance(before, dict) and isinstance(after, dict):
        for key in sorted(before.keys() | after.keys()):
            inner = key if path in ("", "config") else f"{path}.{key}"
            yield from _changes(before.get(key), after.get(key), inner)
    elif before != after:
        yield f"{path}: {_short(before)} → {_short(after)}"


def _short(value: Any) -> str:
    text = json.dumps(value)
    return text if len(text) <= 24 else f"{text[:20]}…"
