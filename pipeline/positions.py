"""YAML text → plain data that remembers its lines.

In: text. Out: dicts, lists and scalars, and for every path in them the line it stands on. Duplicate keys, broken syntax and
missing `${env:NAME}` variables are reported with their line. Knows nothing of recipes.
"""

from __future__ import annotations

import math
import os
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

import yaml

Path = tuple[str | int, ...]

_VARIABLE = re.compile(r"\$\{env:([^}]*)\}")
_Loader: type[Any] = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


@dataclass(frozen=True)
class Unset:
    """Stands where a value needs a variable that is not set. That is told already; what only follows from it is not told as well."""

    text: str
    """As it is written."""

    def __str__(self) -> str:
        return self.text


@dataclass
class Document:
    """Parsed YAML with positions."""

    name: str
    """Shown before each line number, usually the file's path."""
    data: Any = None
    lines: dict[Path, int] = field(default_factory=dict)
    origins: dict[Path, str] = field(default_factory=dict)
    """Path → where a value came from when it is not the file: `--set a.b=c`."""
    problems: list[str] = field(default_factory=list)

    def at(self, path: Path) -> str:
        """`file:line`, or the command-line argument, of the deepest known part of a path."""
        while True:
            if path in self.origins:
                return self.origins[path]
            if path in self.lines:
                return f"{self.name}:{self.lines[path]}"
            if not path:
                return self.name
            path = path[:-1]

    def in_order(self, problems: Iterable[str]) -> list[str]:
        """Each once, by the lines they begin with; those of the command line stand last."""
        return sorted(dict.fromkeys(problems), key=self._line)

    def _line(self, problem: str) -> float:
        line = re.match(rf"{re.escape(self.name)}:(\d+):", problem)
        return int(line[1]) if line else math.inf


def parse(text: str, name: str, environment: Mapping[str, str] | None = None) -> Document:
    """Parse YAML; problems are collected in the document, none is raised."""
    document = Document(name)
    environment = os.environ if environment is None else environment
    loader = _Loader(text)
    try:
        node = loader.get_single_node()
    except yaml.MarkedYAMLError as error:
        line = error.problem_mark.line + 1 if error.problem_mark else 1
        hint = '; inside {…} a variable needs quotes: "${env:NAME}"' if "${" in "".join(text.splitlines()[line - 1 : line]) else ""
        document.problems.append(f"{name}:{line}: not valid YAML: {error.problem}{f' ({error.context})' if error.context else ''}{hint}")
        return document
    except yaml.YAMLError as error:
        document.problems.append(f"{name}: not valid YAML: {error}")
        return document
    if node is not None:
        document.data = _build(node, (), document, loader, environment)
    return document


def _build(node: yaml.Node, path: Path, document: Document, loader: Any, environment: Mapping[str, str]) -> Any:
    document.lines.setdefault(path, node.start_mark.line + 1)
    if isinstance(node, yaml.MappingNode):
        result: dict[str, Any] = {}
        for key_node, value_node in node.value:
            key = str(loader.construct_object(key_node))
            line = key_node.start_mark.line + 1
            if key in result:
                first = document.lines[(*path, key)]
                document.problems.append(f"{document.name}:{line}: {dotted((*path, key))}: given twice, first on line {first}; keep one")
                continue
            document.lines[(*path, key)] = line
            result[key] = _build(value_node, (*path, key), document, loader, environment)
        return result
    if isinstance(node, yaml.SequenceNode):
        return [_build(item, (*path, index), document, loader, environment) for index, item in enumerate(node.value)]
    value = loader.construct_object(node)
    if isinstance(value, str) and "${" in value:
        return _filled(value, path, document, environment)
    return value


def _filled(value: str, path: Path, document: Document, environment: Mapping[str, str]) -> Any:
    missing = [name for name in _VARIABLE.findall(value) if name not in environment]
    for name in missing:
        document.problems.append(
            f"{document.at(path)}: {dotted(path)}: the environment variable {name!r} is not set; "
            f"run `export {name}=…` first, or write the value here"
        )
    if missing:
        return Unset(value)
    filled = _VARIABLE.sub(lambda match: environment[match[1]], value)
    return yaml.safe_load(filled) if _VARIABLE.fullmatch(value) else filled


def holds_unset(value: Any) -> bool:
    """Does a value need a variable that is not set, itself or anywhere in it?"""
    if isinstance(value, dict | list):
        return any(map(holds_unset, value.values() if isinstance(value, dict) else value))
    return isinstance(value, Unset)


def override(document: Document, assignment: str) -> None:
    """Apply `--set a.b=value`; the value is YAML. A key of a mapping is made when missing, the mappings above it are not.

    `steps.model.matrix.model.fusion=[concat]` sets what the matrix has for the path `model.fusion`.
    """
    origin = f"--set {assignment}"
    target, equals, text = assignment.partition("=")
    if not equals or not target:
        document.problems.append(f"{origin}: give it as path=value, such as --set steps.model.epochs=1")
        return
    keys = _split(target)
    parent: Any = document.data
    path: Path = ()
    for key in keys[:-1]:
        if isinstance(parent, Unset):
            return
        step = _descend(parent, key)
        if step is None:
            allowed = ", ".join(map(str, parent)) if isinstance(parent, dict) else type(parent).__name__
            document.problems.append(f"{origin}: there is no {key!r} in {dotted(path) or 'the recipe'}; it has: {allowed}")
            return
        path = (*path, step)
        parent = parent[step]
    try:
        value = yaml.safe_load(text)
    except yaml.YAMLError as error:
        document.problems.append(f"{origin}: the value is not valid YAML: {error}")
        return
    last: str | int | None = keys[-1] if isinstance(parent, dict) else _descend(parent, keys[-1])
    if isinstance(parent, Unset):
        return
    if last is None:
        document.problems.append(f"{origin}: {dotted(path)} is {parent!r}, which has no {keys[-1]!r}")
        return
    parent[last] = value
    path = (*path, last)
    for known in [known for known in document.lines if known[: len(path)] == path]:
        del document.lines[known]
    document.origins[path] = origin


def _split(target: str) -> list[str]:
    """The keys of a path. A key of a step's matrix is itself a path, of the step's config."""
    keys = target.split(".")
    return [*keys[:3], ".".join(keys[3:])] if keys[0] == "steps" and keys[2:3] == ["matrix"] and len(keys) > 3 else keys


def _descend(parent: Any, key: str) -> str | int | None:
    if isinstance(parent, dict):
        return key if key in parent else None
    if isinstance(parent, list) and key.isdigit() and int(key) < len(parent):
        return int(key)
    return None


def dotted(path: Path) -> str:
    """`('steps', 'model', 0)` → `steps.model.0`."""
    return ".".join(map(str, path))
