"""Ctrl-C, SIGTERM and SIGKILL while the real command runs; the same command then goes on and ends with the same shards."""

from __future__ import annotations

import contextlib
import json
import os
import re
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
PHASES = (
    ("ray", signal.SIGTERM),
    ("corpus", signal.SIGINT),
    ("shards", signal.SIGINT),
    ("model", signal.SIGINT),
    ("report", signal.SIGINT),
    ("version", signal.SIGTERM),
    ("champion", signal.SIGINT),
)
"""While Ray starts, and in each step. SIGINT goes to the whole group, as from a terminal; SIGTERM to the command alone, as from `kill`."""
SMALL = ("--limit", "300", "--set", "steps.model.epochs=2", "--set", "steps.shards.sizes={min_records: 8, max_records: 16}")


def start(folder: Path, *words: Any) -> subprocess.Popen[str]:
    return medley(folder, "run", RECIPE, "--store", folder / "store", *SMALL, *words)


def medley(folder: Path, *words: Any) -> subprocess.Popen[str]:
    """The command in a process group of its own, as a shell starts it."""
    command = [sys.executable, "-m", "pipeline", *map(str, words)]
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    return subprocess.Popen(
        command, cwd=folder, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True
    )


def wait_for(process: subprocess.Popen[str], store: Path, phase: str, runs_before: int) -> None:
    """Return once Ray begins to start, or a step of the new run has started."""
    until = time.monotonic() + 180
    while time.monotonic() < until and process.poll() is None:
        known = journal.runs(store)
        if len(known) > runs_before:
            story = journal.events(store / "runs" / known[-1])
            if any(event["event"] == "step_started" and event["step"] == phase for event in story):
                return
            if phase == "ray" and "gcs_server" in commands_of(process.pid):
                return
            assert not any(event["event"] == "run_finished" for event in story)
        time.sleep(0.02)
    raise AssertionError(f"{phase} never started: {process.stderr.read() if process.stderr else ''}")


def commands_of(group: int) -> list[str]:
    """What the processes of a group are called."""
    found = []
    for stat in Path("/proc").glob("[0-9]*/stat"):
        with contextlib.suppress(OSError):
            command, _, rest = stat.read_text().partition("(")[2].rpartition(")")
            if rest.split()[:1] != ["Z"] and rest.split()[2] == str(group):
                found.append(command)
    return found


def interrupt(process: subprocess.Popen[str], number: signal.Signals) -> str:
    """Send the signal as a terminal or `kill` does, and wait for the end; gives what was said, and nothing is left behind."""
    if number == signal.SIGINT:
        os.killpg(process.pid, number)
    else:
        process.send_signal(number)
    _, err = process.communicate(timeout=120)
    assert "Traceback" not in err, err
    until = time.monotonic() + 30
    while left := commands_of(process.pid):
        assert time.monotonic() < until, left
        time.sleep(0.1)
    return err


@pytest.fixture(scope="module")
def often_stopped(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """The `--json` document of a run that was stopped in each of its phases and gone on with."""
    folder = tmp_path_factory.mktemp("stopped")
    store = folder / "store"
    finished: set[str] = set()
    for phase, number in PHASES:
        before = len(journal.runs(store))
        process = start(folder)
        wait_for(process, store, phase, before)
        err = interrupt(process, number)
        state = journal.state(journal.find(store, None))
        if phase == "champion" and process.returncode in (0, 3):  # a last step that is past stopping ends the run
            assert state.status in ("done", "refused")
            break
        assert process.returncode == 130, err
        assert "to go on from there: " in err
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


def finished_units(store: Path) -> list[Path]:
    """Units whose rows are in the pool, which come after their tar."""
    return [path for path in (store / "pool").rglob("*.parquet") if "members" not in path.parts]


def test_a_killed_run_goes_on_with_another_number_of_workers_and_makes_the_same_shards(
    often_stopped: dict[str, Any], tmp_path: Path
) -> None:
    store = tmp_path / "store"
    process = start(tmp_path, "--until", "shards")
    wait_for(process, store, "shards", 0)
    until = time.monotonic() + 120
    while not finished_units(store) and time.monotonic() < until:
        time.sleep(0.005)
    os.killpg(process.pid, signal.SIGKILL)
    process.communicate()
    finished = len(finished_units(store))
    assert journal.state(journal.find(store, None)).status == "killed"
    process = start(tmp_path, "--until", "shards", "--json", "--workers", 1)
    out, err = process.communicate(timeout=240)
    assert process.returncode == 0, err
    document = json.loads(out)
    assert shards_of(document) == shards_of(often_stopped)
    units = document["steps"]["shards"]["summary"]["units"]
    assert 0 < finished < units["reused"] + units["built"], "it was not killed half-way"
    assert units["reused"] >= finished
    ledger = document["steps"]["shards"]["summary"]["ledger"]
    assert ledger["in"] == sum(number for name, number in ledger.items() if name != "in")


PLANNING = '''
import time
from tasks.registry import Config as Base


class Slow:
    """Says that it is asked, and never answers."""

    class Config(Base):
        format: str

    def __init__(self, config, base_dir):
        self.mark = base_dir / "planning"

    def snapshot(self):
        self.mark.touch()
        time.sleep(600)
'''


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
@pytest.mark.parametrize("verb", ["plan", "run"])
def test_a_signal_while_planning_changes_nothing_and_says_how_to_go_on(tmp_path: Path, verb: str, number: signal.Signals) -> None:
    (tmp_path / "slow.py").write_text(PLANNING)
    (tmp_path / "recipe.yaml").write_text("name: slow\nstore: store\nsteps:\n  corpus: {task: ingest, source: {format: 'slow:Slow'}}\n")
    process = medley(tmp_path, verb, "recipe.yaml")
    until = time.monotonic() + 60
    while not (tmp_path / "planning").exists() and time.monotonic() < until and process.poll() is None:
        time.sleep(0.02)
    err = interrupt(process, number)
    assert process.returncode == 130, err
    assert "stopped; what is finished is kept, and nothing else was changed" in err
    assert re.search(rf"^to go on from there: \S*medley {verb} recipe\.yaml$", err, re.MULTILINE)
    assert not (tmp_path / "store").exists()


EARLY = """
import importlib.abc, os, sys


class Early(importlib.abc.MetaPathFinder):
    def find_spec(self, name, path=None, target=None):
        if name == sys.argv[1]:
            os.kill(os.getpid(), int(sys.argv[2]))


sys.meta_path.insert(0, Early())
from pipeline.__main__ import main
sys.exit(main(["plan", "recipe.yaml"]))
"""


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
@pytest.mark.parametrize("module", ["pipeline.code", "pipeline.cli.parser", "pipeline.recipe"])
def test_a_signal_while_the_command_is_still_importing_prints_no_traceback(tmp_path: Path, module: str, number: signal.Signals) -> None:
    command = [sys.executable, "-P", "-c", EARLY, module, str(int(number))]
    done = subprocess.run(command, cwd=tmp_path, env=os.environ | {"PYTHONPATH": str(ROOT)}, capture_output=True, text=True, check=False)
    assert done.returncode == 130, done.stderr
    assert done.stderr.startswith("\nstopped; ")
    assert "Traceback" not in done.stderr
