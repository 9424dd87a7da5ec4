"""How many processes a step takes of the cluster, and how large they are.

In: a plan and whether Ray is our own single node. Out: a Size. Changes no output and enters no key.
"""

from __future__ import annotations

from dataclasses import dataclass

from pipeline.catalog import CATALOG
from pipeline.plan import Plan


@dataclass(frozen=True)
class Size:
    """What a step asks for."""

    cpus: int
    gpus: int
    """Of its own process; none for a step that only drives others."""
    workers: int
    """Training processes; 0 trains in the step's own process."""


def size(plan: Plan, name: str, *, local: bool) -> Size:
    """What a step asks for. Training has workers wherever Ray is not our own single node, so that it outlives a node."""
    step = plan.graph.recipe.steps[name]
    task = CATALOG[step.task]
    workers = step.resources.workers or (0 if local or not task.trains else 1)
    if task.cpus == 0 or workers:
        return Size(0, 0, workers)
    return Size(max(task.cpus, step.resources.cpus), step.resources.gpus, 0)
