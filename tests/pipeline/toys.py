"""Small steps that stand in for real ones where the DAG is what is tested."""

from __future__ import annotations

import json
import os
import time
from pathlib import Path
from typing import Any

import pytest
from pydantic import Field

from pipeline import catalog
from pipeline.catalog import Input, Task
from tasks.contracts import Inputs, Summary, TaskContext
from tasks.errors import SourceError, Stopped
from tasks.registry import Config


class MakeConfig(Config):
    value: int = Field(default=1, ge=0)
    """A number to write."""
    path: str = ""
    """A file whose size and time enter the key."""
    limit: int | None = None
    """Cap on records."""


class AddConfig(Config):
    plus: int = 0
    """What to add."""
    fail: str = ""
    """Message to fail with."""
    wait_s: float = 0.0
    """How long to take, looking for the stop signal."""
    die: bool = False
    """End the process without a word."""


def make(config: MakeConfig, inputs: Inputs, output_dir: Path, context: TaskContext) -> Summary:
    (output_dir / "value.json").write_text(json.dumps(config.value))
    return {"records": config.value, "bytes": 4, "splits": {"train": config.value}}


def identity(config: Any, base_dir: Path) -> dict[str, Any]:
    if getattr(config, "path", ""):
        path = base_dir / config.path
        if not path.exists():
            raise SourceError(f"{path} does not exist; give the path of a file")
        return {"size": path.stat().st_size}
    return {}


def add(config: AddConfig, inputs: Inputs, output_dir: Path, context: TaskContext) -> Summary:
    until = time.monotonic() + config.wait_s
    while time.monotonic() < until:
        context.sink.progress(1, 2, "things")
        if context.stop.is_set():
            raise Stopped("asked to stop")
        time.sleep(0.02)
    if config.die:
        os._exit(9)
    if config.fail:
        raise ValueError(config.fail)
    value = sum(json.loads((artifact.path / "value.json").read_text()) for artifact in inputs.values()) + config.plus
    (output_dir / "value.json").write_text(json.dumps(value))
    return {"value": value}


TOYS = {
    "make": Task("tests.pipeline.toys:MakeConfig", "tests.pipeline.toys:make", "corpus", version=1),
    "add": Task(
        "tests.pipeline.toys:AddConfig",
        "tests.pipeline.toys:add",
        "shards",
        version=1,
        inputs={"left": Input("corpus"), "right": Input("shards", optional=True)},
        seeded=True,
    ),
    "judge": Task(
        "tests.pipeline.toys:AddConfig",
        "tests.pipeline.toys:add",
        "report",
        version=1,
        inputs={"shards": Input("shards"), "baseline": Input("model", optional=True, reference=True)},
    ),
}

RECIPE = """\
name: toy
store: store
steps:
  a: {task: make, value: 2}
  b: {task: add, left: a, plus: 3}
  c: {task: add, left: a, right: b}
  d: {task: judge, shards: c}
"""


@pytest.fixture
def toys(monkeypatch: pytest.MonkeyPatch) -> None:
    """The catalog holds the toys beside the real tasks."""
    for name, task in TOYS.items():
        monkeypatch.setitem(catalog.CATALOG, name, task)


def written(folder: Path, text: str = RECIPE) -> Path:
    path = folder / "recipe.yaml"
    path.write_text(text)
    return path
