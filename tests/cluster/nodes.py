"""Ray nodes as real processes: `ray start` for a head and for workers on addresses of the loopback, each with a working folder of its own.

A node is what carries its mark in the environment: `kill` ends all of that at once with SIGKILL, as a machine ends that loses its power.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

MARK = "MEDLEY_TEST_NODE"
START_S = 90
"""How long a node may take to come up on a busy machine."""


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@dataclass
class Node:
    """One node, and what it was started with."""

    ip: str
    folder: Path
    process: subprocess.Popen[bytes]
    mark: str

    @property
    def output(self) -> str:
        return (self.folder / "ray.out").read_text()

    def processes(self) -> list[int]:
        """Everything that was started in this node's name and still runs."""
        wanted = f"{MARK}={self.mark}".encode()
        found = []
        for entry in Path("/proc").iterdir():
            with contextlib.suppress(OSError):
                if entry.name.isdigit() and wanted in (entry / "environ").read_bytes().split(b"\0"):
                    found.append(int(entry.name))
        return found

    def runs(self, what: str) -> bool:
        """Does a process of this node do this now? Ray writes it on the process's command line: `ray::NAME`."""
        for process in self.processes():
            with contextlib.suppress(OSError):
                line = Path(f"/proc/{process}/cmdline").read_bytes().decode(errors="replace")
                if line.startswith("ray::") and what in line:
                    return True
        return False

    def opens(self, folder: Path) -> list[Path]:
        """The files of a folder that this node's processes have open."""
        found = []
        for process in self.processes():
            with contextlib.suppress(OSError):
                found += [file.readlink() for file in Path(f"/proc/{process}/fd").iterdir()]
        return [path for path in found if path.is_relative_to(folder)]

    def signal(self, number: signal.Signals) -> None:
        for process in self.processes():
            with contextlib.suppress(ProcessLookupError):
                os.kill(process, number)

    def kill(self) -> None:
        """The node is gone without a word."""
        until = time.monotonic() + 20
        while self.processes() and time.monotonic() < until:
            self.signal(signal.SIGKILL)
            time.sleep(0.05)
        self.process.wait(20)


@dataclass
class Cluster:
    """A head and its workers."""

    folder: Path
    port: int = field(default_factory=free_port)
    nodes: list[Node] = field(default_factory=list)

    @property
    def address(self) -> str:
        return f"127.0.0.1:{self.port}"

    def start(self, cpus: int, *words: str, wrap: Sequence[str] = (), environment: Mapping[str, str] | None = None) -> Node:
        """One more node, the first is the head. `wrap` stands before the command, as `unshare` does. Returns before it is up."""
        number = len(self.nodes) + 1
        ip, folder = f"127.0.0.{number}", self.folder / f"n{number}"
        (folder / "cwd").mkdir(parents=True)
        role = ["--head", f"--port={self.port}", "--include-dashboard=false"]
        if self.nodes:
            role = [f"--address={self.address}"]
        command = [sys.executable, "-m", "ray.scripts.scripts", "start", "--block", f"--node-ip-address={ip}", f"--num-cpus={cpus}"]
        command += [f"--temp-dir={folder / 't'}", "--object-store-memory=80000000", "--disable-usage-stats", "--include-log-monitor=false"]
        command += [*role, *words]
        mark = f"{self.folder.name}-{number}"
        around = (
            os.environ
            | {"RAY_health_check_period_ms": "1000", "RAY_health_check_failure_threshold": "3", MARK: mark}
            | dict(environment or {})
        )
        for name in ("RAY_ADDRESS", "PYTHONPATH"):
            around.pop(name, None)
        with (folder / "ray.out").open("wb") as out:
            process = subprocess.Popen([*wrap, *command], cwd=folder / "cwd", env=around, stdout=out, stderr=out, start_new_session=True)
        node = Node(ip, folder, process, mark)
        self.nodes.append(node)
        if number == 1:
            self._wait_for_head(node)
        return node

    def _wait_for_head(self, node: Node) -> None:
        until = time.monotonic() + START_S
        while time.monotonic() < until:
            if node.process.poll() is not None:
                break
            if "Ray runtime started" in node.output:
                return
            time.sleep(0.1)
        raise AssertionError(f"the head did not start: {node.output}")

    def wait_for(self, num_nodes: int) -> None:
        """Until so many nodes are alive, as the head sees it."""
        from ray._raylet import GcsClient

        gcs = GcsClient(address=self.address)
        until, alive = time.monotonic() + START_S, 0
        while time.monotonic() < until:
            alive = sum(1 for node in gcs.get_all_node_info().values() if node.state == 0)
            if alive == num_nodes:
                return
            time.sleep(0.1)
        raise AssertionError(f"{alive} nodes are alive, not {num_nodes}: {[node.output[-2000:] for node in self.nodes]}")

    def stop(self) -> None:
        for node in reversed(self.nodes):
            node.kill()


@contextlib.contextmanager
def cluster() -> Iterator[Cluster]:
    """Nothing of it is left at the end: no process, no folder. The folder's path is short, since sockets lie in it."""
    folder = Path(tempfile.mkdtemp(prefix="mn", dir="/tmp"))
    made = Cluster(folder)
    try:
        yield made
    finally:
        made.stop()
        shutil.rmtree(folder, ignore_errors=True)
