"""Machines for Ray's cluster launcher that need neither a cloud nor ssh: each is a folder and the processes that were started in its name.

`provider: {type: external, module: tests.cluster.here.Here, folder: …}`. Ray's own launcher, updater and autoscaler do the rest.
"""

from __future__ import annotations

import fcntl
import json
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from ray.autoscaler.command_runner import CommandRunnerInterface
from ray.autoscaler.node_provider import NodeProvider

MARK = "MEDLEY_TEST_MACHINE"
"""In the environment of every process of a machine."""


def processes(machine: str) -> list[int]:
    """Ids of what runs on a machine."""
    found = []
    for entry in Path("/proc").iterdir():
        try:
            if entry.name.isdigit() and f"{MARK}={machine}\0".encode() in (entry / "environ").read_bytes():
                found.append(int(entry.name))
        except OSError:
            continue
    return found


def stop(machine: str) -> None:
    for process in processes(machine):
        try:
            os.kill(process, signal.SIGKILL)
        except ProcessLookupError:
            continue


RAY = f"""#!/bin/sh
# `ray` on a machine: `ray stop` would otherwise stop every Ray of the computer that the test runs on
if [ "$1" = stop ]; then exit 0; fi
if [ "$1" = status ]; then set -- "$@" --address "$RAY_HEAD"; fi
exec {sys.executable} -m ray.scripts.scripts "$@"
"""


class Here(NodeProvider):
    """Machines in `folder`, known by `machines.json`."""

    def __init__(self, provider_config: dict[str, Any], cluster_name: str) -> None:
        super().__init__(provider_config, cluster_name)
        self.folder = Path(provider_config["folder"])

    @contextmanager
    def _machines(self) -> Iterator[dict[str, dict[str, str]]]:
        """Machine → tags; written back when the block ends."""
        self.folder.mkdir(parents=True, exist_ok=True)
        with (self.folder / "lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            file = self.folder / "machines.json"
            machines = json.loads(file.read_text()) if file.exists() else {}
            yield machines
            file.write_text(json.dumps(machines))

    def non_terminated_nodes(self, tag_filters: dict[str, str]) -> list[str]:
        with self._machines() as machines:
            return [name for name, tags in machines.items() if tag_filters.items() <= tags.items()]

    def is_running(self, node_id: str) -> bool:
        with self._machines() as machines:
            return node_id in machines

    def is_terminated(self, node_id: str) -> bool:
        return not self.is_running(node_id)

    def node_tags(self, node_id: str) -> dict[str, str]:
        with self._machines() as machines:
            return machines[node_id]

    def set_node_tags(self, node_id: str, tags: dict[str, str]) -> None:
        with self._machines() as machines:
            machines[node_id] |= tags

    def external_ip(self, node_id: str) -> str:
        return "127.0.0.1"

    def internal_ip(self, node_id: str) -> str:
        return "127.0.0.1"

    def create_node(self, node_config: dict[str, Any], tags: dict[str, str], count: int) -> dict[str, Any]:
        made = {}
        with self._machines() as machines:
            for _ in range(count):
                name = f"{self.folder.parent.name}-{len(list(self.folder.glob('home-*')))}"
                programs = self.folder / f"home-{name}" / "bin"
                programs.mkdir(parents=True)
                (programs / "ray").write_text(RAY)
                (programs / "ray").chmod(0o755)
                machines[name] = dict(tags)
                made[name] = {}
        return made

    def terminate_node(self, node_id: str) -> None:
        with self._machines() as machines:
            machines.pop(node_id)
        if os.environ.get(MARK) != node_id:
            stop(node_id)

    def get_command_runner(self, log_prefix: str, node_id: str, *_: Any, **__: Any) -> CommandRunnerInterface:
        return Runner(self, node_id)


class Runner(CommandRunnerInterface):
    """What ssh and rsync would do."""

    def __init__(self, provider: Here, machine: str) -> None:
        self.machine = machine
        self.home = provider.folder / f"home-{machine}"
        self.head = provider.provider_config["head_port"]

    def run(self, cmd: str | None = None, environment_variables: dict[str, Any] | None = None, with_output: bool = False, **_: Any) -> str:
        environment = {
            **os.environ,
            **{name: value if isinstance(value, str) else json.dumps(value) for name, value in (environment_variables or {}).items()},
            MARK: self.machine,
            "HOME": str(self.home),
            "PATH": f"{self.home / 'bin'}:{os.environ['PATH']}",
            "RAY_HEAD": f"127.0.0.1:{self.head}",
        }
        done = subprocess.run(
            ["bash", "-c", cmd or ":"], env=environment, cwd=self.home, check=True, stdout=subprocess.PIPE if with_output else None
        )
        return done.stdout.decode() if with_output else ""

    def run_rsync_up(self, source: str, target: str, options: dict[str, Any] | None = None) -> None:
        place = Path(target.replace("~", str(self.home), 1))
        if Path(source).is_dir():
            shutil.copytree(source, place, dirs_exist_ok=True)
        else:
            place.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(source, place)

    def run_rsync_down(self, source: str, target: str, options: dict[str, Any] | None = None) -> None:
        raise NotImplementedError

    def remote_shell_command_str(self) -> str:
        return "bash"

    def run_init(self, *, as_head: bool, file_mounts: dict[str, str], sync_run_yet: bool) -> bool:
        return False
