"""Step `promote`: decide whether a version may stand in for its name, write the decision down, and let MLflow's alias follow.

In: `version` and the `report` it is judged by. Out: a decision (`decision.json`). The decision is an entry of the promotion log
(`tasks/promotions.py`), yes or no, with all its numbers; the alias is a projection of that log, set after it. A step that is repeated finds
its own entry and repairs the alias only. With `requires_approval` a yes is pending until a person approves it (`tasks/approve.py`). Heavy
imports happen when the step runs, so that planning stays fast.
"""

from __future__ import annotations

import contextlib
import dataclasses
import json
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Self

from pydantic import field_validator, model_validator

from tasks.contracts import FORMAT_VERSION, Artifact, Inputs, Json, Store, Summary, TaskContext
from tasks.errors import CorruptArtifact, InputError, StaleReport, TrackingError
from tasks.evaluation.measures import MEASURED, kind_of
from tasks.gating.config import GateConfig
from tasks.gating.metrics import wrong_metric
from tasks.promotions import Decision, Entry, Reference, append_after, barring, current, of_step, read_log
from tasks.registry import Config, closest
from tasks.standings import BEST, CHAMPION, PREVIOUS, barred_sentence, best_for, outcome


class PromoteConfig(Config):
    """Which alias the version wants, and what it takes."""

    alias: str = "champion"
    """Letters, digits, `_` and `-`, at most 255; not `latest`, nor like `v3`, which MLflow keeps for itself."""
    gate: GateConfig
    """The rules."""
    requires_approval: bool = False
    """Whether a yes of the gate waits for `medley approve`; the run ends without an error, and the alias stays where it is."""

    @field_validator("alias")
    @classmethod
    def _alias(cls, value: str) -> str:
        if not re.fullmatch(r"[A-Za-z0-9_-]{1,255}", value) or re.fullmatch(r"latest|v\d+", value, re.IGNORECASE):
            raise ValueError(
                f"{value!r} cannot be an alias; allowed: letters, digits, '_' and '-', but neither 'latest' nor 'v' with a number"
            )
        if value in (PREVIOUS, BEST):
            raise ValueError(f"{value!r} follows from what is {CHAMPION} and cannot be asked for; choose another alias")
        return value

    @model_validator(mode="after")
    def _of_the_champion(self) -> Self:
        if self.alias != CHAMPION and self.gate.creep:
            raise ValueError(f"gate.creep compares with the best {CHAMPION} ever, and the alias is {self.alias!r}; leave creep out")
        return self


def lint(config: PromoteConfig, inputs: Mapping[str, Any]) -> list[str]:
    """The gated head must be one of the model's, where the planner hands over the training's config as `model`."""
    head, heads = config.gate.head, getattr(getattr(inputs.get("model"), "model", None), "heads", None)
    if heads and head in heads:
        kind = kind_of(getattr(heads[head], "kind", ""))
        wrong = wrong_metric(head, config.gate.metric, kind) if kind in MEASURED else ""
        return [wrong] if wrong else []
    if not heads:
        return []
    return [f"gate.head {head!r} is not a head of the model; its heads are: {', '.join(heads)}{closest(head, list(heads))}"]


def promote(config: PromoteConfig, inputs: Inputs, output_dir: Path, context: TaskContext) -> Summary:
    """Decide, log, project, and write `decision.json`. `summary["decision"]` is promoted, refused or pending.

    Raises StaleReport when another version came into force since the report was planned, InputError when version and report do not belong
    together or the report lacks what the gate asks for, TrackingError when the decision stands but MLflow could not follow.
    """
    from tasks.tracking.aliases import follow

    version, report = read_version(inputs["version"]), read_report(inputs["report"])
    check_pair(version, report, inputs["report"].step)
    entries = read_log(context.store, version["name"])
    _tell_astray(context, version["name"], entries)
    case = Case(config, version, report, inputs["report"], context.seed, context.step, context.key)
    entry, entries = decide(case, context.store, entries)
    decision, reasons = outcome(entries, entry)
    summary: Summary = {
        "decision": decision,
        "alias": entry.alias,
        "name": entry.name,
        "version": entry.version,
        "reasons": reasons,
        "entry": entry.n,
        "baseline": dataclasses.asdict(entry.baseline) if entry.baseline else None,
        "numbers": dict(entry.numbers),
    }
    document = json.dumps(
        {"format": FORMAT_VERSION, **summary, "log": dataclasses.asdict(entry)}, indent=1, sort_keys=True, ensure_ascii=False
    )
    (output_dir / "decision.json").write_text(f"{document}\n", encoding="utf-8")
    for reason in reasons:
        context.sink.note(f"{decision}: {reason}")
    if decision == "pending":
        context.sink.note(f"pending: {approval_command(entry)}")
    follow(context.store, context.tracking, entry, "run the same command again", entries)
    return summary


@dataclasses.dataclass(frozen=True)
class Case:
    """What a decision is about."""

    config: PromoteConfig
    version: Mapping[str, Json]
    """`version.json`."""
    report: Mapping[str, Json]
    """`report.json`."""
    artifact: Artifact
    """The report's."""
    seed: int
    step: str = ""
    key: str = ""
    """Of the step, by which a repeated one finds its own decision."""
    by: str = ""


def weigh(case: Case, entries: Sequence[Entry], verdict: Any = None) -> Decision:
    """What the gate and the log as it is say. Writes nothing; `verdict` is the gate's, when it was asked before."""
    from tasks.gating.judgement import judge

    config, version, baseline = case.config, case.version, case.report["baseline"]
    _check_fresh(case, entries)
    found = verdict or judge(case.artifact.path, config.gate, baseline is not None, case.seed)
    objections = list(found.objections)
    if barred := barring(entries, version["version"], version["model_key"]):
        objections.insert(0, barred_sentence(version["version"], barred))
    best = case.report.get("best")
    return Decision(
        action="refused" if objections else "pending" if config.requires_approval else "promoted",
        alias=config.alias,
        version=version["version"],
        model_key=version["model_key"],
        report_key=case.artifact.key,
        step_key=case.key,
        baseline=Reference(baseline["version"], baseline["key"]) if baseline else None,
        reasons=tuple(objections),
        numbers=found.numbers,
        best=Reference(best["version"], best["key"]) if best else None,
        leads=found.leads,
        rules=config.model_dump(mode="json"),
        by=case.by,
    )


def read_version(artifact: Artifact) -> dict[str, Json]:
    """`version.json` of a version. Raises CorruptArtifact."""
    return _document(artifact, "version.json", ("name", "version", "model_key"))


def read_report(artifact: Artifact) -> dict[str, Json]:
    """`report.json` of a report. Raises CorruptArtifact."""
    return _document(artifact, "report.json", ("model", "baseline"))


def check_pair(version: Mapping[str, Json], report: Mapping[str, Json], step: str) -> None:
    """Raises InputError when the report is about another model."""
    if report["model"].get("key") != version["model_key"]:
        raise InputError(
            f"the report {step!r} is about another model than version {version['version']} of {version['name']!r}; give "
            "`report:` the step that this version was registered with"
        )


def approval_command(entry: Entry) -> str:
    """What a person types to settle a pending decision."""
    command = f"medley approve {entry.name} {entry.version} --reason …"
    return f"`{command}` makes version {entry.version} {entry.alias}, with --reject it stays as it is"


def decide(case: Case, store: Store, entries: list[Entry]) -> tuple[Entry, list[Entry]]:
    """The step's entry: found, or decided on the log as it is and appended if nobody was faster; and the log with it."""
    from tasks.gating.judgement import judge

    name, verdict = case.version["name"], None
    while (entry := of_step(entries, case.key)) is None:
        _check_fresh(case, entries)
        verdict = verdict or judge(case.artifact.path, case.config.gate, case.report["baseline"] is not None, case.seed)
        if (written := append_after(store, name, entries, weigh(case, entries, verdict))) is not None:
            return written, [*entries, written]
        entries = read_log(store, name, entries)
    return entry, entries


def _tell_astray(context: TaskContext, name: str, entries: Sequence[Entry]) -> None:
    """Notes about aliases that were moved in MLflow, before they are set back. When MLflow is away, following it says so afterwards."""
    from tasks.tracking.aliases import astray

    with contextlib.suppress(TrackingError):
        for found in astray(context.store, context.tracking, name, entries):
            context.sink.note(found.repaired)


def _check_fresh(case: Case, entries: Sequence[Entry]) -> None:
    """Only the version in force counts as a baseline; a model that is in force itself need not beat anything."""
    version, report, champion = case.version, case.report, current(entries, case.config.alias)
    if champion is None or champion.model_key == version["model_key"]:
        return
    baseline = report["baseline"]
    if baseline is None or baseline["key"] != champion.model_key:
        compared = f"compares with {baseline['reference']}" if baseline else "compares with nothing"
        until = f" --until {case.step}" if case.step else ""
        raise StaleReport(
            f"version {version['version']} of {version['name']!r} is not decided on: its report {compared}, but version {champion.version} "
            f"is {champion.alias} since entry {champion.n} of the log ({champion.time}). `medley run RECIPE{until}` evaluates "
            f'against it, where the evaluate step has `baseline: "models:/{version["name"]}@{champion.alias}"`'
        )
    best, expected = report.get("best"), best_for(entries, case.config.alias, version["model_key"])
    if case.config.gate.creep and best and expected and best["key"] != expected.model_key:
        raise StaleReport(
            f"version {version['version']} of {version['name']!r} is not decided on: its report compares with version {best['version']} as "
            f"the best {CHAMPION} ever, which is version {expected.version} by now; `medley run RECIPE` evaluates against it"
        )


def _document(artifact: Artifact, file_name: str, fields: tuple[str, ...]) -> dict[str, Json]:
    path = artifact.path / file_name
    try:
        document: dict[str, Json] = json.loads(path.read_bytes())
    except (OSError, ValueError) as error:
        raise CorruptArtifact(f"{path} cannot be read ({error}); make the artifact of step {artifact.step!r} again") from error
    if missing := [field for field in fields if field not in document]:
        raise CorruptArtifact(f"{path} lacks {', '.join(missing)}; make the artifact of step {artifact.step!r} again")
    return document
