"""Nodes that are not there yet: what the autoscaler of this head may still bring.

In: the file that `ray up` leaves on a head for its autoscaler. Out: `Node`s that could come, so that a step that asks for a GPU is not
refused only because the GPU nodes idle at none. Where Ray runs without an autoscaler, none.
"""

from __future__ import annotations

import contextlib
from pathlib import Path
from typing import Any

import yaml

from cluster.nodes import Node

BOOTSTRAP = Path("~/ray_bootstrap_config.yaml")
"""Where `ray up` puts the cluster's file on the head; the head's `ray start --autoscaling-config` names it."""


def to_come(here: str, path: Path = BOOTSTRAP) -> tuple[Node, ...]:
    """What may come, when the node `here` is a head that was started with an autoscaler; as many of each kind as the file allows."""
    if not _is_head(here):
        return ()
    try:
        config = yaml.safe_load(path.expanduser().read_text(encoding="utf-8"))
    except (OSError, ValueError, yaml.YAMLError):
        return ()
    return described(config)


def described(config: Any) -> tuple[Node, ...]:
    """The nodes beside the head that a cluster file allows."""
    found: list[Node] = []
    with contextlib.suppress(AttributeError, TypeError, ValueError):
        for name, kind in (config.get("available_node_types") or {}).items():
            if name == config.get("head_node_type"):
                continue
            have = kind.get("resources") or {}
            node = Node("", f"a node of type {name}", "on demand", float(have.get("CPU", 0)), float(have.get("GPU", 0)))
            found += [node] * int(kind.get("max_workers", config.get("max_workers", 0)))
    return tuple(found)


def _is_head(node_id: str) -> bool:
    import ray

    return any(node["NodeID"] == node_id and "node:__internal_head__" in node["Resources"] for node in ray.nodes())
