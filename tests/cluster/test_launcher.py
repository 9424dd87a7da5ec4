"""Clusters up and down. Where a cloud would be, a stand-in for Ray's command line answers; on this machine Ray's own launcher runs."""

from __future__ import annotations

import os
import shutil
import socket
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from cluster import launcher
from cluster.description import ClusterFile, read
from cluster.errors import ClusterFileError, LaunchError
from tests.cluster.here import stop
from tests.cluster.test_description import FILE, written

ROOT = Path(__file__).resolve().parents[2]

REPORT = """\
======== Autoscaler status: 2026-11-22 19:32:22.005254 ========
Node status
---------------------------------------------------------------
Active:
 1 hand
Idle:
 1 boss
Pending:
 (no pending nodes)
Recent failures:
 hand: InsufficientInstanceCapacity

Resources
---------------------------------------------------------------
Total Usage:
 4.0/8.0 CPU
 0B/8.00GiB memory

Total Demands:
 (no resource demands)
"""


@pytest.fixture
def file(tmp_path: Path) -> ClusterFile:
    return read(written(tmp_path))


def cloud(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, says: str, code: int = 0) -> Path:
    """In place of Ray's command line: notes what it was asked, says something, exits. Returns the notes."""
    notes = tmp_path / "notes.txt"
    (tmp_path / "says.txt").write_text(says, encoding="utf-8")
    script = tmp_path / "ray.sh"
    script.write_text(f'pwd >{notes}; echo "$@" >>{notes}; cat {tmp_path}/says.txt; exit {code}\n', encoding="utf-8")
    monkeypatch.setattr(launcher, "RAY", ("sh", str(script)))
    return notes


def test_up_runs_ray_up_in_the_files_folder_and_passes_its_lines_on(file: ClusterFile, monkeypatch: pytest.MonkeyPatch) -> None:
    folder, lines = file.path.parent, []
    notes = cloud(monkeypatch, folder, "one\ntwo\n")
    launcher.up(file, lines.append)
    assert lines == ["one", "two"]
    assert notes.read_text().splitlines() == [str(folder), "up --log-style pretty --log-color false --yes cluster.yaml"]


def test_a_failed_up_says_why_and_how_to_go_on(file: ClusterFile, monkeypatch: pytest.MonkeyPatch) -> None:
    cloud(monkeypatch, file.path.parent, "Launching\nbotocore: AuthFailure: credentials were refused\n\n", 1)
    with pytest.raises(
        LaunchError, match=r"failed \(exit code 1\): botocore: AuthFailure: credentials were refused; nodes that were"
    ) as caught:
        launcher.up(file, lambda _: None)
    assert f"medley cluster down {file.path}" in str(caught.value)


def test_a_failed_down_says_that_nodes_may_still_cost_money(file: ClusterFile, monkeypatch: pytest.MonkeyPatch) -> None:
    cloud(monkeypatch, file.path.parent, "", 1)
    with pytest.raises(LaunchError, match=r"it said nothing; nodes may still be up and cost money"):
        launcher.down(file, lambda _: None)


def test_status_sorts_what_the_head_says(file: ClusterFile, monkeypatch: pytest.MonkeyPatch) -> None:
    notes = cloud(monkeypatch, file.path.parent, f"Fetched IP: 10.0.0.1\n{REPORT}")
    found = launcher.status(file)
    assert (found.up, found.active, found.idle, found.pending) == (True, ("1 hand",), ("1 boss",), ())
    assert found.failures == ("hand: InsufficientInstanceCapacity",)
    assert found.usage == ("4.0/8.0 CPU", "0B/8.00GiB memory")
    assert found.report == REPORT.strip()
    assert "RAY_AUTH_MODE=token ray status" in notes.read_text()


def test_a_cluster_without_a_head_is_not_up(file: ClusterFile, monkeypatch: pytest.MonkeyPatch) -> None:
    cloud(monkeypatch, file.path.parent, "RuntimeError: Head node of cluster (small) not found!\n", 1)
    assert launcher.status(file) == launcher.ClusterStatus(up=False)


def test_a_head_that_does_not_answer_is_told(file: ClusterFile, monkeypatch: pytest.MonkeyPatch) -> None:
    cloud(monkeypatch, file.path.parent, "ssh: connect to host 10.0.0.1 port 22: Connection refused\n", 255)
    with pytest.raises(
        LaunchError, match=r"could not be asked \(exit code 255\): ssh: connect to host 10.0.0.1 port 22: Connection refused"
    ):
        launcher.status(file)


def test_everything_that_a_start_would_miss_is_told_before_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "/nowhere")
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setattr(launcher, "SDK", {"aws": ("no_such_module", "boto3")})
    more = "auth: {ssh_user: me, ssh_private_key: key.pem}\nfile_mounts: {~/medley: code, ~/.ray/auth_token: ~/.ray/auth_token}\n"
    with pytest.raises(ClusterFileError) as caught:
        launcher.check_launch(read(written(tmp_path, FILE + more)))
    text = str(caught.value)
    assert "cluster.yaml:16: auth.ssh_private_key: key.pem is not there; give the key that opens your nodes" in text
    assert f"cluster.yaml:17: file_mounts: code is not there; it is meant from {tmp_path}" in text
    assert "~/.ray/auth_token is not there; `ray get-auth-token --generate` makes the token, once" in text
    assert f"the provider aws needs its SDK here: {sys.executable} -m pip install boto3" in text
    assert "ssh and rsync cannot be found here" in text
    assert "head_start_ray_commands: metadata.medley.auth says `token`, but `ray start` is not told so" in text
    assert len(caught.value.problems) == 7


HERE = """\
cluster_name: here
provider: {{type: external, module: tests.cluster.here.Here, folder: {folder}/machines, head_port: {port}}}
max_workers: 1
head_node_type: head
available_node_types:
  head: {{resources: {{CPU: 0}}, node_config: {{}}}}
  cpu: {{resources: {{CPU: 1}}, node_config: {{}}, min_workers: 1}}
auth: {{}}
docker: {{}}
file_mounts: {{~/.ray/auth_token: {folder}/token}}
cluster_synced_files: []
file_mounts_sync_continuously: false
idle_timeout_minutes: 5
upscaling_speed: 1.0
rsync_exclude: []
initialization_commands: []
setup_commands: [touch ~/was-set-up]
head_setup_commands: []
worker_setup_commands: []
head_start_ray_commands:
  - RAY_AUTH_MODE=token ray start --head --port={port} {options} --temp-dir={folder}/ray --autoscaling-config=~/ray_bootstrap_config.yaml
worker_start_ray_commands:
  - RAY_AUTH_MODE=token ray start --address=127.0.0.1:{port} {options}
metadata: {{medley: {{auth: token}}}}
"""


@pytest.fixture
def here(monkeypatch: pytest.MonkeyPatch) -> Iterator[ClusterFile]:
    """A cluster file for machines that are folders here. The folder is short: Ray's sockets lie in it."""
    folder = Path(tempfile.mkdtemp(prefix="mc-"))
    (folder / "token").write_text("t" * 32, encoding="utf-8")
    monkeypatch.setenv("TMPDIR", str(folder))
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join(filter(None, [str(ROOT), os.environ.get("PYTHONPATH")])))
    monkeypatch.delenv("RAY_ADDRESS", raising=False)
    options = "--node-ip-address=127.0.0.1 --include-dashboard=false --object-store-memory=80000000"
    text = HERE.format(folder=folder, port=free_port(), options=options)
    try:
        yield read(written(folder, text))
    finally:
        for home in (folder / "machines").glob("home-*"):
            stop(home.name.removeprefix("home-"))
        shutil.rmtree(folder, ignore_errors=True)


def free_port() -> int:
    """Below the ports that Ray gives its workers."""
    for port in range(7400, 9900):
        with socket.socket() as tried:
            if tried.connect_ex(("127.0.0.1", port)) != 0:
                return port
    raise AssertionError("no free port")


@pytest.mark.ray
def test_a_cluster_goes_up_says_how_it_stands_and_goes_down(here: ClusterFile) -> None:
    """Ray's launcher, its autoscaler on the head and its token authentication, on machines that are folders."""
    lines: list[str] = []
    launcher.check_launch(here)
    launcher.up(here, lines.append)
    assert any("Ray runtime started" in line for line in lines)
    found = launcher.status(here)
    assert found.up
    assert "1 head" in found.idle + found.active
    until = time.monotonic() + 60
    while not any("cpu" in line for line in found.idle + found.active + found.pending):  # the head's autoscaler takes its time
        assert time.monotonic() < until, found.report
        time.sleep(0.5)
        found = launcher.status(here)
    machines = here.path.parent / "machines"
    assert (machines / f"home-{here.path.parent.name}-0" / "was-set-up").exists()
    launcher.down(here, lines.append)
    assert (machines / "machines.json").read_text() == "{}"
    assert not launcher.status(here).up
