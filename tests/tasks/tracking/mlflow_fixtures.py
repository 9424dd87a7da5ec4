"""MLflow for tests: one sqlite database a session, experiments of their own; a real server on loopback."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from tasks.contracts import Tracking
from tasks.errors import TrackingError
from tasks.tracking.connect import probe


def free_port() -> int:
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        return int(sock.getsockname()[1])


@dataclass
class Server:
    """An `mlflow server` process that can be killed and started again on the same port and database."""

    folder: Path
    port: int
    process: subprocess.Popen[bytes] | None = None
    host: str = "127.0.0.1"
    """What the server is called; it listens on loopback."""
    options: tuple[str, ...] = ()
    environment: Mapping[str, str] = field(default_factory=dict)

    @property
    def uri(self) -> str:
        return f"http://{self.host}:{self.port}"

    def tracking(self, experiment: str) -> Tracking:
        return Tracking(self.uri, experiment=experiment)

    def start(self) -> None:
        command = [sys.executable, "-m", "mlflow", "server", "--host", "127.0.0.1", "--port", str(self.port), "--workers", "1"]
        command += ["--backend-store-uri", f"sqlite:///{self.folder}/server.db", "--artifacts-destination", str(self.folder / "artifacts")]
        command += self.options
        # MLflow's own job queues are seven more processes, which nothing here uses
        quick = os.environ | {"MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false", **self.environment}
        with (self.folder / "server.log").open("ab") as log:
            self.process = subprocess.Popen(command, stdout=log, stderr=log, cwd=self.folder, env=quick, start_new_session=True)
        until = time.monotonic() + 120
        while True:
            try:
                return probe(self.uri, timeout_s=1)
            except TrackingError:
                if self.process.poll() is not None or time.monotonic() > until:
                    raise AssertionError((self.folder / "server.log").read_text()) from None
                time.sleep(0.2)

    def kill(self) -> None:
        """Kill the server and the worker it started: the process group that we made for it."""
        if self.process is not None:
            os.killpg(self.process.pid, signal.SIGKILL)
            self.process.wait()
            self.process = None


@contextmanager
def running_server(folder: Path, **given: Any) -> Iterator[Server]:
    server = Server(folder, free_port(), **given)
    try:
        server.start()
        yield server
    finally:
        server.kill()


QUIET = pytest.mark.filterwarnings(r"ignore:The ``noload`` loader strategy:DeprecationWarning")
"""What MLflow's own imports and queries warn of."""
