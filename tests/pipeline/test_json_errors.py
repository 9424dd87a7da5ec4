"""With `--json`, a verb that ends with an error before it has anything to show still prints one document."""

from __future__ import annotations

import json
import socket
from pathlib import Path
from typing import Any

import pytest

from pipeline.cli import planning
from tests.pipeline.test_cli import call
from tests.pipeline.toys import RECIPE, toys, written

__all__ = ["toys"]

pytestmark = pytest.mark.usefixtures("toys")


def told(capsys: pytest.CaptureFixture[str], *argv: Any) -> tuple[int, list[str]]:
    """The exit code and the messages: the same in the document, at the end of the process and on stderr."""
    code, out, err = call(capsys, *argv, "--json")
    error = json.loads(out)["error"]
    assert set(error) == {"messages", "exit_code"}
    assert error["exit_code"] == code
    assert all(message in err for message in error["messages"])
    assert call(capsys, *argv)[:2] == (code, "")
    return code, error["messages"]


@pytest.mark.parametrize("verb", ["check", "plan", "run", "graph"])
def test_every_mistake_of_a_recipe_is_a_message(tmp_path: Path, capsys: pytest.CaptureFixture[str], verb: str) -> None:
    code, messages = told(capsys, verb, written(tmp_path, RECIPE.replace("plus", "puls").replace("shards: c", "shards: cc")))
    assert code == 2
    assert [message.partition(": ")[2].partition(":")[0] for message in messages] == ["steps.b.puls", "steps.d.shards"]


@pytest.mark.parametrize(
    "argv",
    [
        ("status", "--store", "none"),
        ("logs", "last", "--store", "none"),
        ("report", "--store", "none"),
        ("gc", "--store", "none"),
        ("shards", "inspect", "none"),
        ("shards", "verify", "none"),
        ("rollback", "digits", "--reason", "x"),
        ("init", "none"),
        ("cluster", "status", "none.yaml"),
        ("jobs", "--address", "nowhere"),
        ("check", "none.yaml"),
        ("check",),
        ("plan", "recipe.yaml", "--limit", "many"),
        ("nothing",),
    ],
    ids=" ".join,
)
def test_a_verb_that_is_asked_for_what_is_not_there_says_so_in_a_document(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, argv: tuple[str, ...]
) -> None:
    monkeypatch.chdir(tmp_path)
    code, messages = told(capsys, *argv)
    assert code == 2
    assert len(messages) == 1


def test_a_store_that_cannot_be_written_is_a_message(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code, messages = told(capsys, "run", written(tmp_path), "--store", "/proc/medley")
    assert code == 1
    assert "the store /proc/medley cannot be written" in messages[0]


def test_an_mlflow_server_that_is_down_is_a_message(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "a.txt").write_text("a")
    text = f"""\
name: down
store: store
tracking: http://127.0.0.1:{port}
steps:
  corpus: {{task: ingest, source: {{format: folder, path: data}}}}
  shards: {{task: shard, corpus: corpus, prepare: {{text: {{}}}}}}
  model: {{task: train, shards: shards, model: {{encoders: {{text: gru}}, heads: {{label: classification}}}}}}
"""
    code, messages = told(capsys, "run", written(tmp_path, text))
    assert code == 1
    assert f"127.0.0.1:{port}" in messages[0]


def test_a_verb_that_is_stopped_says_so_in_a_document(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def stopped(_: Any) -> Any:
        raise KeyboardInterrupt

    monkeypatch.setattr(planning, "load_plan", stopped)
    code, messages = told(capsys, "plan", written(tmp_path))
    assert code == 130
    assert messages[0].startswith("stopped; ")
