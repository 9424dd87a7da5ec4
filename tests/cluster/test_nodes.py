"""A head and two workers as real processes that share nothing but the loopback, an MLflow server and a store: the same recipe as on one
machine, with nodes that are killed while they work.
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import signal
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import pytest

from pipeline import Options, build_graph, code, in_process, journal, load_recipe, make_plan, run_plan
from pipeline.store import LocalStore
from tasks.shards import execute
from tasks.shards.write import build
from tests.cluster.nodes import Cluster, Node, cluster, free_port
from tests.conftest import ROOT

Found = TypeVar("Found")

pytestmark = [pytest.mark.ray, pytest.mark.timeout(600)]

DIGITS = ROOT / "examples" / "digits"
UNITS = "    sizes: {min_records: 8, max_records: 16}\n"
HIDES = shutil.which("unshare") is not None and subprocess.run(["unshare", "-m", "true"], capture_output=True, check=False).returncode == 0


@dataclass
class Place:
    """Where the nodes of a test are, and what they share."""

    nodes: Cluster
    folder: Path
    recipe: Path
    hidden: Path
    """A folder that the last node sees another one in place of."""
    dashboard: str

    @property
    def store(self) -> Path:
        return self.folder / "store"

    def medley(self, *words: Any) -> subprocess.Popen[str]:
        return self.call(ROOT, "run", self.recipe, "--address", self.nodes.address, *words)

    def call(self, code: Path, *words: Any) -> subprocess.Popen[str]:
        command = [sys.executable, "-P", "-m", "pipeline", *map(str, words)]
        environment = os.environ | {"PYTHONPATH": str(code)}
        return subprocess.Popen(command, cwd=self.folder, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)

    def workers_that_run(self, what: str) -> list[Node]:
        """Nodes other than the head."""
        return [node for node in self.nodes.nodes[1:] if node.runs(what)]


@contextlib.contextmanager
def mlflow_server(folder: Path) -> Iterator[str]:
    port = free_port()
    command = [sys.executable, "-m", "mlflow", "server", "--host", "127.0.0.1", "--port", str(port), "--workers", "1"]
    command += ["--backend-store-uri", f"sqlite:///{folder}/ml.db", "--artifacts-destination", f"{folder}/artifacts"]
    with (folder / "mlflow.out").open("wb") as out:
        server = subprocess.Popen(command, cwd=folder, stdout=out, stderr=out, start_new_session=True)
    try:
        wait_for_answer(f"http://127.0.0.1:{port}/health", server)
        yield f"http://127.0.0.1:{port}"
    finally:
        os.killpg(server.pid, signal.SIGKILL)
        server.wait()


def wait_for_answer(url: str, server: subprocess.Popen[bytes]) -> None:
    """Until a server says that it is well; on a busy machine that takes longer than a run waits."""
    until = time.monotonic() + 120
    while time.monotonic() < until and server.poll() is None:
        with contextlib.suppress(OSError), urllib.request.urlopen(url, timeout=5) as answer:
            if answer.status == 200:
                return
        time.sleep(0.2)
    raise AssertionError(f"MLflow's server does not answer at {url}")


@contextlib.contextmanager
def place(*cpus: int, epochs: int) -> Iterator[Place]:
    """A head and workers with so many CPUs, and the digits for two training processes. Each node has a working folder of its own."""
    with cluster() as nodes, mlflow_server(nodes.folder) as server:
        hidden = nodes.folder / "hidden"
        hidden.mkdir()
        port = free_port()
        words = ["--include-dashboard=true", "--dashboard-host=127.0.0.1", f"--dashboard-port={port}"]
        nodes.start(cpus[0], *words, f"--dashboard-agent-listen-port={free_port()}", f"--ray-client-server-port={free_port()}")
        for position, number in enumerate(cpus[1:], 2):
            last = position == len(cpus)
            nodes.start(
                number,
                wrap=["unshare", "-m", "sh", "-c", f'mount -t tmpfs -o size=9m none {hidden} && exec "$@"', "sh"] if last and HIDES else [],
            )
        shutil.copytree(DIGITS, nodes.folder / "digits", ignore=shutil.ignore_patterns("__pycache__"))
        recipe = nodes.folder / "digits" / "recipe.yaml"
        text = recipe.read_text().replace("store: ../../.medley", f"tracking: {server}\nstore: ../store")
        text = text.replace("    corpus: corpus ", f"{UNITS}    corpus: corpus ")
        text = text.replace("    epochs: 8\n", f"    epochs: {epochs}\n    checkpoint_every: {{steps: 4}}\n    resources: {{workers: 2}}\n")
        recipe.write_text(text)
        for node in nodes.nodes:
            (node.folder / "cwd" / "tasks.py").write_text("raise SystemExit('the wrong tasks')\n")
        nodes.wait_for(len(cpus))
        yield Place(nodes, nodes.folder, recipe, hidden, f"http://127.0.0.1:{port}")


def wait_until(condition: Callable[[], Found], process: subprocess.Popen[str], timeout_s: float = 240) -> Found:
    """What the condition gives once that is something."""
    until = time.monotonic() + timeout_s
    while not (found := condition()):
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < until, "waited in vain"
        time.sleep(0.02)
    return found


def progress(store: Path, step: str) -> float:
    """How far a step of the newest run is; -1 before it runs."""
    known = journal.runs(store)
    if not known:
        return -1
    state = journal.state(journal.find(store, None)).steps.get(step)
    return float(state.progress.get("done", 0)) if state and state.status == "running" else -1


def finished(process: subprocess.Popen[str]) -> dict[str, Any]:
    out, err = process.communicate(timeout=400)
    assert process.returncode in (0, 3), err
    document: dict[str, Any] = json.loads(out)
    return document


def manifests(store: Path) -> dict[str, dict[str, Any]]:
    """Step → what is written beside its artifact."""
    found = [json.loads(path.read_text()) for path in store.glob("artifacts/*/*/manifest.json")]
    return {manifest["step"]: manifest for manifest in found}


def shards(store: Path) -> list[tuple[str, str]]:
    (listed,) = store.glob("artifacts/*/*/shards.json")
    return [(shard["name"], shard["sha256"]) for shard in json.loads(listed.read_text())["shards"]]


def world_sizes(store: Path) -> set[int]:
    """How many processes made the checkpoints that are there."""
    found = set()
    for index in store.glob("work/*/checkpoints/*/checkpoint.json"):
        with contextlib.suppress(OSError):  # the oldest go as new ones come
            found.add(json.loads(index.read_text())["facts"]["world_size"])
    return found


def kill_one_that_builds(place: Place, process: subprocess.Popen[str]) -> None:
    """A node dies with an unfinished shard in its hands: it is held still first, to see that it has one."""

    def killed() -> bool:
        for node in place.workers_that_run("UnitBuilder"):
            node.signal(signal.SIGSTOP)
            if node.opens(place.store / "pool" / "attempts") and list(place.store.glob("pool/attempts/*")):
                node.kill()
                return True
            node.signal(signal.SIGCONT)
        return False

    wait_until(killed, process)


def undisturbed(made: Place, limit: int, monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, str]]:
    """The shards as one process makes them, without Ray. The example's modules, copied to a folder that will be gone, go with it."""
    monkeypatch.setattr(sys, "path", [*sys.path])
    monkeypatch.setattr(execute, "run_units", lambda job, **_: ((number, build(job, number)) for number in range(job.num_units)))
    recipe = load_recipe(made.recipe, limit=limit, store=made.folder / "alone")
    result = run_plan(make_plan(build_graph(recipe), LocalStore.open(recipe.store), "shards"), in_process, Options())
    assert result.status == "done", result.steps
    for name, module in list(sys.modules.items()):
        if str(getattr(module, "__file__", "")).startswith(str(made.folder)):
            del sys.modules[name]
    return shards(recipe.store)


def reconciled(summary: dict[str, Any], records: int) -> bool:
    ledger = summary["ledger"]
    return bool(ledger["in"] == records == sum(number for name, number in ledger.items() if name != "in"))


@pytest.fixture(scope="module")
def small() -> Iterator[Place]:
    with place(1, 1, 1, epochs=1) as made:
        yield made


@pytest.mark.skipif(not HIDES, reason="this machine lets nobody mount a folder for one process alone")
def test_everything_that_is_wrong_with_the_nodes_is_said_before_the_first_step(small: Place) -> None:
    run = small.medley("--limit", 100, "--store", small.hidden / "store", "--set", "steps.model.resources.gpus=1", "--set", 'tracking=""')
    _, err = run.communicate(timeout=120)
    assert run.returncode == 2, err
    problems = [line.removeprefix("error: ") for line in err.splitlines() if line.startswith("error: ")]
    assert len(problems) == 3, err
    assert "step 'model' asks for 2 workers of 1 CPUs and 1 GPUs each, but there is room for 0 of them" in problems[0]
    assert "a file that other machines of the cluster cannot write; start a server" in problems[1]
    assert problems[2].startswith("node ") and "(127.0.0.3) does not see the store" in problems[2]
    assert not list((small.hidden / "store").glob("work/*"))
    assert not list((small.hidden / "store").glob("tmp/*"))


def test_a_node_that_dies_while_it_shards_costs_nothing_but_time(small: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    run = small.medley("--limit", 160, "--until", "report", "--json")
    wait_until(lambda: progress(small.store, "shards") > 0, run)
    small.nodes.nodes[1].kill()
    document = finished(run)
    assert shards(small.store) == undisturbed(small, 160, monkeypatch)
    assert reconciled(document["steps"]["shards"]["summary"], 160)
    assert {name: step["status"] for name, step in document["steps"].items()} == dict.fromkeys(
        ("corpus", "shards", "model", "report"), "ran"
    )
    checked = next(event for event in journal.events(small.store / "runs" / document["run"]) if event["event"] == "nodes_checked")
    assert len(checked["nodes"]) == 3
    model = Path(document["steps"]["model"]["artifact"])
    assert json.loads((model / "manifest.json").read_text())["summary"]["epochs"] == 1


def other_code(folder: Path) -> Path:
    """Medley as somebody else has it: the same but for one comment, so that no node has it installed."""
    for package in ("cluster", "pipeline", "tasks"):
        shutil.copytree(ROOT / package, folder / package, ignore=shutil.ignore_patterns("__pycache__"))
    with (folder / "tasks" / "__init__.py").open("a") as file:
        file.write("# packed, not installed\n")
    return folder


def test_the_demo_submitted_from_outside_outlives_a_node_killed_in_its_data_phase_and_one_in_its_evaluation(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The voices come along, since the demo reads them from beside its own code."""
    with place(0, 1, 1, epochs=2) as small:
        words = ("--limit", 160, "--until", "report", "--json", "--include", "voices")
        job = small.call(other_code(small.folder / "code"), "submit", small.recipe, "--address", small.dashboard, *words)
        wait_until(lambda: progress(small.store, "shards") > 0, job)
        kill_one_that_builds(small, job)
        small.nodes.start(1)
        wait_until(lambda: len(small.workers_that_run("RayTrainWorker")) == 2, job)
        assert wait_until(lambda: world_sizes(small.store), job) == {2}
        wait_until(lambda: small.workers_that_run("medley:report"), job)[0].kill()

        out, err = job.communicate(timeout=400)
        assert job.returncode == 0, err
        document = json.loads(out)
        assert (document["status"], document["attempt"]) == ("SUCCEEDED", 1)
        run = journal.find(small.store, None)
        story = journal.events(run.path)
        ended = {name: step.status for name, step in journal.state(run).steps.items()}
        assert ended == dict.fromkeys(("corpus", "shards", "model", "report"), "ran")
        checked = next(event for event in story if event["event"] == "nodes_checked")
        assert len(checked["nodes"]) == 3
        retried = [event["step"] for event in story if event["event"] == "step_retried"]
        assert retried.count("report") == 1, story
        artifacts = manifests(small.store)
        revisions = {manifest["code_revision"] for manifest in artifacts.values()}
        assert len(revisions) == 1
        assert revisions != {code.revision()}, "what is installed ran, and not what was packed"
        assert reconciled(artifacts["shards"]["summary"], 160)
        assert not list(small.store.glob("pool/attempts/*")), "the shard that the dead node had begun was not made"
        assert shards(small.store) == undisturbed(small, 160, monkeypatch)
        assert artifacts["model"]["summary"]["epochs"] == 2


def test_a_node_killed_in_each_phase_the_run_completes_by_itself(monkeypatch: pytest.MonkeyPatch) -> None:
    """Most of its time is the training phase: Ray Train waits for the lost node, and starts every process anew, torch and all."""
    with place(0, 1, 1, epochs=30) as made:  # some seconds, so that the kill comes in the middle of it
        run = made.medley("--limit", 400, "--json")
        wait_until(lambda: progress(made.store, "shards") > 0, run)
        kill_one_that_builds(made, run)
        made.nodes.start(1)
        wait_until(lambda: progress(made.store, "model") > 5, run)
        wait_until(lambda: made.workers_that_run("RayTrainWorker"), run)[0].kill()
        made.nodes.start(1)
        wait_until(lambda: made.workers_that_run("medley:report"), run)[0].kill()
        document = finished(run)
        assert shards(made.store) == undisturbed(made, 400, monkeypatch)
        assert reconciled(document["steps"]["shards"]["summary"], 400)
        assert {step["status"] for step in document["steps"].values()} <= {"ran", "refused"}
        log = (made.store / "runs" / document["run"] / "steps" / "model.log").read_text()
        assert "training goes on at epoch" in log, log
        story = journal.events(made.store / "runs" / document["run"])
        assert "report" in [event["step"] for event in story if event["event"] == "step_retried"]


@pytest.mark.slow
def test_training_goes_on_with_fewer_workers_when_a_lost_node_does_not_come_back() -> None:
    with place(0, 1, 1, epochs=30) as made:  # some seconds, so that the kill comes in the middle of it
        run = made.medley("--limit", 400, "--until", "model", "--json")
        wait_until(lambda: progress(made.store, "model") > 5, run)
        made.nodes.nodes[2].kill()
        document = finished(run)
        assert document["steps"]["model"]["status"] == "ran"
        log = (made.store / "runs" / document["run"] / "steps" / "model.log").read_text()
        assert "training goes on with 1 workers" in log
        assert "world_size 2 → 1" in log, log
