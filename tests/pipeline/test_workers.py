"""`--workers` reaches the steps and stays out of every key."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import Any

import pytest

from pipeline import catalog
from pipeline.__main__ import main
from pipeline.cli import running
from pipeline.executors import in_process
from tasks.contracts import Inputs, Summary, TaskContext
from tests.pipeline import toys as toy
from tests.pipeline.test_runner import planned
from tests.pipeline.toys import toys, written

__all__ = ["toys"]


def add(config: toy.AddConfig, inputs: Inputs, output_dir: Path, context: TaskContext) -> Summary:
    return {**toy.add(config, inputs, output_dir, context), "data_tasks": context.resources.data_tasks}


@pytest.mark.usefixtures("toys")
def test_the_number_of_workers_reaches_the_steps_and_enters_no_key(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(catalog.CATALOG, "add", dataclasses.replace(catalog.CATALOG["add"], run=f"{__name__}:add"))
    monkeypatch.setattr(running, "_on_ray", lambda _address: in_process())
    without = {name: step.key for name, step in planned(tmp_path).steps.items()}

    def run(*words: str) -> dict[str, Any]:
        assert main(["run", str(written(tmp_path)), "--json", *words]) == 0
        steps: dict[str, Any] = json.loads(capsys.readouterr().out)["steps"]
        assert {name: step["key"] for name, step in steps.items()} == without
        return steps

    ran = run("--workers", "3")
    assert {step["status"] for step in ran.values()} == {"ran"}
    assert ran["b"]["summary"]["data_tasks"] == 3
    for words in ((), ("--workers", "1")):
        assert {step["status"] for step in run(*words).values()} == {"cached"}


def test_no_worker_at_all_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["run", "recipe.yaml", "--workers", "0"]) == 2
    assert "--workers 0: needs a number of data tasks, 1 or more" in capsys.readouterr().err
