"""What `medley submit` costs over `medley run`: the same small recipe, submitted to two nodes and run on one.

`run` starts a Ray of its own on this machine; `submit` goes to a head and a worker that are up (each with half of the cores), with a
package the head doesn't have yet. Both end when the command ends. The parts of `submit_s`, in order: `pack_s` (checking the recipe,
packing; after Python's own start), `send_s` (finding the head, upload, starting the job), `job_start_s` (Ray unpacks the package and
starts a process, Medley plans), `run_s` (the run itself, with joining Ray), `end_s` (until the command knows and ends). No goal: what it
costs is reported.
"""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

from benchmarks import measure
from benchmarks.medley import medley

RECORDS = 200
RECIPE = """\
name: small
store: store
steps:
  corpus: {task: ingest, source: {format: folder, path: data}}
  shards: {task: shard, corpus: corpus, prepare: {text: {}}}
"""
START_S = 120.0
PARTS = ("pack_s", "send_s", "job_start_s", "run_s", "end_s")


def run(rounds: int) -> dict[str, Any]:
    """Medians of wall seconds over rounds, and of the difference within each round."""
    with tempfile.TemporaryDirectory(prefix="ms", dir="/tmp") as name, ExitStack() as stack:
        folder = Path(name)
        prepare(folder)
        address = stack.enter_context(two_nodes(folder))
        parts: dict[str, list[float]] = {part: [] for part in PARTS}
        numbers = iter(range(10_000))
        sides = {
            "run_on_one_node_s": lambda: alone(folder, next(numbers)),
            "submit_s": lambda: submitted(folder, next(numbers), address, parts),
        }
        measure.interleave(1, sides)
        for values in parts.values():
            values.clear()
        seconds = measure.interleave(rounds, sides)
    over = [after - before for before, after in zip(seconds["run_on_one_node_s"], seconds["submit_s"], strict=True)]
    ratios = {name: measure.median(values) for name, values in {**seconds, "overhead_s": over, **parts}.items()}
    return {"name": "submit", "ok": True, "ratios": ratios}


def prepare(folder: Path) -> None:
    (folder / "recipe.yaml").write_text(RECIPE)
    for number in range(RECORDS):
        path = folder / "data" / "ab"[number % 2] / f"{number}.txt"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(f"text number {number}")


def alone(folder: Path, number: int) -> float:
    """Wall seconds of `medley run` with a Ray of its own."""
    command = [medley(), "run", folder / "recipe.yaml", "--store", folder / f"store{number}"]
    return measure.wall_s(command, cwd=folder, env={"RAY_AUTH_MODE": "disabled"})


def submitted(folder: Path, number: int, address: str, parts: dict[str, list[float]]) -> float:
    """Wall seconds of `medley submit`; its parts go into `parts`."""
    (folder / "fresh.bin").write_bytes(os.urandom(1000))  # another package each time, so that the upload counts
    store = folder / f"store{number}"
    command = [medley(), "submit", folder / "recipe.yaml", "--store", store, "--address", address, "--include", "fresh.bin", "--json"]
    begun, start = time.time(), time.perf_counter()
    outcome = measure.run(command, cwd=folder)
    wall = time.perf_counter() - start
    measure.check(outcome)
    told = json.loads(outcome.stdout)
    (journal,) = store.glob("runs/*/journal.jsonl")
    events = {event["event"]: event["time"] for event in map(json.loads, journal.read_text().splitlines())}
    spent = {
        "pack_s": told["seconds"]["pack"],
        "send_s": told["seconds"]["submit"],
        "job_start_s": events["run_started"] - told["started"],
        "run_s": events["run_finished"] - events["run_started"],
        "end_s": begun + wall - events["run_finished"],
    }
    for name, seconds in spent.items():
        parts[name].append(seconds)
    return wall


@contextmanager
def two_nodes(folder: Path) -> Iterator[str]:
    """Address of a head's dashboard; a second node has joined it. Both end with the block."""
    port, dashboard = free_port(), free_port()
    half = max(1, len(os.sched_getaffinity(0)) // 2)
    head = ["--head", f"--port={port}", "--node-ip-address=127.0.0.1", "--dashboard-host=127.0.0.1", f"--dashboard-port={dashboard}"]
    head += [f"--dashboard-agent-listen-port={free_port()}", f"--ray-client-server-port={free_port()}"]
    worker = [f"--address=127.0.0.1:{port}", "--node-ip-address=127.0.0.2", f"--dashboard-agent-listen-port={free_port()}"]
    with ExitStack() as stack:
        for number, words in enumerate((head, worker)):
            # a folder for each, as on two machines: in a common one, either would unpack the job's code while the other reads it
            own = [f"--temp-dir={folder / f't{number}'}", f"--num-cpus={half}", "--object-store-memory=100000000"]
            stack.enter_context(node(folder / f"node{number}.out", [*words, *own]))
        yield f"http://127.0.0.1:{dashboard}"


@contextmanager
def node(output: Path, words: list[str]) -> Iterator[None]:
    """A Ray node for the length of a block; entered once it is up."""
    command = [sys.executable, "-m", "ray.scripts.scripts", "start", "--block", "--disable-usage-stats", *words]
    around = os.environ | {"RAY_AUTH_MODE": "disabled"}
    with output.open("wb") as out, subprocess.Popen(command, stdout=out, stderr=out, env=around, cwd=output.parent) as process:
        try:
            until = time.monotonic() + START_S
            while "Ray runtime started" not in output.read_text(errors="replace"):
                if process.poll() is not None or time.monotonic() > until:
                    raise RuntimeError(f"a Ray node did not start: {output.read_text(errors='replace')[-2000:]}")
                time.sleep(0.1)
            yield
        finally:
            process.terminate()
            try:
                process.wait(30)
            except subprocess.TimeoutExpired:
                process.kill()


def free_port() -> int:
    """A port that nothing listens on now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
