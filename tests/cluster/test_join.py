"""`--address auto` on a machine that runs nothing but one head, and joining with another Ray: each in a process of its own.

A namespace of process ids is the machine, since Ray looks for a head among all processes that it sees.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.cluster.nodes import Cluster, cluster
from tests.conftest import ROOT

ALONE = ["unshare", "--pid", "--fork", "--mount", "--mount-proc"]
PARTS = shutil.which("unshare") is not None and subprocess.run([*ALONE, "true"], capture_output=True, check=False).returncode == 0

pytestmark = [
    pytest.mark.ray,
    pytest.mark.skipif(not PARTS, reason="this machine lets nobody run processes that see no others"),
]

OTHER_RAY = "import sys, ray; ray.__version__ = '2.0.1'; sys.argv[0] = 'other'; "
MEDLEY = "from pipeline.__main__ import main; sys.exit(main(sys.argv[1:]))"
START = "from ray.scripts.scripts import main; main()"
RECIPE = """\
name: toy
store: store
steps:
  corpus: {task: ingest, source: {format: 'where_source:Where'}}
"""
SOURCE = """
import os

from tasks.contracts import Locator, SourceRecord
from tasks.registry import Config as Base


class Where:
    class Config(Base):
        format: str

    def __init__(self, config, base_dir):
        pass

    def snapshot(self):
        return {"digest": "one"}

    def records(self, output_dir):
        yield SourceRecord("one", {"text": Locator(inline=os.environ.get("MARK_OF_THE_HEAD", "elsewhere").encode())})
"""


@dataclass
class Machine:
    """A machine with or without a head, and a recipe on it."""

    folder: Path
    nodes: Cluster | None = None

    def call(self, program: str, *words: str) -> subprocess.CompletedProcess[str]:
        """A Python program with arguments, on this machine; no variable names a head."""
        around = os.environ | {"PYTHONPATH": str(ROOT), "RAY_TMPDIR": str(self.folder / "t")}
        around.pop("RAY_ADDRESS", None)
        inside = (
            ALONE
            if self.nodes is None
            else ["nsenter", "-t", first(self.nodes.nodes[0].process.pid), "--pid", "--mount", f"--wd={self.folder}"]
        )
        command = [*inside, sys.executable, "-P", "-c", program, *words]
        return subprocess.run(command, cwd=self.folder, env=around, capture_output=True, text=True, timeout=120, check=False)

    def run(self, *words: str, program: str = f"import sys; {MEDLEY}") -> subprocess.CompletedProcess[str]:
        return self.call(program, "run", "recipe.yaml", *words)


def first(unshare: int) -> str:
    """The process that is number 1 in the namespace that `unshare` made."""
    return Path(f"/proc/{unshare}/task/{unshare}/children").read_text().split()[0]


def machine(folder: Path, nodes: Cluster | None = None) -> Machine:
    (folder / "t" / "ray").mkdir(parents=True)
    (folder / "where_source.py").write_text(SOURCE)
    (folder / "recipe.yaml").write_text(
        "name: toy\nstore: store\nsteps:\n  corpus: {task: ingest, source: {format: 'where_source:Where'}}\n"
    )
    return Machine(folder, nodes)


@pytest.fixture(scope="module")
def head() -> Iterator[Machine]:
    """A machine with one head."""
    with cluster() as nodes:
        nodes.start(1, wrap=ALONE, environment={"MARK_OF_THE_HEAD": "in the head's own process"})
        (nodes.folder / "user").mkdir()
        yield machine(nodes.folder / "user", nodes)


def test_auto_joins_the_head_of_this_machine(head: Machine) -> None:
    done = head.run("--address", "auto", "--json")
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["steps"]["corpus"]["status"] == "ran"
    (corpus,) = head.folder.glob("store/artifacts/*/*/records.parquet")
    assert b"in the head's own process" in corpus.read_bytes()


def test_a_run_with_another_ray_than_the_heads_is_told_both(head: Machine) -> None:
    assert head.nodes is not None
    done = head.run("--address", head.nodes.address, "--store", "other", program=OTHER_RAY + MEDLEY)
    assert done.returncode == 1
    assert f"error: this machine cannot join Ray at {head.nodes.address}. Version mismatch" in done.stderr
    assert "Ray: 2.0.1" in done.stderr
    assert "run `medley` with the Ray and the Python that the cluster was started with" in done.stderr
    assert "Traceback" not in done.stderr


def test_a_worker_with_another_ray_than_the_heads_is_turned_away_by_ray_itself(head: Machine) -> None:
    """So no run ever meets one: `medley` has nothing to add but that nodes with the same Ray, and other libraries, are asked for these."""
    assert head.nodes is not None
    words = ("start", f"--address={head.nodes.address}", "--node-ip-address=127.0.0.2", f"--temp-dir={head.folder / 'w'}", "--block")
    done = head.call(OTHER_RAY + START, *words)
    assert done.returncode != 0
    assert "Version mismatch: The cluster was started with:" in done.stderr
    assert "Ray: 2.0.1" in done.stderr


@pytest.mark.parametrize("stale", [False, True])
def test_auto_on_a_machine_without_ray_says_so_at_once(tmp_path: Path, *, stale: bool) -> None:
    alone = machine(tmp_path)
    if stale:
        (tmp_path / "t" / "ray" / "ray_current_cluster").write_text("127.0.0.1:1")
    done = alone.run("--address", "auto")
    assert done.returncode == 1
    assert "no Ray runs on this machine; `--address auto` is for a machine of the cluster" in done.stderr
    assert ("no longer answers at" in done.stderr) is stale
    assert not list(tmp_path.glob("store/artifacts/*"))
