"""Ctrl-C, SIGTERM and SIGKILL while the real command runs; the same command then goes on and ends with the same shards."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from pipeline import journal
from tests.conftest import ROOT

pytestmark = [pytest.mark.ray, pytest.mark.timeout(600)]

RECIPE = ROOT / "examples" / "digits" / "recipe.yaml"
SMALL = ("--limit", "300", "--set", "steps.model.epochs=2", "--set", "steps.shards.sizes={min_records: 8, max_records: 16}")


def start(folder: Path, *words: Any) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "pipeline", "run", str(RECIPE), "--store", str(folder / "store"), *SMALL, *map(str, words)]
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    return subprocess.Popen(
        command, cwd=folder, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True
    )


def wait_for(process: subprocess.Popen[str], store: Path, step: str, runs_before: int) -> None:
    """Return once a step of the new run has started."""
    until = time.monotonic() + 180
    while time.monotonic() < until and process.poll() is None:
        known = journal.runs(store)
        if len(known) > runs_before:
            story = (store / "runs" / known[-1] / "journal.jsonl").read_text()
            if step == "run" or any(
                event["event"] == "step_started" and event["step"] == step for event in journal.events(store / "runs" / known[-1])
            ):
                return
            assert "run_finished" not in story
        time.sleep(0.02)
    raise AssertionError(f"{step} never started: {process.stderr.read() if process.stderr else ''}")


@pytest.fixture(scope="module")
def often_stopped(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """The `--json` document of a run that was stopped in each of its phases and gone on with."""
    folder = tmp_path_factory.mktemp("stopped")
    store = folder / "store"
    finished: set[str] = set()
    for phase in ("run", "corpus", "shards", "model", "report", "version"):
        before = len(journal.runs(store))
        process = start(folder)
        wait_for(process, store, phase, before)
        process.send_signal(signal.SIGTERM if phase in ("shards", "report") else signal.SIGINT)
        _, err = process.communicate(timeout=120)
        assert "Traceback" not in err, err
        if process.returncode == 0:  # the last moments of a step can be past stopping
            continue
        assert process.returncode == 130, err
        assert "to go on from there: " in err
        state = journal.state(journal.find(store, None))
        assert state.status == "stopped"
        kept = {name for name, step in state.steps.items() if step.status in ("ran", "cached")}
        assert finished <= kept
        assert {name for name in finished if state.steps[name].status == "ran"} == set(), "a finished step ran again"
        finished = kept
    last = start(folder, "--json")
    out, err = last.communicate(timeout=180)
    assert last.returncode in (0, 3), err
    assert not list((store / "tmp").iterdir())
    document: dict[str, Any] = json.loads(out)
    return document


def test_ctrl_c_in_every_phase_loses_nothing_that_was_finished(often_stopped: dict[str, Any]) -> None:
    assert {step["status"] for step in often_stopped["steps"].values()} <= {"ran", "cached", "refused"}


def shards_of(document: dict[str, Any]) -> list[tuple[str, str]]:
    folder = Path(document["steps"]["shards"]["artifact"])
    return [(shard["name"], shard["sha256"]) for shard in json.loads((folder / "shards.json").read_text())["shards"]]


def test_a_killed_run_goes_on_with_another_number_of_workers_and_makes_the_same_shards(
    often_stopped: dict[str, Any], tmp_path: Path
) -> None:
    store = tmp_path / "store"
    process = start(tmp_path, "--until", "shards")
    wait_for(process, store, "shards", 0)
    until = time.monotonic() + 120
    while not list((store / "pool").rglob("*.tar")) and time.monotonic() < until:
        time.sleep(0.005)
    os.killpg(process.pid, signal.SIGKILL)
    process.communicate()
    assert journal.state(journal.find(store, None)).status == "killed"
    process = start(tmp_path, "--until", "shards", "--json", "--workers", 1)
    out, err = process.communicate(timeout=240)
    assert process.returncode == 0, err
    document = json.loads(out)
    assert shards_of(document) == shards_of(often_stopped)
    ledger = document["steps"]["shards"]["summary"]["ledger"]
    assert ledger["in"] == sum(number for name, number in ledger.items() if name != "in")
