"""The nodes of the Ray that was joined, and whether they have room for what steps ask for.

In: Ray's own list of nodes. Out: `Node`s, and sentences about what no node, or not enough of them, can hold.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable, Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Node:
    """A node that is alive."""

    id: str
    host: str
    ip: str
    cpus: float = 0.0
    gpus: float = 0.0

    def __str__(self) -> str:
        return f"{self.host} ({self.ip})"

    def holds(self, cpus: float, gpus: float) -> int:
        """How many processes of this size fit on the node when it is empty."""
        counts = [int(have // wanted) for have, wanted in ((self.cpus, cpus), (self.gpus, gpus)) if wanted]
        return min(counts, default=sys.maxsize)


@dataclass(frozen=True)
class Need:
    """What one step asks for: so many processes of one size, at the same time."""

    step: str
    cpus: float
    gpus: float
    processes: int = 1


def alive() -> list[Node]:
    """The nodes of the Ray at hand, in the order of their addresses."""
    import ray

    nodes = [
        Node(
            node["NodeID"],
            node["NodeManagerHostname"],
            node["NodeManagerAddress"],
            node["Resources"].get("CPU", 0.0),
            node["Resources"].get("GPU", 0.0),
        )
        for node in ray.nodes()
        if node["Alive"]
    ]
    return sorted(nodes, key=lambda node: (node.ip, node.id))


def lacking(needs: Iterable[Need], nodes: Sequence[Node], coming: Sequence[Node] = (), at_most: int = 0) -> list[str]:
    """One sentence for each step that these nodes can never hold, even with `at_most` of those that may come."""
    return [_sentence(need, nodes, coming, at_most) for need in needs if _room(need, nodes, coming, at_most) < need.processes]


def _room(need: Need, nodes: Sequence[Node], coming: Sequence[Node], at_most: int) -> int:
    best = sorted((node.holds(need.cpus, need.gpus) for node in coming), reverse=True)[:at_most]
    return sum(best) + sum(node.holds(need.cpus, need.gpus) for node in nodes)


def _sentence(need: Need, nodes: Sequence[Node], coming: Sequence[Node], at_most: int) -> str:
    have = "; ".join(f"{node}: {node.cpus:g} CPUs and {node.gpus:g} GPUs" for node in [*nodes, *dict.fromkeys(coming)])
    if coming:
        have += f"; at most {at_most} may come on demand"
    size = f"{need.cpus:g} CPUs and {need.gpus:g} GPUs"
    room = _room(need, nodes, coming, at_most)
    if need.processes == 1:
        return f"step {need.step!r} asks for {size} in one process, but the nodes have {have}; lower its `resources:` or add a node"
    return (
        f"step {need.step!r} asks for {need.processes} workers of {size} each, but there is room for {room} of them ({have}); "
        "lower its `resources:` or add nodes"
    )
