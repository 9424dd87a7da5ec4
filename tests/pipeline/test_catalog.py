"""What every task of the catalog must be, found by itself for a new one."""

from __future__ import annotations

import inspect
import subprocess
import sys
from pathlib import Path

import pytest

from pipeline.catalog import CATALOG
from tasks.registry import Config, load
from tests.conftest import ROOT

each = pytest.mark.parametrize("name", list(CATALOG))

HOOKS = {
    "identity": ["config", "base_dir"],
    "estimate": ["config", "base_dir", "inputs"],
    "lint": ["config", "inputs"],
    "changed": ["config", "base_dir", "corpus", "store"],
}
"""What planning may ask a task's module → its parameters."""


def parameters(function: object) -> list[str]:
    assert inspect.isfunction(function)
    return list(inspect.signature(function).parameters)


@each
def test_the_config_is_frozen_and_refuses_unknown_keys(name: str) -> None:
    config = CATALOG[name].config_class()
    assert issubclass(config, Config)
    assert config.model_config["frozen"]
    assert config.model_config["extra"] == "forbid"


@each
def test_the_target_is_a_task_in_the_module_of_its_config(name: str) -> None:
    run = load(CATALOG[name].run)
    assert parameters(run) == ["config", "inputs", "output_dir", "context"]
    assert inspect.signature(run).return_annotation == "Summary"
    assert run.__module__ == CATALOG[name].module().__name__
    assert run.__doc__


@each
def test_inputs_are_things_that_some_task_makes(name: str) -> None:
    made = {task.output for task in CATALOG.values()}
    task = CATALOG[name]
    for key, edge in task.inputs.items():
        assert edge.kind in made or (edge.family and not edge.kind), f"nothing makes {edge.kind!r}, which {name} takes as {key!r}"
    assert not set(task.inputs) & set(task.config_class().model_fields), "an edge and a setting share a name in the recipe"
    assert not task.passes or task.passes in task.inputs


@each
def test_the_version_counts_from_one(name: str) -> None:
    assert type(CATALOG[name].version) is int
    assert CATALOG[name].version >= 1


@each
def test_hooks_take_what_planning_gives_them(name: str) -> None:
    found = {hook: CATALOG[name].hook(hook) for hook in HOOKS}
    assert {hook: parameters(function) for hook, function in found.items() if function} == {
        hook: wanted for hook, wanted in HOOKS.items() if found[hook]
    }


LIGHT = """
import sys
from pipeline.catalog import CATALOG
for name, task in CATALOG.items():
    task.config_class()
    for heavy in {"torch", "ray", "mlflow", "numpy", "pyarrow"} & set(sys.modules):
        sys.exit(f"the config of {name} imports {heavy}")
"""


def test_no_config_needs_a_heavy_library(tmp_path: Path) -> None:
    command = [sys.executable, "-c", LIGHT]
    done = subprocess.run(command, cwd=tmp_path, env={"PYTHONPATH": str(ROOT)}, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
