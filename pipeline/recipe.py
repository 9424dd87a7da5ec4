"""YAML recipe → typed steps.

In: a file, `--set` overrides. Out: a frozen `Recipe`, or one RecipeError with every mistake, each with file and line, what was
given, what is allowed and the closest name. Checks one step at a time; how steps fit together is `graph`'s. Must not import ray,
torch or mlflow.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from pydantic import BaseModel, Field

from pipeline import matrix, positions
from pipeline.catalog import CATALOG, Task
from pipeline.errors import RecipeError
from pipeline.explain import validated
from pipeline.labels import label
from pipeline.positions import Document, dotted
from tasks.contracts import Resources
from tasks.registry import Config, closest

_RESERVED = ("task", "resources", "matrix")
_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]*")


class ResourcesConfig(Config):
    """Where and how wide a step runs. Changes no output and enters no key."""

    workers: int = Field(default=0, ge=0)
    """Training processes; 0 trains in the step's own process."""
    cpus: int = Field(default=1, ge=1)
    """CPU threads a training process uses."""
    gpus: int = Field(default=0, ge=0)
    """GPUs a training process uses."""
    retries: int = Field(default=2, ge=0)
    """How often a step is tried again when its process or node dies. Errors of the step itself are not retried."""


class Header(Config):
    """The recipe without its steps."""

    name: str = Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_.-]*$", max_length=100)
    """Names the run's experiment; letters, digits, `_`, `.` and `-`."""
    store: str = ".medley"
    """Folder for everything the run makes, relative to the recipe."""
    tracking: str = ""
    """MLflow tracking URI; empty = a sqlite database inside the store. A relative path in it begins at the recipe."""
    seed: int = Field(default=0, ge=0, lt=2**32)
    """Seeds every random choice."""


@dataclass(frozen=True)
class Variant:
    """One member of a step's matrix."""

    sets: Mapping[str, Any]
    """Dotted path in the step's config → value."""
    config: BaseModel


@dataclass(frozen=True)
class Step:
    """A named use of a task."""

    name: str
    task: str
    config: BaseModel
    inputs: Mapping[str, str]
    """input → the step's name or the outside reference it takes."""
    resources: Resources
    retries: int
    variants: tuple[Variant, ...] = ()
    """What `matrix:` makes of it; `config` is then that of the first."""
    family: str = ""
    """For a variant: the step of the recipe that it belongs to."""

    @property
    def path(self) -> positions.Path:
        """Where it stands in the recipe."""
        return ("steps", self.family or self.name)


@dataclass(frozen=True)
class Recipe:
    """A checked recipe."""

    path: Path
    text: str
    name: str
    store: Path
    tracking: str
    seed: int
    steps: Mapping[str, Step]
    document: Document
    """For messages with file and line."""

    @property
    def base_dir(self) -> Path:
        """Folder against which relative paths and dotted paths of the user's own resolve."""
        return self.path.parent


def load(
    path: Path, overrides: Sequence[str] = (), limit: int | None = None, store: Path | None = None, origin: Path | None = None
) -> Recipe:
    """Read and check a recipe. `limit` caps the records of each ingest step. Raises RecipeError with all problems.

    `origin` is where a copy that was packed for a cluster comes from: relative paths are meant from there.
    """
    path = path.absolute()
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is not UTF-8 text"
        raise RecipeError(f"{_shown(path)}: the recipe cannot be read ({reason}); give the path of a YAML file") from error
    path = origin.absolute() if origin else path
    document = positions.parse(text, _shown(path))
    if not document.problems:
        for assignment in overrides:
            positions.override(document, assignment)
        _limit(document, limit)
    if document.problems:
        raise RecipeError(*document.problems)
    if str(path.parent) not in sys.path:
        sys.path.append(str(path.parent))  # last, so that nothing of the user's own hides a module of ours
    recipe = _recipe(path, text, document)
    if document.problems:
        raise RecipeError(*document.problems)
    return replace(recipe, store=store.absolute()) if store else recipe


def _shown(path: Path) -> str:
    return str(path.relative_to(Path.cwd())) if path.is_relative_to(Path.cwd()) else str(path)


def _limit(document: Document, limit: int | None) -> None:
    if limit is None or not isinstance(document.data, dict) or not isinstance(document.data.get("steps"), dict):
        return
    if limit < 1:
        document.problems.append(f"--limit {limit}: needs a number of records, 1 or more")
    for name, step in document.data["steps"].items():
        if isinstance(step, dict) and step.get("task") == "ingest":
            step["limit"] = limit
            document.origins["steps", name, "limit"] = f"--limit {limit}"


def _recipe(path: Path, text: str, document: Document) -> Recipe:
    data = document.data
    if not isinstance(data, dict):
        raise RecipeError(f"{document.name}:1: a recipe is a mapping with `name:` and `steps:`, this is {type(data).__name__}")
    header = validated(Header, {key: value for key, value in data.items() if key != "steps"}, (), document, extra=("steps",))
    steps = data.get("steps")
    built: dict[str, Step] = {}
    if not isinstance(steps, dict) or not steps:
        document.problems.append(
            f"{document.at(('steps',))}: steps: needs at least one step, such as `corpus: {{task: ingest, source: …}}`"
        )
    else:
        for name, value in steps.items():
            step = _step(name, value, document)
            if step is not None:
                built[name] = step
    if header is None:
        raise RecipeError(*document.problems)
    return Recipe(
        path,
        text,
        header.name,
        (path.parent / header.store).resolve(),
        _tracking(header.tracking, path.parent),
        header.seed,
        built,
        document,
    )


def _tracking(uri: str, base_dir: Path) -> str:
    """A database that is named by a relative path lies beside the recipe: steps run in processes with other working folders."""
    scheme, _, path = uri.partition(":///")
    if not scheme.startswith("sqlite") or path.startswith(("/", ":")) or not path:
        return uri
    return f"{scheme}:///{(base_dir / path).resolve()}"


def _step(name: str, value: Any, document: Document) -> Step | None:
    path = ("steps", name)
    where = f"{document.at(path)}: {dotted(path)}"
    if not _NAME.fullmatch(name):
        document.problems.append(f"{where}: a step's name has letters, digits, `_`, `.` and `-` only; rename {name!r}")
        return None
    if not isinstance(value, dict) or not isinstance(value.get("task"), str):
        document.problems.append(f"{where}: needs `task:`, one of {', '.join(CATALOG)}")
        return None
    task = CATALOG.get(value["task"])
    if task is None:
        at = document.at((*path, "task"))
        hint = closest(value["task"], list(CATALOG))
        document.problems.append(f"{at}: {dotted(path)}.task: {value['task']!r} is not known; allowed: {', '.join(CATALOG)}{hint}")
        return None
    before = len(document.problems)
    inputs: dict[str, str] = {}
    for key in task.inputs:
        if value.get(key) is None:
            continue
        if not isinstance(value[key], str):
            document.problems.append(f"{document.at((*path, key))}: {dotted((*path, key))}: needs the name of a step, given {value[key]!r}")
            continue
        inputs[key] = value[key]
    fixed = (*_RESERVED, *task.inputs)
    rest = {key: item for key, item in value.items() if key not in fixed or key == "matrix"}
    if "matrix" in rest:
        variants = _variants(name, rest, task, document)
        config = variants[0].config if variants else None
    else:
        variants, config = (), validated(task.config_class(), rest, path, document, extra=fixed)
    wide = validated(ResourcesConfig, value.get("resources") or {}, (*path, "resources"), document)
    if config is None or wide is None or len(document.problems) > before:
        return None
    resources = Resources(workers=wide.workers, cpus=wide.cpus, gpus=wide.gpus)
    return Step(name, value["task"], config, inputs, resources, wide.retries, variants)


def _variants(name: str, value: Mapping[str, Any], task: Task, document: Document) -> tuple[Variant, ...]:
    """The checked variants of a step; none when one of them has a problem."""
    drafts = matrix.drafts(name, value, tuple(task.inputs), _RESERVED, document)
    paths = list(dict.fromkeys(key for draft in drafts for key in draft.sets))
    found: list[Variant] = []
    problems: dict[str, list[str]] = {}
    for draft in drafts:
        config = None
        if not draft.document.problems:
            config = validated(task.config_class(), draft.data, ("steps", name), draft.document, extra=(*_RESERVED, *task.inputs))
        for problem in draft.document.problems:
            problems.setdefault(problem, []).append(label(draft.sets, paths))
        if config is not None:
            found.append(Variant(draft.sets, config))
    document.problems.extend(matrix.told(problems, len(drafts)))
    return () if problems else tuple(found)
