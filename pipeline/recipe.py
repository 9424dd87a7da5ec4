"""YAML recipe → typed steps.

In: a file, `--set` overrides. Out: a frozen `Recipe`, or one RecipeError with every mistake, each with file and line, what was
given, what is allowed and the closest name. Checks one step at a time; how steps hang together is `lint`'s. It is asked here too when a
step has a mistake, so that one report holds everything. Must not import ray, torch or mlflow.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from pydantic import Field

from pipeline import matrix, mixtures, positions
from pipeline.catalog import CATALOG, Task
from pipeline.edges import Outline
from pipeline.errors import RecipeError
from pipeline.explain import meant, validated
from pipeline.labels import label
from pipeline.lint import examine
from pipeline.places import Place, place
from pipeline.positions import Document, Unset, dotted
from pipeline.schedule import ScheduleConfig, wrong
from pipeline.steps import Recipe, Step, Variant
from tasks.contracts import Resources
from tasks.notify import WebhookConfig
from tasks.registry import Config, closest

__all__ = ["Header", "Recipe", "ResourcesConfig", "Step", "Variant", "load"]

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
    """Where everything is that the run makes: a folder, relative to the recipe, or the URL of a prefix in a bucket, `s3://bucket/prefix`."""
    tracking: str = ""
    """MLflow tracking URI; empty = a sqlite database inside the store. A relative path in it begins at the recipe."""
    seed: int = Field(default=0, ge=0, lt=2**32)
    """Seeds every random choice."""
    schedule: ScheduleConfig | None = None
    """When `medley schedule` runs it; null = only when somebody does. Enters no key."""
    webhooks: tuple[WebhookConfig, ...] = ()
    """Who is told of the decisions of promote steps. Enters no key."""


def load(
    path: Path, overrides: Sequence[str] = (), limit: int | None = None, store: Place | None = None, origin: Path | None = None
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
    if document.data is None and document.problems:
        raise RecipeError(*document.problems)
    path = origin.absolute() if origin else path
    if str(path.parent) not in sys.path:
        sys.path.append(str(path.parent))  # last, so that nothing of the user's own hides a module of ours
    if isinstance(document.data, dict):
        for assignment in overrides:
            positions.override(document, assignment)
        _limit(document, limit)
    recipe, outlines = _recipe(path, text, document)
    if document.problems:
        raise RecipeError(*document.in_order([*document.problems, *examine(recipe, outlines).problems]))
    return replace(recipe, store=store.absolute() if isinstance(store, Path) else store) if store else recipe


def _shown(path: Path) -> str:
    return str(path.relative_to(Path.cwd())) if path.is_relative_to(Path.cwd()) else str(path)


def _limit(document: Document, limit: int | None) -> None:
    if limit is None or not isinstance(document.data.get("steps"), dict):
        return
    if limit < 1:
        document.problems.append(f"--limit {limit}: needs a number of records, 1 or more")
        return
    for name, step in document.data["steps"].items():
        if isinstance(step, dict) and step.get("task") == "ingest":
            step["limit"] = limit
            document.origins["steps", name, "limit"] = f"--limit {limit}"


def _recipe(path: Path, text: str, document: Document) -> tuple[Recipe, dict[str, Outline]]:
    """The recipe with the steps that are sound by themselves, and an outline of every step; problems go into the document."""
    data = document.data
    if not isinstance(data, dict):
        what = f"{document.name}:1: a recipe is a mapping with `name:` and `steps:`, this is {type(data).__name__}"
        raise RecipeError(*(document.problems or [what]))
    keys = {key: value for key, value in data.items() if key != "steps"}
    header = validated(Header, keys, (), document, extra=("steps",)) or Header(name="unnamed")  # only until its problems are raised
    outlines, sound = {}, {}
    for name, value in _steps(data, document).items():
        outlines[name], step = _step(name, value, document)
        if step is not None:
            sound[name] = step
    store, tracking = _store(header.store, path.parent, document), _tracking(header.tracking, path.parent)
    if header.schedule:
        ingests = [name for name, task in CATALOG.items() if task.ingests]
        problems = wrong(header.schedule, [outline.task for outline in outlines.values()], ingests)
        document.problems.extend(f"{document.at(('schedule',))}: schedule: {problem}" for problem in problems)
    return Recipe(path, text, header.name, store, tracking, header.seed, sound, document, header.schedule, header.webhooks), outlines


def _steps(data: Mapping[str, Any], document: Document) -> Mapping[str, Any]:
    steps = data.get("steps")
    if isinstance(steps, dict) and steps:
        return steps
    misspelt = "steps" not in data and any(meant(key, [*Header.model_fields, "steps"], "steps") for key in data)
    if not isinstance(steps, Unset) and not misspelt:
        document.problems.append(
            f"{document.at(('steps',))}: steps: needs at least one step, such as `corpus: {{task: ingest, source: …}}`"
        )
    return {}


def _store(said: str, base_dir: Path, document: Document) -> Place:
    try:
        return place(said, base_dir)
    except RecipeError as error:
        document.problems.append(f"{document.at(('store',))}: {error}")
        return base_dir  # only until its problems are raised


def _tracking(uri: str, base_dir: Path) -> str:
    """A database that is named by a relative path lies beside the recipe: steps run in processes with other working folders."""
    scheme, _, path = uri.partition(":///")
    if not scheme.startswith("sqlite") or path.startswith(("/", ":")) or not path:
        return uri
    return f"{scheme}:///{(base_dir / path).resolve()}"


def _step(name: str, value: Any, document: Document) -> tuple[Outline, Step | None]:
    """A step as its neighbours see it, and as it is when nothing is wrong with it."""
    path = ("steps", name)
    before = len(document.problems)
    if not _NAME.fullmatch(name):
        where = f"{document.at(path)}: {dotted(path)}"
        document.problems.append(f"{where}: a step's name has letters, digits, `_`, `.` and `-` only; rename {name!r}")
    task = _task(value, path, document)
    if task is None:
        return Outline(name, "", {}), None
    fixed = (*_RESERVED, *task.inputs)
    rest = {key: item for key, item in value.items() if key not in fixed or key == "matrix"}
    inputs, told = _inputs(value, task, path, document)
    mixed = mixtures.read(value, task, path, document)
    inputs, told, rest = {**inputs, **mixed.inputs}, told | mixed.told, {**rest, **mixed.config}
    variants: tuple[Variant, ...] = ()
    if "matrix" in rest:
        variants = _variants(name, rest, task, document)
        config = variants[0].config if variants else None
    else:
        config = validated(task.config_class(), rest, path, document, extra=fixed)
    wide = validated(ResourcesConfig, value.get("resources") or {}, (*path, "resources"), document)
    outline = Outline(name, value["task"], inputs, "matrix" in rest, told)
    if config is None or wide is None or told or len(document.problems) > before:
        return outline, None
    resources = Resources(workers=wide.workers, cpus=wide.cpus, gpus=wide.gpus)
    return outline, Step(name, value["task"], config, inputs, resources, wide.retries, variants)


def _task(value: Any, path: positions.Path, document: Document) -> Task | None:
    given = value.get("task") if isinstance(value, dict) else value
    if isinstance(given, Unset):
        return None
    if not isinstance(value, dict) or not isinstance(given, str):
        document.problems.append(f"{document.at(path)}: {dotted(path)}: needs `task:`, one of {', '.join(CATALOG)}")
        return None
    if given not in CATALOG:
        where = f"{document.at((*path, 'task'))}: {dotted(path)}.task"
        document.problems.append(f"{where}: {given!r} is not known; allowed: {', '.join(CATALOG)}{closest(given, list(CATALOG))}")
    return CATALOG.get(given)


def _inputs(value: Mapping[str, Any], task: Task, path: positions.Path, document: Document) -> tuple[dict[str, str], frozenset[str]]:
    """What a step takes from where, and the inputs about which something is told already."""
    allowed = [*task.config_class().model_fields, *_RESERVED, *task.inputs]
    unknown = [key for key in value if key not in allowed]
    inputs, told = {}, set()
    for key in task.inputs:
        given = value.get(key)
        if isinstance(given, str):
            inputs[key] = given
        elif isinstance(given, list) and task.inputs[key].mixture:
            continue
        elif isinstance(given, Unset) or (given is None and any(meant(other, allowed, key) for other in unknown)):
            told.add(key)
        elif given is not None:
            document.problems.append(f"{document.at((*path, key))}: {dotted((*path, key))}: needs the name of a step, given {given!r}")
            told.add(key)
    return inputs, frozenset(told)


def _variants(name: str, value: Mapping[str, Any], task: Task, document: Document) -> tuple[Variant, ...]:
    """The checked variants of a step; none when one of them has a problem."""
    drafts = matrix.drafts(name, value, tuple(task.inputs), _RESERVED, document)
    extra = (*_RESERVED, *task.inputs)
    if not drafts:  # the rest of the step has mistakes of its own to tell; what it lacks, the matrix may be meant to give
        plain = {key: item for key, item in value.items() if key != "matrix"}
        validated(task.config_class(), plain, ("steps", name), document, extra=extra, partial=True)
    paths = list(dict.fromkeys(key for draft in drafts for key in draft.sets))
    found: list[Variant] = []
    problems: dict[str, list[str]] = {}
    for draft in drafts:
        config = None
        if not draft.document.problems:
            config = validated(task.config_class(), draft.data, ("steps", name), draft.document, extra=extra)
        for problem in draft.document.problems:
            problems.setdefault(problem, []).append(label(draft.sets, paths))
        if config is not None:
            found.append(Variant(draft.sets, config))
    document.problems.extend(matrix.told(problems, len(drafts)))
    return () if problems else tuple(found)
