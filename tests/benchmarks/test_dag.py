"""The benchmark of what runs again, small: it finds a planner that runs too much or too little."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from benchmarks import dag_tasks
from benchmarks.dag import World, _run
from pipeline import plan as plans


@pytest.fixture(autouse=True)
def _toys() -> Iterator[None]:
    with dag_tasks.in_the_catalog():
        yield


def test_exactly_what_depends_on_a_change_runs_again(tmp_path: Path) -> None:
    world = World(tmp_path / "world")
    assert world.changes(8) == (1.0, 1.0, 1.0)
    assert world.flips(5) == 1.0


@pytest.mark.parametrize(("blind_to", "found"), [("inputs", "recall"), ("identity", "recall"), ("nothing", "precision")])
def test_a_planner_that_is_blind_to_something_is_found(tmp_path: Path, blind_to: str, found: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Keys without a part of what they stand for, or with something that changes by itself."""
    real, count = plans._keyed, iter(range(10**6))

    def keyed(parts: dict[str, Any], store: Any, *, ingests: bool) -> tuple[str, dict[str, Any]]:
        blinded = {"inputs": {"inputs": sorted(parts["inputs"])}, "identity": {"identity": {}}, "nothing": {"now": next(count)}}
        return real(parts | blinded[blind_to], store, ingests=ingests)[0], parts

    monkeypatch.setattr(plans, "_keyed", keyed)
    precision, recall, right = World(tmp_path / "world").changes(2 if blind_to == "nothing" else 12)
    assert (recall if found == "recall" else precision) < 1
    assert (right < 1) == (found == "recall")


def test_a_source_that_changes_while_it_is_read_is_not_kept(tmp_path: Path) -> None:
    (tmp_path / "data").write_bytes(b"x" * 64)
    (tmp_path / "recipe.yaml").write_text("name: race\nstore: store\nsteps:\n  s: {task: toy_source, path: data, touch: true}\n")
    result = _run(tmp_path)
    assert result.steps["s"].status == "failed"
    assert "changed while it ran" in result.steps["s"].message
    assert replace(result.steps["s"], artifact="") == result.steps["s"], "nothing was published"
