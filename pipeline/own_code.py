"""Which files of the user's own a recipe needs beside itself.

In: a loaded recipe. Out: name in a package → file: the modules that it names by dotted path (`my_encoders:Mine`) and whatever they import
that lies beside the recipe, found as Python itself would find it. A module that only happens to lie there is not among them.
"""

from __future__ import annotations

import ast
import importlib.machinery
import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from cluster.package import CODE, below
from pipeline.errors import RecipeError
from pipeline.steps import Recipe

DOTTED = re.compile(r"([A-Za-z_]\w*)(?:\.[A-Za-z_]\w*)*:[A-Za-z_]\w*")


def own_files(recipe: Recipe, include: Sequence[str] = ()) -> dict[str, Path]:
    """Modules of the user's own, and what `include` names: files or folders beside the recipe. Raises RecipeError."""
    found: dict[str, Path] = {}
    waiting = set(_named(recipe.document.data))
    seen: set[str] = set()
    while waiting:
        module = waiting.pop()
        if module in seen or module in CODE:
            continue
        seen.add(module)
        for path in _files(module, recipe.base_dir):
            found[path.relative_to(recipe.base_dir).as_posix()] = path
            if path.suffix == ".py":
                waiting |= set(_imported(path))
    for given in include:
        found |= _included(given, recipe.base_dir)
    return found


def _named(value: Any) -> Iterator[str]:
    if isinstance(value, dict):
        for item in value.values():
            yield from _named(item)
    elif isinstance(value, list):
        for item in value:
            yield from _named(item)
    elif isinstance(value, str) and (match := DOTTED.fullmatch(value)):
        yield match[1]


def _files(module: str, base_dir: Path) -> list[Path]:
    """Of a top-level module or package, when it comes from beside the recipe; `recipe.load` put that folder on the path."""
    spec = importlib.machinery.PathFinder.find_spec(module)
    if spec is None:
        return []
    if spec.submodule_search_locations is not None:
        return [path for folder in spec.submodule_search_locations if Path(folder).parent == base_dir for path in below(Path(folder))]
    return [Path(spec.origin)] if spec.origin and Path(spec.origin).parent == base_dir else []


def _imported(path: Path) -> Iterator[str]:
    for node in ast.walk(ast.parse(path.read_bytes(), filename=str(path))):
        if isinstance(node, ast.Import):
            yield from (alias.name.partition(".")[0] for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.level == 0 and node.module:
            yield node.module.partition(".")[0]


def _included(given: str, base_dir: Path) -> dict[str, Path]:
    path = (base_dir / given).absolute()
    if not path.exists() or base_dir.resolve() not in path.resolve().parents:
        raise RecipeError(f"--include {given}: there is no such file or folder beside the recipe, in {base_dir}; give a path below it")
    paths = below(path) if path.is_dir() else [path]
    return {one.relative_to(base_dir).as_posix(): one for one in paths}
