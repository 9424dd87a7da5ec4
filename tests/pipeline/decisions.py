"""Toy steps before a real promote step: a report about a made-up model, and its version in a real MLflow."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pydantic import Field

from pipeline import catalog
from pipeline.catalog import Input, Task
from tasks.contracts import Artifact, Inputs, Lineage, Summary, TaskContext
from tasks.promotions import current, read_log
from tasks.registry import Config
from tasks.tracking.registry import register_version
from tasks.tracking.runs import ensure_curves
from tests.tasks.tracking.toys import model_folder, report_folder

SAMPLES = 1000
RECIPE = """
name: toys
store: store
steps:
  report:   {task: toy_report, model: 1, right: 900}
  version:  {task: toy_version, report: report}
  champion: {task: promote, version: version, report: report, gate: {head: digit, test: mcnemar}}
"""


class ReportConfig(Config):
    model: int = Field(ge=1, le=9)
    """Which model it is about."""
    right: int = Field(ge=0, le=SAMPLES)
    """Samples that it gets right."""


class VersionConfig(Config):
    name: str = "toys"
    """Of the registered model."""


def report(config: ReportConfig, inputs: Inputs, output_dir: Path, context: TaskContext) -> Summary:
    """Beside what is champion at the moment, which gets 900 right."""
    champion = current(read_log(context.store, "toys"), "champion")
    model = Artifact("model", str(config.model) * 64, output_dir, step="model")
    rival = (champion.version, champion.model_key, np.arange(SAMPLES) < 900) if champion and champion.model_key != model.key else None
    made = report_folder(output_dir / "made", context.key, model, np.arange(SAMPLES) < config.right, rival)
    for file in made.path.iterdir():
        file.rename(output_dir / file.name)
    made.path.rmdir()
    return {"heads": {"digit": {"accuracy": config.right / SAMPLES}}}


def version(config: VersionConfig, inputs: Inputs, output_dir: Path, context: TaskContext) -> Summary:
    """Registered for good."""
    model_key = json.loads((inputs["report"].path / "report.json").read_bytes())["model"]["key"]
    shutil.rmtree(context.work_dir / "model", ignore_errors=True)  # of a run that failed
    model = model_folder(context.work_dir / "model", model_key)
    scratch = context.work_dir / "scratch"
    scratch.mkdir(exist_ok=True)
    made = register_version(
        context.tracking,
        config.name,
        model.path,
        step_key=context.key,
        run_id=ensure_curves(context.tracking, context.lineage, model_key, model.path / "metrics.jsonl"),
        tags={},
        lineage=Lineage(),
        scratch=scratch,
    )
    shutil.rmtree(model.path)
    facts = {"format": 1, "name": made.name, "version": made.version, "model_key": model_key, "report_key": inputs["report"].key}
    document = json.dumps(facts).encode()
    (output_dir / "version.json").write_bytes(document)
    context.store.create(f"versions/{made.name}/{made.version}.json", document)
    return facts


@pytest.fixture
def decisions(monkeypatch: pytest.MonkeyPatch) -> None:
    """Adds the two to the catalog."""
    added: dict[str, Any] = {
        "toy_report": Task(f"{__name__}:ReportConfig", f"{__name__}:report", "report", version=1),
        "toy_version": Task(
            f"{__name__}:VersionConfig", f"{__name__}:version", "version", version=1, inputs={"report": Input("report")}, tracked=True
        ),
    }
    for name, task in added.items():
        monkeypatch.setitem(catalog.CATALOG, name, task)
