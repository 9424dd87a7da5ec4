"""Whether the cluster still holds a training's workers, and how many of them when it does not.

In: the nodes that Ray knows. Out: a number of workers. A training whose nodes are gone would otherwise wait for ever.
"""

from __future__ import annotations

import sys
import time

from tasks.contracts import Resources
from tasks.errors import InputError

BACK_S = 60.0
"""How long a lost node may take to come back before training goes on without it."""
COME_S = 1800.0
"""How long a node that an autoscaler is to bring may take before training begins without it."""
LOOK_S = 2.0
"""How often the nodes are looked at."""


def room(resources: Resources) -> int:
    """How many workers of this size fit on the nodes that are alive, each on one node."""
    import ray

    nodes = [node["Resources"] for node in ray.nodes() if node["Alive"]]
    return sum(_holds(node, resources) for node in nodes)


def _holds(node: dict[str, float], resources: Resources) -> int:
    wanted = {"CPU": resources.cpus, "GPU": resources.gpus}
    return min((int(node.get(name, 0.0) // each) for name, each in wanted.items() if each), default=sys.maxsize)


def check(workers: int, resources: Resources, *, checked: bool) -> None:
    """Raises InputError when the workers can never be held. `checked`: they could when the run began, so that nodes are lost or come."""
    import ray

    if not ray.is_initialized():
        ray.init(log_to_driver=False)
    there = room(resources)
    if there >= workers or checked:
        return
    raise InputError(
        f"training asks for {workers} workers of {resources.cpus} CPU and {resources.gpus} GPU each, but the cluster has room for "
        f"{there}; lower `resources.workers`, `resources.cpus` or `resources.gpus`, or add nodes, and run the same recipe again"
    )


class Watch:
    """Looks now and then whether a running training can still be held."""

    def __init__(self, workers: int, resources: Resources, streams: int) -> None:
        self.workers, self.resources, self.streams = workers, resources, streams
        self._next = 0.0
        self._lost_at: float | None = None
        self._patience_s = COME_S if resources.growing else BACK_S

    def fewer(self) -> int | None:
        """None as long as all is well, or may become well again; else the number of workers to go on with, 0 when none has room."""
        now = time.monotonic()
        if now < self._next:
            return None
        self._next = now + LOOK_S
        there = room(self.resources)
        if there >= self.workers:
            self._lost_at, self._patience_s = None, BACK_S
            return None
        self._lost_at = self._lost_at or now
        if now - self._lost_at < self._patience_s:
            return None
        return max((number for number in range(1, there + 1) if self.streams % number == 0), default=0)
