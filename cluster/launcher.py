"""Clusters up and down through Ray's own launcher.

In: a `ClusterFile`. Out: a cluster that is there, what it says of itself, or one that is gone. Ray's launcher runs as a process of its own,
with the file's folder as its working folder, so that relative paths in the file are meant from there. Its lines are passed on as they
come; when it fails, its last words stand in the error.
"""

from __future__ import annotations

import importlib.util
import os
import re
import shutil
import subprocess
import sys
import textwrap
from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from cluster.description import ClusterFile
from cluster.errors import ClusterFileError, LaunchError

RAY = (sys.executable, "-m", "ray.scripts.scripts")
"""Ray's command line, of the environment that Medley runs in."""

SDK = {
    "aws": ("boto3", "boto3"),
    "gcp": ("googleapiclient", "google-api-python-client"),
    "azure": ("azure.identity", "azure-cli azure-core azure-identity azure-mgmt-compute azure-mgmt-network"),
    "aliyun": ("aliyunsdkcore", "aliyun-python-sdk-core aliyun-python-sdk-ecs"),
}
"""Provider → a module Ray's launcher needs here, and what installs it."""

WITHOUT_SSH = ("external", "fake_multinode", "fake_multinode_docker", "kuberay", "readonly", "spark")
"""Providers that reach their nodes in ways of their own."""

EXAMPLE = re.compile(r"\b(?:ami|fs|subnet|sg)-0123456789abcdef0\b|\b192\.0\.2\.\d+\b")
"""Values in our files that nobody owns."""

TOKEN_FILE = "~/.ray/auth_token"  # noqa: S105 - a path
REPORT = re.compile(r"^=+ (?:Autoscaler|Cluster) status", re.MULTILINE)
TELLING = re.compile(r"error|fail|not found|cannot|could not|denied|refused|timed out|invalid", re.IGNORECASE)
"""Among the last lines of Ray's launcher, those that say why."""
PLAIN = ("--log-style", "pretty", "--log-color", "false")


@dataclass(frozen=True)
class ClusterStatus:
    """How a cluster stands."""

    up: bool
    report: str = ""
    """What `ray status` says on the head, unchanged."""
    active: tuple[str, ...] = ()
    """A line for each kind of node in use: `2 cpu`."""
    idle: tuple[str, ...] = ()
    pending: tuple[str, ...] = ()
    """Nodes on their way."""
    failures: tuple[str, ...] = ()
    """Nodes that could not be had lately, and why."""
    usage: tuple[str, ...] = field(default=())
    """A line for each resource: `1.0/2.0 CPU`."""


def check_launch(file: ClusterFile) -> None:
    """What `ray up` would only find out half-way. ClusterFileError with every problem."""
    problems = [*_examples(file), *_missing_files(file), *_missing_programs(file), *_auth(file)]
    if problems:
        raise ClusterFileError(*problems)


def up(file: ClusterFile, say: Callable[[str], None]) -> None:
    """Start the cluster, or bring a running one in line with the file. LaunchError with Ray's last words."""
    code, lines = _ray(file, ["up", *PLAIN, "--yes", _name(file)], say)
    if code != 0:
        raise LaunchError(
            f"`ray up` of {file.name!r} failed (exit code {code}): {_last(lines)}; nodes that were started stay up and cost money: "
            f"mend the cause and give the same command again, or `medley cluster down {file.path}`"
        )


def status(file: ClusterFile) -> ClusterStatus:
    """What the head says. A cluster without a head is not up; LaunchError when there is one that cannot be asked."""
    command = f"{'RAY_AUTH_MODE=token ' if file.settings.auth == 'token' else ''}ray status"
    code, lines = _ray(file, ["exec", *PLAIN, _name(file), command], None)
    text = "\n".join(lines)
    if begin := REPORT.search(text):
        return _status(text[begin.start() :].strip())
    if re.search(r"Head node of cluster .* not found", text):
        return ClusterStatus(up=False)
    raise LaunchError(
        f"the head of {file.name!r} could not be asked (exit code {code}): {_last(lines)}; "
        f"`ray attach {file.path}` opens a shell there, `medley cluster up {file.path}` starts Ray again"
    )


def down(file: ClusterFile, say: Callable[[str], None]) -> None:
    """Stop every node. LaunchError with Ray's last words."""
    code, lines = _ray(file, ["down", *PLAIN, "--yes", _name(file)], say)
    if code != 0:
        raise LaunchError(
            f"`ray down` of {file.name!r} failed (exit code {code}): {_last(lines)}; nodes may still be up and cost money: "
            "give the same command again, and look at your provider's list of machines"
        )


def _ray(file: ClusterFile, words: list[str], say: Callable[[str], None] | None) -> tuple[int, list[str]]:
    """Run Ray's launcher to its end. Its exit code and its lines, of which `say` gets each as it comes."""
    environment = {"RAY_USAGE_STATS_ENABLED": "0", "RAY_UP_enable_autoscaler_v2": "1", "PYTHONUNBUFFERED": "1", **os.environ}
    folder = file.path.absolute().parent
    with subprocess.Popen(
        [*RAY, *words],
        cwd=folder,
        env=environment,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        errors="replace",
    ) as process:
        lines: deque[str] = deque(maxlen=2000)
        for line in process.stdout or ():
            lines.append(line.rstrip())
            if say:
                say(lines[-1])
    return process.returncode, list(lines)


def _name(file: ClusterFile) -> str:
    return file.path.name


def _last(lines: list[str]) -> str:
    """The last lines that tell why it failed, or else the very last."""
    said = [line.strip() for line in lines if re.search(r"\w", line) and not line.lstrip().startswith(("File ", "raise "))]
    telling = list(dict.fromkeys(line for line in said if TELLING.search(line)))
    return " / ".join(textwrap.shorten(line, 300) for line in (telling or said)[-3:]) or "it said nothing"


def _status(report: str) -> ClusterStatus:
    sections: dict[str, list[str]] = {}
    current: list[str] = []
    for line in report.splitlines():
        if heading := re.fullmatch(r"(\w[\w ]*):", line.rstrip()):
            current = sections.setdefault(heading[1], [])
        elif line.startswith(" ") and line.strip() and not line.strip().startswith("(no "):
            current.append(line.strip())
        elif not line.strip():
            current = []
    names = ("Active", "Idle", "Pending", "Recent failures")
    active, idle, pending, failures = (tuple(sections.get(name, ())) for name in names)
    usage = next((tuple(lines) for name, lines in sections.items() if name in ("Usage", "Total Usage")), ())
    return ClusterStatus(True, report, active, idle, pending, failures, usage)


def _examples(file: ClusterFile) -> Iterator[str]:
    for number, line in enumerate(file.path.read_text(encoding="utf-8").splitlines(), start=1):
        if found := EXAMPLE.search(line.partition("#")[0]):
            yield f"{file.at()}:{number}: {found[0]} is an example that nobody owns; put in yours"


def _missing_files(file: ClusterFile) -> Iterator[str]:
    folder = file.path.absolute().parent
    key = (file.data.get("auth") or {}).get("ssh_private_key")
    if key and not (folder / Path(key).expanduser()).exists():
        yield f"{file.at('auth', 'ssh_private_key')}: auth.ssh_private_key: {key} is not there; give the key that opens your nodes"
    for remote, local in (file.data.get("file_mounts") or {}).items():
        if (folder / Path(local).expanduser()).exists():
            continue
        hint = "`ray get-auth-token --generate` makes the token, once" if local == TOKEN_FILE else f"it is meant from {folder}"
        yield f"{file.at('file_mounts', remote)}: file_mounts: {local} is not there; {hint}"


def _missing_programs(file: ClusterFile) -> Iterator[str]:
    module, package = SDK.get(file.provider, ("", ""))
    if module and importlib.util.find_spec(module.partition(".")[0]) is None:
        yield f"{file.at('provider', 'type')}: the provider {file.provider} needs its SDK here: {sys.executable} -m pip install {package}"
    if file.provider in WITHOUT_SSH:
        return
    missing = [program for program in ("ssh", "rsync") if shutil.which(program) is None]
    if missing:
        yield f"{' and '.join(missing)} cannot be found here, and Ray reaches its nodes by them; install {' and '.join(missing)}"


def _auth(file: ClusterFile) -> Iterator[str]:
    if file.settings.auth != "token":
        return
    for kind in ("head_start_ray_commands", "worker_start_ray_commands"):
        starts = [line for line in file.data.get(kind) or () if "ray start" in line]
        if any("RAY_AUTH_MODE=token" not in line for line in starts) or not starts:
            yield (
                f"{file.at(kind)}: {kind}: metadata.medley.auth says `token`, but `ray start` is not told so; write "
                "`RAY_AUTH_MODE=token ray start …`, or the nodes listen to everyone"
            )
    if TOKEN_FILE not in (file.data.get("file_mounts") or {}):
        yield f"{file.at('file_mounts')}: file_mounts: has no `{TOKEN_FILE}: {TOKEN_FILE}`, so the nodes get no token to compare with"
