"""Start Ray on this machine, or join the one that is there.

In: nothing, or an address in RAY_ADDRESS. Out: a Connection. Knows neither recipes nor tasks.
"""

from __future__ import annotations

import contextlib
import logging
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from cluster.errors import ClusterError, NoRoom

OBJECT_STORE_BYTES = 1 << 30
"""Only small rows travel through the object store, so a local one can be small."""


@dataclass(frozen=True)
class Connection:
    """A Ray that can be used."""

    local: bool
    """A single node of our own on this machine."""
    started: bool
    """We started it, so we end it."""
    cpus: float
    gpus: float

    def check_room(self, step: str, cpus: float, gpus: float) -> None:
        """Raises NoRoom when no node could ever hold a process of this size."""
        import ray

        nodes = [node["Resources"] for node in ray.nodes() if node["Alive"]]
        if any(node.get("CPU", 0) >= cpus and node.get("GPU", 0) >= gpus for node in nodes):
            return
        have = "; ".join(f"{node.get('CPU', 0):g} CPUs and {node.get('GPU', 0):g} GPUs" for node in nodes)
        raise NoRoom(
            f"step {step!r} asks for {cpus:g} CPUs and {gpus:g} GPUs in one process, but the nodes have: {have}; "
            "lower its `resources:` or add a node"
        )


@contextlib.contextmanager
def connected(code_root: Path) -> Iterator[Connection]:
    """Ray for the length of a block; one that was already there is left as it was. Raises ClusterError.

    `code_root` is where the packages lie: workers must find these and not a `tasks.py` of the working folder, which Ray would put
    first on their path.
    """
    import ray

    if ray.is_initialized():
        yield _connection(started=False)
        return
    logging.getLogger("ray").setLevel(logging.ERROR)
    address = os.environ.get("RAY_ADDRESS") or None
    options = {} if address else {"include_dashboard": False, "object_store_memory": OBJECT_STORE_BYTES}
    try:
        with contextlib.chdir(code_root):
            ray.init(
                address=address,
                log_to_driver=False,
                logging_level=logging.ERROR,
                job_config=ray.job_config.JobConfig(_py_driver_sys_path=[str(code_root)]),
                **options,
            )
    except (ConnectionError, RuntimeError, ValueError, OSError) as error:
        tried = f"join Ray at {address}" if address else "start Ray on this machine"
        raise ClusterError(f"could not {tried}: {error}; check RAY_ADDRESS, or unset it to run on this machine alone") from error
    try:
        yield _connection(started=True)
    finally:
        ray.shutdown()


def _connection(*, started: bool) -> Connection:
    import ray

    total = ray.cluster_resources()
    nodes = [node for node in ray.nodes() if node["Alive"]]
    here = ray.get_runtime_context().get_node_id()
    local = len(nodes) == 1 and nodes[0]["NodeID"] == here and not os.environ.get("RAY_ADDRESS")
    return Connection(local, started, total.get("CPU", 0), total.get("GPU", 0))
