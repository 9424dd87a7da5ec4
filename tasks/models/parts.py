"""Parts of a model by the names that a recipe calls them by: `encoders.image`, `trunk`, `heads.digit`.

In: a `ModelConfig`. Out: part → where its weights stand among the model's. Imports no torch, so that a recipe is checked without it.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from tasks.models.names import slot
from tasks.registry import closest

if TYPE_CHECKING:
    from tasks.models.config import ModelConfig


def places(config: ModelConfig) -> dict[str, str]:
    """Part → what the names of its weights begin with. Every weight stands in one part."""
    named = {
        "encoders": sorted(config.encoders),
        "missing": sorted(config.encoders),
        "branches": sorted(config.encoders) if config.branch_trunk else [],
        "heads": sorted(config.heads),
        "objectives": sorted(config.objectives),
    }
    found = {f"{group}.{name}": f"{group}.{slot(name)}" for group, names in named.items() for name in names}
    whole = ["fusion", *(["trunk"] if config.joint_trunk else []), *(["log_variances"] if config.weighting == "uncertainty" else [])]
    return {**found, **{name: name for name in whole}}


def chosen(names: Iterable[str], config: ModelConfig) -> list[str]:
    """The parts that some names mean, each once, in the order of `places`; `encoders` means all of them. Unknown ones mean nothing."""
    wanted = set(names)
    return [part for part in places(config) if part in wanted or part.partition(".")[0] in wanted]


def unknown(names: Iterable[str], config: ModelConfig) -> str:
    """What is wrong with names that mean no part; empty = nothing."""
    parts = list(places(config))
    allowed = sorted({*parts, *(part.partition(".")[0] for part in parts)})
    for name in names:
        if name not in allowed:
            return f"{name!r} is no part of this model{closest(name, allowed)}; its parts are: {', '.join(allowed)}"
    return ""


def within(name: str, place: str) -> bool:
    """Whether a weight of this name stands in a part's place."""
    return name == place or name.startswith(f"{place}.")
