"""What `medley plan` says a step will handle."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from pipeline import Options, build_graph, in_process, load_recipe, make_plan, run_plan
from pipeline.store import LocalStore
from tests.pipeline.test_cli import call

RECIPE = """\
name: real
store: store
steps:
  corpus: {task: ingest, source: {format: folder, path: data, splits: true}}
  shards: {task: shard, corpus: corpus, prepare: {text: {}}}
  model: {task: train, shards: shards, model: {encoders: {text: gru}, heads: {label: classification}}, matrix: {seed: [0, 1]}}
  best: {task: select, from: model, metric: val.label.loss, mode: min}
  report: {task: evaluate, model: best, shards: shards}
  tuned: {task: evaluate, model: best, shards: shards, split: val}
  version: {task: register, model: best, report: report, name: x}
  champion: {task: promote, version: version, report: report, alias: champion, gate: {head: label}}
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Six records for training, three for test, one for validation, of ten bytes each."""
    for split, number in (("train", 6), ("test", 3), ("val", 1)):
        for one in range(number):
            path = tmp_path / "data" / split / "ab"[one % 2] / f"{split}{one}.txt"
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(f"{split:<5}{one:>5}")
    (tmp_path / "recipe.yaml").write_text(RECIPE)
    return tmp_path


def estimates(folder: Path, capsys: pytest.CaptureFixture[str]) -> dict[str, dict[str, object]]:
    code, out, _ = call(capsys, "plan", folder / "recipe.yaml", "--json")
    assert code == 0
    return {name: step["estimate"] for name, step in json.loads(out)["steps"].items()}


def test_no_step_is_said_to_handle_what_it_does_not(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    found = estimates(folder, capsys)
    assert (found.pop("corpus"), found.pop("shards")) == ({"records": 10, "bytes": 100}, {"records": 10, "bytes": 100})
    assert all(estimate == {} for estimate in found.values())
    _, out, _ = call(capsys, "plan", folder / "recipe.yaml")
    assert [line.split()[0] for line in out.splitlines() if "10 records, 100 B" in line] == ["corpus", "shards"]


def test_a_corpus_that_is_there_tells_how_much_each_split_has(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    recipe = load_recipe(folder / "recipe.yaml")
    plan = make_plan(build_graph(recipe), LocalStore.open(recipe.store), until="corpus")
    assert run_plan(plan, in_process, Options()).status == "done"
    found = estimates(folder, capsys)
    assert found["shards"] == {"records": 10, "bytes": 100, "splits": {"train": 6, "val": 1, "test": 3}}
    assert found["model[seed=0]"] == {"records": 7, "bytes": 70}
    assert found["report"] == {"records": 3, "bytes": 30}
    assert found["tuned"] == {"records": 1, "bytes": 10}
    assert [found[name] for name in ("corpus", "best", "version", "champion")] == [{}, {}, {}, {}]
    _, out, _ = call(capsys, "plan", folder / "recipe.yaml")
    assert [line.split("  ")[0] for line in out.splitlines() if "3 records, 30 B" in line] == ["report"]
