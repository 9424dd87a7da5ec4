"""Start Ray on this machine, or join the one that is there.

In: nothing, or an address (the option, else RAY_ADDRESS). Out: a Connection. Knows neither recipes nor tasks.
"""

from __future__ import annotations

import contextlib
import logging
import os
import socket
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from cluster.errors import ClusterError, NoRoom, Unreachable
from cluster.growth import to_come
from cluster.nodes import Need, Node, alive, lacking

OBJECT_STORE_BYTES = 1 << 30
"""Only small rows travel through the object store, so a local one can be small."""
REACH_S = 5.0
"""How long a head may take to accept a connection."""
NONE_HERE = (
    "no Ray runs on this machine; `--address auto` is for a machine of the cluster, so start it there with `ray start --head` or "
    "`ray start --address=<head>:6379`, or leave `--address` away to run on this machine alone"
)


@dataclass(frozen=True)
class Connection:
    """A Ray that can be used."""

    local: bool
    """A single node of our own on this machine."""
    started: bool
    """We started it, so we end it."""
    cpus: float
    gpus: float
    nodes: Sequence[Node] = ()
    """Those that were alive when it was joined."""
    to_come: Sequence[Node] = ()
    """Those that an autoscaler may bring, as many of each type as may come."""
    come_at_most: int = 0
    """How many of them together."""

    @property
    def several(self) -> bool:
        """More machines than this one take part."""
        return len(self.nodes) + self.come_at_most > 1

    def check_room(self, need: Need) -> None:
        """Raises NoRoom when the nodes that are alive now, or may come, could never hold it."""
        for sentence in self.lacking([need], alive()):
            raise NoRoom(sentence)

    def lacking(self, needs: Iterable[Need], nodes: Sequence[Node]) -> list[str]:
        """One sentence for each step that these nodes and those that may come could never hold."""
        return lacking(needs, nodes, self.to_come, self.come_at_most)


@contextlib.contextmanager
def connected(code_root: Path, address: str | None = None) -> Iterator[Connection]:
    """Ray for the length of a block; one that was already there is left as it was. Raises ClusterError.

    `address` (`auto`, or the head's host:port) comes before RAY_ADDRESS; without either, Ray is started here. `code_root` is where the
    packages lie: workers must find these and not a `tasks.py` of the working folder, which Ray would put first on their path.
    """
    address = _checked(address or os.environ.get("RAY_ADDRESS") or "")
    import ray

    if ray.is_initialized():
        yield _connection(joined=bool(address), started=False)
        return
    if address == "auto":
        address = _of_this_machine()
    logging.getLogger("ray").setLevel(logging.ERROR)
    options = {} if address else {"include_dashboard": False, "object_store_memory": OBJECT_STORE_BYTES}
    try:
        with contextlib.chdir(code_root):
            ray.init(
                address=address or None,
                log_to_driver=False,
                logging_level=logging.ERROR,
                job_config=ray.job_config.JobConfig(_py_driver_sys_path=[str(code_root)]),
                **options,
            )
    except SystemExit:  # what Ray makes of SIGTERM while it starts
        raise KeyboardInterrupt from None
    except Exception as error:  # a plain Exception where a node's start timed out, which a busy machine brings about
        if address:
            raise Unreachable(_could_not_join(address, error)) from error
        raise ClusterError(
            f"could not start Ray on this machine: {error}; `ray stop` ends what an earlier one left, and on a busy machine a later try "
            "may do"
        ) from error
    try:
        yield _connection(joined=bool(address), started=True)
    finally:
        ray.shutdown()


def _checked(address: str) -> str:
    """The address as `ray.init` takes it, empty for a Ray of our own. Raises ClusterError for one that cannot be used, in seconds."""
    if address.startswith("ray://"):
        raise ClusterError(
            f"{address} is an address of Ray Client, through which Medley cannot run; log in to a machine of the cluster and use "
            "`--address auto` there, or send the run from here with `medley submit RECIPE --address http://<head>:8265`"
        )
    if address.startswith(("http://", "https://")):
        raise ClusterError(
            f"{address} is the address of a head's job server; `medley submit RECIPE --address {address}` sends a run there, "
            "and on a machine of the cluster `--address auto` joins it"
        )
    if address in ("", "local", "auto"):
        return "" if address == "local" else address
    host, _, port = address.rpartition(":")
    if not host or not port.isdigit():
        raise ClusterError(f"the address {address!r} is no address of a Ray head; give `auto`, or its host and port such as 10.0.0.1:6379")
    try:
        socket.create_connection((host.strip("[]"), int(port)), timeout=REACH_S).close()
    except (OSError, OverflowError) as error:
        raise Unreachable(
            f"no Ray head answers at {address} within {REACH_S:g} s ({error}); start it with `ray start --head --port={port}`, "
            "or take `--address` and RAY_ADDRESS away to run on this machine alone"
        ) from error
    return address


def _of_this_machine() -> str:
    """The address that `auto` stands for, found as Ray finds it. Raises Unreachable.

    Left to itself, Ray waits for minutes for a head that has died and whose address still lies about.
    """
    from ray._private.services import canonicalize_bootstrap_address

    named = os.environ.get("RAY_ADDRESS", "")
    if named not in ("", "auto"):
        return _checked(named)
    try:
        found = canonicalize_bootstrap_address("auto") or ""
    except ConnectionError as error:
        raise Unreachable(NONE_HERE) from error
    try:
        return _checked(found)
    except Unreachable as error:
        raise Unreachable(f"the Ray that ran last on this machine no longer answers at {found}: {NONE_HERE}") from error


def _could_not_join(address: str, error: Exception) -> str:
    text = str(error).strip()
    if "Version mismatch" in text:
        return (
            f"this machine cannot join Ray at {address}. {text}\nrun `medley` with the Ray and the Python that the cluster was started with"
        )
    return (
        f"could not join Ray at {address}: {text}; run `medley` on a machine of the cluster, and with the cluster's token "
        "(RAY_AUTH_MODE=token and ~/.ray/auth_token) when it has one"
    )


def _connection(*, joined: bool, started: bool) -> Connection:
    import ray

    total = ray.cluster_resources()
    nodes = alive()
    here = ray.get_runtime_context().get_node_id()
    local = len(nodes) == 1 and nodes[0].id == here and not joined
    coming = to_come(here, nodes) if joined else ((), 0)
    return Connection(local, started, total.get("CPU", 0), total.get("GPU", 0), tuple(nodes), *coming)
