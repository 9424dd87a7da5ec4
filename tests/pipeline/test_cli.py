"""The verbs as a user types them, without Ray."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from pipeline import runner
from pipeline.__main__ import main
from pipeline.cli import output
from pipeline.code import ROOT
from pipeline.executors import in_process
from tests.pipeline.test_runner import planned
from tests.pipeline.toys import RECIPE, toys, written

__all__ = ["toys"]

pytestmark = pytest.mark.usefixtures("toys")


def call(capsys: pytest.CaptureFixture[str], *argv: Any) -> tuple[int, str, str]:
    code = main([str(word) for word in argv])
    captured = capsys.readouterr()
    return code, captured.out, captured.err


def test_check_says_that_a_recipe_is_sound(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code, out, _ = call(capsys, "check", written(tmp_path))
    assert code == 0
    assert "sound, 4 steps: a → b → c → d" in out


def test_all_mistakes_are_printed_and_the_exit_code_is_2(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code, out, err = call(capsys, "check", written(tmp_path, RECIPE.replace("plus", "puls").replace("value", "valeu")))
    assert (code, out) == (2, "")
    assert err.count("error: ") == 2
    assert "2 problems; nothing was run" in err


def test_plan_makes_nothing(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code, out, _ = call(capsys, "plan", written(tmp_path))
    assert code == 0
    assert "4 of 4 steps would run" in out
    assert not (tmp_path / "store").exists()
    code, out, _ = call(capsys, "plan", written(tmp_path), "--json", "--until", "b")
    assert [step["status"] for step in json.loads(out)["steps"].values()] == ["run", "run"]


def test_a_cached_run_is_reported_without_starting_anything(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    runner.run(planned(tmp_path), in_process, runner.Options())
    code, out, err = call(capsys, "run", written(tmp_path), "--json")
    assert code == 0
    document = json.loads(out)
    assert {name: step["status"] for name, step in document["steps"].items()} == dict.fromkeys("abcd", "cached")
    assert set(document["steps"]["a"]) == {"status", "key", "artifact", "seconds", "summary"}
    assert Path(document["steps"]["d"]["artifact"], "value.json").read_text() == "7"
    assert err == ""


def test_status_and_logs_tell_a_run(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    result = runner.run(planned(tmp_path, RECIPE, "steps.c.fail=bad luck"), in_process, runner.Options("medley run recipe.yaml"))
    store = ("--store", tmp_path / "store")
    code, out, _ = call(capsys, "status", *store)
    assert code == 0
    assert f"run {result.run}: failed" in out
    assert "bad luck" in out
    assert "to go on from there: medley run recipe.yaml" in out
    code, out, _ = call(capsys, "logs", "last", "c", *store)
    assert "ValueError: bad luck" in out
    code, _, err = call(capsys, "logs", result.run, "d", *store)
    assert (code, err) == (2, f"error: step 'd' of run {result.run} said nothing: it was skipped\n")
    code, _, err = call(capsys, "logs", result.run, "cc", *store)
    assert "has no step 'cc'; steps: a, b, c, d; did you mean 'c'?" in err
    code, out, _ = call(capsys, "status", "--all", "--json", *store)
    assert [state["status"] for state in json.loads(out)] == ["failed"]


def test_an_unknown_run_and_an_empty_store_say_what_to_do(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code, _, err = call(capsys, "status", "--store", tmp_path)
    assert code == 2
    assert "has no runs yet; start one with `medley run RECIPE --store" in err


def test_graph_prints_mermaid(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    _, out, _ = call(capsys, "graph", written(tmp_path), "--format", "mermaid")
    assert out.startswith("flowchart LR")


def test_a_read_only_store_is_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code, _, err = call(capsys, "run", written(tmp_path), "--store", "/proc/medley")
    assert code == 1
    assert "the store /proc/medley cannot be written" in err
    assert "point `store:` or --store at a folder that is" in err


def test_workers_must_be_a_positive_number(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code, _, err = call(capsys, "run", written(tmp_path), "--workers", "0")
    assert code == 2
    assert "--workers 0: needs a number of data tasks, 1 or more" in err


def python(folder: Path, *words: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, *words], cwd=folder, env={**os.environ, **environment}, capture_output=True, text=True, check=False
    )


def test_a_tasks_py_in_the_working_folder_is_named_when_it_hides_ours(tmp_path: Path) -> None:
    (tmp_path / "tasks.py").write_text("raise SystemExit('imported the wrong one')\n")
    done = python(tmp_path, "-m", "pipeline", "schema", PYTHONPATH=str(ROOT))
    assert done.returncode == 1
    assert done.stderr.startswith(f"error: {tmp_path / 'tasks.py'} hides Medley's own package 'tasks'")
    assert "rename it" in done.stderr


def test_a_tasks_py_in_the_working_folder_is_harmless_otherwise(tmp_path: Path) -> None:
    (tmp_path / "tasks.py").write_text("raise SystemExit('imported the wrong one')\n")
    path = f"import sys; sys.path.insert(0, {str(ROOT)!r}); sys.path.remove('')"
    start = f"{path}; from pipeline.__main__ import main; sys.exit(main(['--help']))"
    done = python(tmp_path, "-c", start)
    assert done.returncode == 0
    assert "exit codes" in done.stdout


def test_a_cached_run_imports_neither_ray_nor_torch_nor_mlflow(tmp_path: Path) -> None:
    runner.run(planned(tmp_path), in_process, runner.Options())
    script = f"""
import sys
from pipeline import catalog
from pipeline.cli import output
from tests.pipeline.toys import TOYS
catalog.CATALOG.update(TOYS)
from pipeline.__main__ import main
assert main(["run", {str(written(tmp_path))!r}]) == 0
print(sorted({{"ray", "torch", "mlflow", "pyarrow"}} & set(sys.modules)))
"""
    done = python(ROOT, "-c", script)
    assert done.stdout == "[]\n", done.stderr


def test_the_schema_lists_every_task_and_names_every_field(capsys: pytest.CaptureFixture[str]) -> None:
    from pipeline.catalog import CATALOG

    code, out, _ = call(capsys, "schema")
    assert code == 0
    alternatives = json.loads(out)["properties"]["steps"]["additionalProperties"]["oneOf"]
    assert [alternative["title"] for alternative in alternatives] == list(CATALOG)
    toy = next(alternative for alternative in alternatives if alternative["title"] == "add")
    assert toy["properties"]["plus"]["description"] == "What to add."
    assert toy["required"] == ["task", "left"]


def test_commands_are_printed_so_that_they_can_be_typed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    scripts = tmp_path / ".venv" / "bin"
    scripts.mkdir(parents=True)
    (scripts / "medley").touch(mode=0o755)
    monkeypatch.setattr(sys, "executable", str(scripts / "python"))
    monkeypatch.setenv("PATH", "/nowhere")
    monkeypatch.chdir(tmp_path)
    assert output.program("medley") == ".venv/bin/medley"
    assert output.program("mlflow") == "mlflow"
    monkeypatch.setenv("PATH", str(scripts))
    assert output.program("medley") == "medley"
