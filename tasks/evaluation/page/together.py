"""Families of variants as one step each, so that the drawing of a run stays readable.

In: the steps of the lineage, with names such as `model[seed=0]`. Out: the steps as the recipe has them; a family's name tells how many it
is.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any


def together(steps: Sequence[Mapping[str, Any]], here: str) -> tuple[list[dict[str, Any]], str]:
    """The steps, and the name that `here` has among them."""
    sizes = Counter(_family(step["name"]) for step in steps)
    shown = {step["name"]: _shown(step["name"], sizes) for step in steps}
    members: dict[str, list[Mapping[str, Any]]] = {}
    for step in steps:
        members.setdefault(shown[step["name"]], []).append(step)
    return [_one(name, family, shown) for name, family in members.items()], shown.get(here, here)


def _family(name: str) -> str:
    return name.partition("[")[0]


def _shown(name: str, sizes: Mapping[str, int]) -> str:
    family = _family(name)
    return f"{family} × {sizes[family]}" if family != name else name


def _one(name: str, family: Sequence[Mapping[str, Any]], shown: Mapping[str, str]) -> dict[str, Any]:
    inputs = {_family(key): shown.get(source, source) for step in family for key, source in step["inputs"].items()}
    statuses = {step["status"] for step in family}
    key = family[0]["key"] if len(family) == 1 else ""
    return {**family[0], "name": name, "key": key, "inputs": inputs, "status": statuses.pop() if len(statuses) == 1 else "in part"}
