"""Names of the recipe as names of modules. Imports no torch."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable


def slot(name: str) -> str:
    """A name inside a ModuleDict: never one of its own attributes (a label may be called `type`) and without dots."""
    return f"{name.replace('.', '/')}_"


def clashes(what: str, names: Iterable[str]) -> list[str]:
    """A sentence for names that would be one module, since the dot of one is the stroke of another."""
    together: dict[str, list[str]] = defaultdict(list)
    for name in sorted(names):
        together[slot(name)].append(repr(name))
    return [
        f"`{what}`: {' and '.join(each)} would be one part of the model, since a dot in a name is stored as a stroke; rename one of them"
        for each in together.values()
        if len(each) > 1
    ]
