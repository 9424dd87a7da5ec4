"""Submitting to a real head that asks for a token: a job runs, is joined, detached from, stopped, tried again and found finished."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from pipeline.__main__ import main
from tests import patient_source
from tests.cluster.nodes import cluster, free_port

pytestmark = pytest.mark.ray

TOKEN = "a-token-that-is-long-enough-for-ray-to-take-it"
RECIPE = """\
name: toy
store: store
steps:
  corpus: {task: ingest, source: {format: 'patient_source:Patient'}}
"""


@pytest.fixture(scope="module")
def head(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Address of a head with token authentication; no `python` is on the PATH of its jobs."""
    token = tmp_path_factory.mktemp("token") / "token"
    token.write_text(TOKEN)
    port = free_port()
    words = ["--include-dashboard=true", "--dashboard-host=127.0.0.1", f"--dashboard-port={port}"]
    words += [f"--dashboard-agent-listen-port={free_port()}", f"--ray-client-server-port={free_port()}"]
    around = {"RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN_PATH": str(token), "PATH": "/usr/bin:/bin", "RAY_USAGE_STATS_ENABLED": "0"}
    with cluster() as made:
        made.start(2, *words, environment=around)
        yield f"http://127.0.0.1:{port}"


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A recipe with a source of its own, and a token to reach the head with."""
    (tmp_path / "recipe.yaml").write_text(RECIPE)
    shutil.copy(patient_source.__file__, tmp_path / "patient_source.py")
    monkeypatch.setenv("RAY_AUTH_TOKEN", TOKEN)
    monkeypatch.setenv("TOY_VARIABLE", "travelled")
    monkeypatch.delitem(sys.modules, "patient_source", raising=False)
    monkeypatch.setattr(sys, "path", list(sys.path))
    return tmp_path


def call(capsys: pytest.CaptureFixture[str], *words: Any) -> tuple[int, Any, str]:
    code = main([*map(str, words), "--json"])
    captured = capsys.readouterr()
    return code, json.loads(captured.out) if captured.out else None, captured.err


def submit(capsys: pytest.CaptureFixture[str], folder: Path, head: str, *words: Any) -> tuple[int, Any, str]:
    return call(capsys, "submit", folder / "recipe.yaml", "--address", head, "--env", "TOY_VARIABLE", *words)


def wait_for_log(folder: Path) -> None:
    """Until the job's run has begun its step."""
    until = time.monotonic() + 60
    while not list(folder.glob("store/runs/*/steps/corpus.log")):
        assert time.monotonic() < until, "the job's run did not begin"
        time.sleep(0.1)


def test_a_job_is_joined_detached_from_stopped_tried_again_and_then_found_finished(
    folder: Path, head: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    code, first, said = submit(capsys, folder, head, "--detach")
    assert (code, first["attempt"], first["joined"]) == (0, 1, False)
    assert first["package"]["yours"]["files"] == 1
    assert f"medley logs {first['job']} --address {head}" in said
    assert "travelled" not in said
    wait_for_log(folder)

    command = [Path(sys.executable).with_name("medley"), "submit", folder / "recipe.yaml", "--address", head, "--env", "TOY_VARIABLE"]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True, env={**os.environ, "RAY_ADDRESS": "http://127.0.0.1:9"}) as joined:
        assert joined.stderr is not None
        told = []
        for line in joined.stderr:
            told.append(line)
            if line.startswith("run "):
                joined.send_signal(signal.SIGINT)
        assert joined.wait(30) == 0, "detaching is no failure"
    assert f"job {first['job']} joined, it is running already\n" in told
    assert "detached" in "".join(told)

    code, stopped, _ = call(capsys, "stop", first["job"][:-4], "--address", head)
    assert (code, stopped["status"], stopped["stopped"]) == (0, "STOPPED", True)
    (journal,) = folder.glob("store/runs/*/journal.jsonl")
    assert json.loads(journal.read_text().splitlines()[-1])["status"] == "stopped", "the run ended in order"
    code, log, _ = call(capsys, "logs", first["job"], "--address", head)
    assert any("stopped" in line for line in log["lines"])
    assert main(["logs", first["job"], "--address", head]) == 130
    assert "stopped from outside" in capsys.readouterr().err

    (folder / "go").touch()
    (folder / "tasks.py").write_text("raise SystemExit('a stray file was imported')\n")
    monkeypatch.chdir(folder)
    code, second, said = submit(capsys, folder, head)
    assert (code, second["status"], second["attempt"], second["exit_code"]) == (0, "SUCCEEDED", 2, 0)
    assert "✓ corpus" in said
    (corpus,) = folder.glob("store/artifacts/*/*/records.parquet")
    assert b"travelled True" in corpus.read_bytes(), "the packed module ran, with the variable"

    code, answer, said = submit(capsys, folder, head)
    assert (code, answer["job"], answer["status"]) == (0, None, "CACHED")
    assert "nothing was submitted" in said
    code, listed, _ = call(capsys, "jobs", "--address", head)
    assert [(job["job"], job["status"]) for job in listed] == [(first["job"], "STOPPED"), (second["job"], "SUCCEEDED")]


def test_a_job_that_fails_ends_as_its_run_ends_and_prints_how_to_go_on(folder: Path, head: str, capsys: pytest.CaptureFixture[str]) -> None:
    (folder / "recipe.yaml").write_text(RECIPE.replace("'patient_source:Patient'", "folder, path: nowhere"))
    code, ended, said = submit(capsys, folder, head)
    assert (code, ended["status"], ended["exit_code"]) == (2, "FAILED", 2)
    assert f"{folder / 'nowhere'}" in said
    assert "(exit code 2)" in said


def test_a_wrong_token_is_refused_and_told_without_a_word_of_it(
    folder: Path, head: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RAY_AUTH_TOKEN", "another-token-that-no-head-would-take")
    code, _, said = submit(capsys, folder, head)
    assert code == 2
    assert "does not accept the token (HTTP 403)" in said
    assert "another-token" not in said


def test_a_job_that_is_not_there_is_told_with_those_that_are(folder: Path, head: str, capsys: pytest.CaptureFixture[str]) -> None:
    code, _, said = call(capsys, "stop", "medley-toys-000000000000-1", "--address", head)
    assert code == 2
    assert f"there is no job 'medley-toys-000000000000-1' at {head}" in said
