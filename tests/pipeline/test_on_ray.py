"""Steps as Ray tasks: side by side, tried again when their process dies, with the user's own code beside the recipe."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path

import pytest

from cluster.connect import connected
from cluster.errors import Unfit
from pipeline import journal, runner
from pipeline.code import ROOT
from pipeline.executors import Executor, OnRay
from tests.pipeline.test_runner import planned, statuses

pytestmark = [pytest.mark.ray, pytest.mark.usefixtures("ray_session")]

MORTAL = '''
import os
from pathlib import Path

from tasks.contracts import Locator, SourceRecord
from tasks.registry import Config as Base


class Mortal:
    """Ends its process as often as it is told to, then gives its records."""

    class Config(Base):
        format: str
        deaths: int = 0

    def __init__(self, config, base_dir):
        self.config, self.marks = config, base_dir / "deaths"

    def snapshot(self):
        return {"digest": "always the same"}

    def records(self, output_dir):
        died = len(self.marks.read_text()) if self.marks.exists() else 0
        if died < self.config.deaths:
            self.marks.write_text("x" * (died + 1))
            os._exit(9)
        for number in range(4):
            yield SourceRecord(f"sample{number}", {"text": Locator(inline=b"some text")}, {"label": "ab"[number % 2]})
'''


@contextlib.contextmanager
def on_ray() -> Iterator[Executor]:
    with connected(ROOT) as connection:
        yield OnRay(connection)


def run(folder: Path, *steps: str) -> tuple[runner.RunResult, list[str]]:
    (folder / "mortal.py").write_text(MORTAL)
    plan = planned(folder, "name: ray\nstore: store\nsteps:\n" + "".join(f"  {step}\n" for step in steps))
    result = runner.run(plan, on_ray, runner.Options())
    story = journal.events(plan.store.root / "runs" / result.run)
    return result, [f"{event['event']} {event.get('step', '')}".strip() for event in story]


def test_steps_that_do_not_depend_on_each_other_run_side_by_side(tmp_path: Path) -> None:
    result, story = run(
        tmp_path, "a: {task: ingest, source: {format: 'mortal:Mortal'}}", "b: {task: ingest, source: 'mortal:Mortal', limit: 2}"
    )
    assert statuses(result) == {"a": "ran", "b": "ran"}
    assert story[2:4] == ["step_started a", "step_started b"]
    assert result.steps["a"].summary["records"] == 4


def test_a_step_whose_process_dies_is_tried_again(tmp_path: Path) -> None:
    result, story = run(tmp_path, "a: {task: ingest, source: {format: 'mortal:Mortal', deaths: 2}}")
    assert statuses(result) == {"a": "ran"}
    assert story.count("step_retried a") == 2


def test_a_step_whose_process_dies_every_time_fails_with_the_reason(tmp_path: Path) -> None:
    result, _ = run(tmp_path, "a: {task: ingest, source: {format: 'mortal:Mortal', deaths: 9}, resources: {retries: 1}}")
    assert statuses(result) == {"a": "failed"}
    assert "its process or node died" in result.steps["a"].message


def test_a_step_that_no_node_can_hold_is_refused_before_the_first_one_begins(tmp_path: Path) -> None:
    wanting = "b: {task: ingest, source: 'mortal:Mortal', resources: {gpus: 3}}"
    with pytest.raises(Unfit, match=r"'b' asks for 1 CPUs and 3 GPUs in one process, but the nodes have .*: 2 CPUs and 0 GPUs"):
        run(tmp_path, "a: {task: ingest, source: {format: 'mortal:Mortal'}}", wanting)
    assert not (tmp_path / "store" / "artifacts").exists()
