"""Processes that decide about one name at once, killed at random moments, leave one unbroken log, and MLflow's alias where it says."""

from __future__ import annotations

import json
import os
import random
import re
import shutil
import signal
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path

import pytest

from pipeline.store import LocalStore
from tasks.contracts import Tracking
from tasks.promotions import Entry, current, read_log, verify_chain
from tasks.standings import aliases
from tasks.tracking.aliases import astray, project
from tasks.tracking.registry import read_aliases, register_version
from tasks.tracking.runs import ensure_curves
from tests.chaos.deciders import NAME, key_of
from tests.tasks.tracking.mlflow_fixtures import QUIET
from tests.tasks.tracking.toys import lineage, model_folder

pytestmark = QUIET
ROOT = Path(__file__).resolve().parents[2]
TOLD = re.compile(r"but version (\d+) is champion since entry (\d+) of the log")


def start(store: LocalStore, writer: int, count: int, tracking: Tracking) -> subprocess.Popen[bytes]:
    command = [sys.executable, "-W", "ignore", "-m", "tests.chaos.deciders", str(store.root), str(writer), str(count), tracking.uri]
    return subprocess.Popen(command, cwd=ROOT, env=os.environ | {"OMP_NUM_THREADS": "1"})


def decide_together(store: LocalStore, writers: int, count: int, kills: int, tracking: Tracking, seed: int) -> None:
    """Start them all, kill one at random `kills` times once it has begun to decide, and start it again; until all are done."""
    rng = random.Random(seed)
    running = {writer: start(store, writer, count, tracking) for writer in range(writers)}
    try:
        while running:
            time.sleep(rng.uniform(0.02, 0.3))
            for writer, process in list(running.items()):
                if process.poll() is not None:
                    assert process.returncode == 0, f"writer {writer} ended with {process.returncode}"
                    del running[writer]
            begun = store.exists(f"promotions/{NAME}/{writers}.json")
            if kills and running and begun:
                kills -= 1
                writer = rng.choice(sorted(running))
                os.kill(running[writer].pid, signal.SIGKILL)
                running[writer].wait()
                running[writer] = start(store, writer, count, tracking)
    finally:
        for process in running.values():
            process.kill()
            process.wait()
    assert not kills, "all were done before every kill"


def check(store: LocalStore, writers: int, count: int) -> list[Entry]:
    entries = read_log(store, NAME)
    verify_chain(entries)
    assert [entry.n for entry in entries] == list(range(1, writers * count + 1))
    made = Counter(entry.step_key for entry in entries)
    assert made == Counter({key_of(writer, number): 1 for writer in range(writers) for number in range(count)}), "each decision once"
    assert {entry.action for entry in entries} == {"promoted", "refused"}
    for entry in entries:
        before = current(entries[: entry.n - 1], "champion")
        if before and before.model_key != entry.model_key:
            assert entry.baseline and entry.baseline.model_key == before.model_key, f"entry {entry.n} was compared with what was in force"
    for file in store.root.glob("told-*.jsonl"):
        for line in file.read_text().splitlines():
            version, n = TOLD.search(json.loads(line)).groups()  # type: ignore[union-attr]
            winner = entries[int(n) - 1]
            assert (winner.action, winner.version) == ("promoted", version), "the loser was told who won"
    assert any(store.root.glob("told-*.jsonl")), "nobody ever lost: this proves nothing"
    return entries


def registered(folder: Path, versions: int) -> Tracking:
    """A real MLflow with so many versions."""
    tracking = Tracking(f"sqlite:///{folder}/mlflow.db", str(folder / "artifacts"))
    for version in range(1, versions + 1):
        model = model_folder(folder / f"model-{version}", f"{version}" * 64)
        facts, scratch = lineage(model.key), folder / f"scratch-{version}"
        scratch.mkdir()
        run_id = ensure_curves(tracking, facts, model.key, model.path / "metrics.jsonl")
        made = register_version(
            tracking, NAME, model.path, step_key=f"step-{version}", run_id=run_id, tags={}, lineage=facts, scratch=scratch
        )
        assert made.version == str(version)
    return tracking


def test_three_processes_killed_now_and_then_leave_one_log(tmp_path: Path) -> None:
    store = LocalStore.open(tmp_path / "store")
    decide_together(store, writers=3, count=6, kills=2, tracking=Tracking(), seed=0)
    check(store, 3, 6)


@pytest.mark.slow
@pytest.mark.timeout(3600)
def test_eight_processes_make_500_decisions_each_while_they_are_killed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store = LocalStore.open(tmp_path / "store")
    decide_together(store, writers=8, count=500, kills=40, tracking=Tracking(), seed=1)
    entries = check(store, 8, 500)
    asked: list[str] = []
    read = LocalStore.read
    monkeypatch.setattr(LocalStore, "read", lambda self, name: asked.append(name) or read(self, name))
    assert read_log(store, NAME, entries) == entries
    assert asked == [f"promotions/{NAME}/4001.json"], "a decision costs what is new, however long the log is"


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_mlflow_ends_where_the_log_says_after_killed_processes(tmp_path: Path) -> None:
    store = LocalStore.open(tmp_path / "store")
    tracking = registered(tmp_path, 4)
    decide_together(store, writers=4, count=15, kills=8, tracking=tracking, seed=2)
    entries = check(store, 4, 15)
    project(store, tracking, NAME)
    assert read_aliases(tracking, NAME) == {alias: version for alias, version in aliases(entries).items() if version}
    assert astray(store, tracking, NAME) == []
    shutil.rmtree(tmp_path / "artifacts", ignore_errors=True)
