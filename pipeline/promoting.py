"""Promotion outside a run: what the gate would say, a version decided on by hand, and aliases that MLflow and the log disagree on.

In: a plan, or a store and a version. Out: decisions and sentences for a person. Must not import ray, torch or mlflow.
"""

from __future__ import annotations

import shlex
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from pydantic import ValidationError

from pipeline import references, versions
from pipeline.errors import NotFound, RecipeError
from pipeline.plan import Plan
from pipeline.store import LocalStore
from pipeline.tracking import store_tracking, tracking
from tasks.contracts import Artifact, Tracking
from tasks.errors import InputError, TrackingError
from tasks.promote import Case, PromoteConfig, check_pair, decide, read_report, read_version, weigh
from tasks.promotions import Decision, Entry, read_log
from tasks.standings import CHAMPION, aliases
from tasks.tracking.server import redacted

UNREGISTERED = "unregistered"
"""Stands for the number of a version that the recipe has still to register."""


@dataclass(frozen=True)
class Weighed:
    """What a decision would be."""

    name: str
    decision: Decision


def of_recipe(plan: Plan) -> list[Weighed]:
    """What each promote step of a plan would decide on the log as it is. Raises NotFound when a report is not made yet."""
    steps = [step for step in plan.steps.values() if step.task == "promote"]
    if not steps:
        raise RecipeError(
            f"{plan.graph.recipe.path} has no promote step that would decide; add one, or name a version: `medley promote NAME/3`"
        )
    return [_of_step(plan, step.name) for step in steps]


def of_version(store: LocalStore, asked: str, alias: str, by: str) -> Case:
    """A registered version with the report it was registered with, and the rules that the last decision on the alias was made by."""
    version = versions.find(store, asked)
    entries = read_log(store, version.name)
    last = next((entry for entry in reversed(entries) if entry.alias == alias and entry.rules), None)
    if last is None:
        known = sorted({entry.alias for entry in entries if entry.rules})
        raise InputError(
            f"no rules are known by which a version of {version.name!r} becomes {alias!r}; aliases decided on so far: "
            f"{', '.join(known) or 'none'}. Give the recipe instead: `medley promote RECIPE`"
        )
    report = _made(store, version.report_key, "report")
    facts = {"name": version.name, "version": version.number, "model_key": version.model_key}
    described = read_report(report)
    check_pair(facts, described, report.step)
    try:
        config = PromoteConfig.model_validate(last.rules)
    except ValidationError as error:
        raise InputError(
            f"the rules of entry {last.n} of the log cannot be read by this Medley ({error.errors()[0]['msg']}); give the recipe instead"
        ) from error
    return Case(config, facts, described, report, int(last.numbers.get("seed") or 0), by=by)


def preview(case: Case, store: LocalStore) -> Weighed:
    """What would be decided. Writes nothing."""
    name = str(case.version["name"])
    return Weighed(name, weigh(case, read_log(store, name)))


def carry_out(case: Case, store: LocalStore, there: Tracking) -> Entry:
    """Decide, log it, and let MLflow follow."""
    from tasks.tracking.aliases import follow

    entry, entries = decide(case, store, read_log(store, case.version["name"]))
    follow(store, there, entry, f"`medley aliases {entry.name}` sets the aliases", entries)
    return entry


def compared(store: LocalStore, there: Tracking, name: str) -> tuple[dict[str, str], list[Any]]:
    """Alias → version by the log, and where MLflow says otherwise. Raises NotFound for a name without decisions, TrackingError."""
    from tasks.tracking.aliases import astray

    entries = read_log(store, name)
    if not entries:
        known = sorted({found.split("/")[1] for found in store.list("promotions")})
        raise NotFound(f"nothing was ever decided about {name!r} in {store.where}; names it has decisions on: {', '.join(known) or 'none'}")
    return aliases(entries), astray(store, there, name, entries)


def tend(plan: Plan, summaries: Mapping[str, Mapping[str, Any]]) -> Iterator[str]:
    """Set back aliases that were moved in MLflow, of the names that these cached decisions are about. A sentence for each."""
    from tasks.tracking.aliases import astray, project

    names = sorted({summary["name"] for summary in summaries.values() if "decision" in summary})
    there = tracking(plan) if names else Tracking()
    for name in names:
        try:
            found = astray(plan.store, there, name)
            if found:
                project(plan.store, there, name)
        except TrackingError as error:
            yield f"{error}; whether its aliases follow the promotion log is not known"
            continue
        yield from (each.repaired for each in found)


def astray_since(store: LocalStore, events: Sequence[Mapping[str, Any]]) -> list[str]:
    """What MLflow's aliases say otherwise than the log, of the names that a run decided about. A sentence for each; changes nothing."""
    from tasks.tracking.aliases import astray

    planned: Mapping[str, Any] = next((event for event in events if event["event"] == "run_planned"), {})
    made = [store.manifest(key) for key in planned.get("steps", {}).values()] if planned.get("tracking") else []
    names = sorted({each["summary"]["name"] for each in made if each and each["kind"] == "decision"})
    said = []
    for name in names:
        try:
            found = astray(store, Tracking(planned["tracking"]), name)
        except TrackingError as error:
            said.append(str(error))
            continue
        where = f" --store {shlex.quote(store.where)}"
        said += [
            f"{each}; `medley aliases {name}{where}` sets it back{f', `{each.adopt}` keeps it' if each.adopt else ''}" for each in found
        ]
    return said


def approvals(plan: Plan, summaries: Mapping[str, Mapping[str, Any]], program: str) -> Iterator[str]:
    """For each pending decision of a run a sentence with the command that settles it; `program` is how medley is called here."""
    for name, summary in summaries.items():
        if summary.get("decision") != "pending":
            continue
        words = [program, "approve", summary["name"], str(summary["version"]), "--store", plan.store.where]
        own = tracking(plan).uri
        if own != store_tracking(plan.store, "medley").uri:
            words += ["--tracking", redacted(own)]
        if plan.graph.recipe.webhooks:
            words += ["--recipe", str(plan.graph.recipe.path)]
        yield (
            f"step {name!r}: version {summary['version']} of {summary['name']} passed the gate and waits for a person to make it "
            f"{summary['alias']}: `{shlex.join(words)} --reason …`, or the same with --reject"
        )


def _of_step(plan: Plan, name: str) -> Weighed:
    step, recipe = plan.steps[name], plan.graph.recipe
    made = {key: plan.store.artifact(plan.steps[source].key) for key, source in plan.graph.parents(name).items()}
    source = plan.graph.parents(name)["report"]
    report = references.chosen(made["report"] and replace(made["report"], step=source), plan.store)
    if report is None:
        raise NotFound(
            f"step {source!r} has no report yet for step {name!r} to decide from; `medley run {recipe.path} --until {source}` makes it"
        )
    report = replace(report, path=plan.store.bring(report.key))
    described = read_report(report)
    config = recipe.steps[name].config
    assert isinstance(config, PromoteConfig), "the catalog says so"
    version = _version(plan, name, made["version"], described)
    case = Case(config, version, described, report, recipe.seed, name, step.key)
    return preview(case, plan.store)


def _version(plan: Plan, name: str, made: Artifact | None, described: Mapping[str, Any]) -> dict[str, Any]:
    if made is not None:
        return read_version(replace(made, path=plan.store.bring(made.key)))
    config: Any = plan.graph.recipe.steps[plan.graph.parents(name)["version"]].config
    return {"name": config.name, "version": UNREGISTERED, "model_key": described["model"]["key"]}


def _made(store: LocalStore, key: str, kind: str) -> Artifact:
    found = store.artifact(key) if key else None
    if found is None:
        raise NotFound(
            f"the {kind} {key[:12] or '(none named)'} that the version was registered with is not in {store.where}; run its recipe"
        )
    return replace(found, path=store.bring(found.key))


def alias_of(asked: str) -> tuple[str, str]:
    """`champion=3` → alias and version."""
    alias, equals, version = asked.partition("=")
    if not equals or not alias or not version.isdecimal():
        raise RecipeError(f"--adopt {asked}: give ALIAS=VERSION, such as {CHAMPION}=3")
    return alias, version
