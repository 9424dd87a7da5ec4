"""Step `promote`: decide whether a version may stand in for its name, write the decision down, and let MLflow's alias follow.

In: `version` and the `report` it is judged by. Out: a decision (`decision.json`). The decision is an entry of the promotion log
(`tasks/promotions.py`), yes or no, with all its numbers; the alias is a projection of that log, set after it. A step that is repeated finds
its own entry and repairs the alias only. Heavy imports happen when the step runs, so that planning stays fast.
"""

from __future__ import annotations

import dataclasses
import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

from pydantic import Field, field_validator

from tasks.contracts import FORMAT_VERSION, Artifact, Inputs, Json, Summary, TaskContext
from tasks.errors import CorruptArtifact, InputError, StaleReport
from tasks.promotions import Decision, Entry, Reference, append_after, barring, current, of_step, read_log
from tasks.registry import Config, closest


class GateConfig(Config):
    """What a candidate must show against the version in force; the first version of a name only `min_samples` and `min_value`."""

    head: str = Field(min_length=1)
    """Head of the model that decides."""
    metric: Literal["accuracy"] = "accuracy"
    """What is compared, on the same rows."""
    margin: float = Field(0.02, ge=0, le=1)
    """Largest loss of the metric that is acceptable: its lower confidence bound may not lie below minus this."""
    confidence: float = Field(0.95, ge=0.5, lt=1)
    """Of the one-sided bound; 1 minus this is how often a model worse by exactly the margin gets through."""
    min_samples: int = Field(100, ge=1)
    """Samples with a label the report needs at least."""
    min_value: float | None = Field(None, ge=0, le=1)
    """Lowest acceptable value of the metric itself; null = any."""


class PromoteConfig(Config):
    """Which alias the version wants, and what it takes."""

    alias: str = "champion"
    """Letters, digits, `_` and `-`, at most 255; not `latest`, nor like `v3`, which MLflow keeps for itself."""
    gate: GateConfig
    """The rules."""

    @field_validator("alias")
    @classmethod
    def _alias(cls, value: str) -> str:
        if not re.fullmatch(r"[A-Za-z0-9_-]{1,255}", value) or re.fullmatch(r"latest|v\d+", value, re.IGNORECASE):
            raise ValueError(
                f"{value!r} cannot be an alias; allowed: letters, digits, '_' and '-', but neither 'latest' nor 'v' with a number"
            )
        return value


def lint(config: PromoteConfig, inputs: Mapping[str, Any]) -> list[str]:
    """The gated head must be one of the model's, where the planner hands over the training's config as `model`."""
    head, heads = config.gate.head, getattr(getattr(inputs.get("model"), "model", None), "heads", None)
    if not heads or head in heads:
        return []
    return [f"gate.head {head!r} is not a head of the model; its heads are: {', '.join(heads)}{closest(head, list(heads))}"]


def promote(config: PromoteConfig, inputs: Inputs, output_dir: Path, context: TaskContext) -> Summary:
    """Decide, log, project, and write `decision.json`. `summary["decision"]` is promoted or refused.

    Raises StaleReport when another version came into force since the report was planned, InputError when version and report do not belong
    together or the head is not in the report, TrackingError when the decision stands but the alias could not follow.
    """
    from tasks.tracking.aliases import follow

    version = _document(inputs["version"], "version.json", ("name", "version", "model_key"))
    report = _document(inputs["report"], "report.json", ("model", "baseline"))
    if report["model"].get("key") != version["model_key"]:
        raise InputError(
            f"the report {inputs['report'].step!r} is about another model than version {version['version']} of {version['name']!r}; give "
            "`report:` the step that this version was registered with"
        )
    entry = _decided(config, version, report, inputs["report"], context)
    barred = barring(read_log(context.store, entry.name), entry.version, entry.model_key) if entry.action == "promoted" else None
    reasons = list(entry.reasons) + ([_barred_sentence(entry.version, barred)] if barred else [])
    summary: Summary = {
        "decision": "refused" if barred else entry.action,
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
        context.sink.note(f"{summary['decision']}: {reason}")
    if entry.action == "promoted":
        follow(context.store, context.tracking, entry, "run the same command again")
    return summary


def _decided(
    config: PromoteConfig, version: Mapping[str, Json], report: Mapping[str, Json], artifact: Artifact, context: TaskContext
) -> Entry:
    """This step's entry: found, or decided on the log as it is and appended if nobody was faster."""
    from tasks.gate import judge

    verdict = None
    entries = read_log(context.store, version["name"])
    while (entry := of_step(entries, context.key)) is None:
        if verdict is None:
            verdict = judge(artifact.path / "predictions.parquet", config.gate, report["baseline"] is not None, context.seed)
        _check_fresh(current(entries, config.alias), version, report, context.step)
        objections = list(verdict.objections)
        if barred := barring(entries, version["version"], version["model_key"]):
            objections.insert(0, _barred_sentence(version["version"], barred))
        decision = Decision(
            action="refused" if objections else "promoted",
            alias=config.alias,
            version=version["version"],
            model_key=version["model_key"],
            report_key=artifact.key,
            step_key=context.key,
            baseline=Reference(report["baseline"]["version"], report["baseline"]["key"]) if report["baseline"] else None,
            reasons=tuple(objections),
            numbers=verdict.numbers,
        )
        if (entry := append_after(context.store, version["name"], entries, decision)) is not None:
            return entry
        entries = read_log(context.store, version["name"], entries)
    return entry


def _check_fresh(champion: Entry | None, version: Mapping[str, Json], report: Mapping[str, Json], step: str) -> None:
    """Only the version in force counts as a baseline; a model that is in force itself need not beat anything."""
    if champion is None or champion.model_key == version["model_key"]:
        return
    baseline = report["baseline"]
    if baseline is None or baseline["key"] != champion.model_key:
        compared = f"compares with {baseline['reference']}" if baseline else "compares with nothing"
        raise StaleReport(
            f"version {version['version']} of {version['name']!r} is not decided on: its report {compared}, but version {champion.version} "
            f"is {champion.alias} since entry {champion.n} of the log ({champion.time}). `medley run RECIPE --until {step}` evaluates "
            f'against it, where the evaluate step has `baseline: "models:/{version["name"]}@{champion.alias}"`'
        )


def _barred_sentence(version: str, barred: Entry) -> str:
    why = f" ({'; '.join(barred.reasons)})" if barred.reasons else ""
    return f"version {version} is barred: entry {barred.n} of the log rolled its model back{why}; train another model"


def _document(artifact: Artifact, file_name: str, fields: tuple[str, ...]) -> dict[str, Json]:
    path = artifact.path / file_name
    try:
        document: dict[str, Json] = json.loads(path.read_bytes())
    except (OSError, ValueError) as error:
        raise CorruptArtifact(f"{path} cannot be read ({error}); make the artifact of step {artifact.step!r} again") from error
    if missing := [field for field in fields if field not in document]:
        raise CorruptArtifact(f"{path} lacks {', '.join(missing)}; make the artifact of step {artifact.step!r} again")
    return document
