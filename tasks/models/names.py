"""Names of the recipe as names of modules."""

from __future__ import annotations


def slot(name: str) -> str:
    """A name inside a ModuleDict: never one of its own attributes (a label may be called `type`) and without dots."""
    return f"{name.replace('.', '/')}_"
