"""Nodes that are not there yet: what the autoscaler of this head may still bring.

In: the file that `ray up` leaves on a head for its autoscaler, and the nodes that are alive. Out: `Node`s that could come, so that a step
that asks for a GPU is not refused only because the GPU nodes idle at none. Where Ray runs without an autoscaler, none.
"""

from __future__ import annotations

import contextlib
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import yaml

from cluster.nodes import Node

BOOTSTRAP = Path("~/ray_bootstrap_config.yaml")
"""Where `ray up` puts the cluster's file on the head; the head's `ray start --autoscaling-config` names it."""


def to_come(here: str, alive: Sequence[Node], path: Path = BOOTSTRAP) -> tuple[tuple[Node, ...], int]:
    """What may come beside those that are alive, when the node `here` is a head that was started with an autoscaler; see `described`."""
    if not _is_head(here):
        return (), 0
    try:
        config = yaml.safe_load(path.expanduser().read_text(encoding="utf-8"))
    except (OSError, ValueError, yaml.YAMLError):
        return (), 0
    return described(config, [node for node in alive if node.id != here])


def described(config: Any, workers: Sequence[Node] = ()) -> tuple[tuple[Node, ...], int]:
    """The nodes that a cluster file still allows when `workers` are alive beside the head, and how many of them together.

    A worker counts as one of the first type that has its CPUs and GPUs and is not full; one that fits none counts against the cluster's
    own `max_workers` alone.
    """
    found: list[Node] = []
    left = 0
    with contextlib.suppress(AttributeError, TypeError, ValueError):
        left = max(0, int(config.get("max_workers", 0)) - len(workers))
        shapes = Counter((node.cpus, node.gpus) for node in workers)
        for name, kind in (config.get("available_node_types") or {}).items():
            if name == config.get("head_node_type"):
                continue
            have = kind.get("resources") or {}
            node = Node("", f"a node of type {name}", "on demand", float(have.get("CPU", 0)), float(have.get("GPU", 0)))
            allowed = int(kind.get("max_workers", left + len(workers)))
            there = min(allowed, shapes[node.cpus, node.gpus])
            shapes[node.cpus, node.gpus] -= there
            found += [node] * min(allowed - there, left)
    return tuple(found), min(left, len(found))


def _is_head(node_id: str) -> bool:
    import ray

    return any(node["NodeID"] == node_id and "node:__internal_head__" in node["Resources"] for node in ray.nodes())
