"""What `medley drift` compares: from what a person gives to shards, models, folders, tables and logs.

In: `digits@champion`, a recipe, or a folder of shards for the reference; for the new data also a step of the recipe, a corpus, a folder, a
table or a log of requests. Out: where it is. Reads no media. Must not import ray, torch or mlflow.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from pipeline import versions
from pipeline.errors import NotFound, RecipeError
from pipeline.places import Place
from pipeline.store import LocalStore
from pipeline.stores import known_store, store_at
from tasks.registry import closest

Kind = Literal["shards", "corpus", "source", "requests"]


@dataclass(frozen=True)
class ShardsSide:
    """Shards in a store, or a copy of some outside of one."""

    path: Path
    key: str
    """Of the artifact."""
    store: LocalStore | None
    """Where its sketches are kept; None = nowhere."""


@dataclass(frozen=True)
class ModelSide:
    """What looks at the samples beside the raw features."""

    path: Path
    key: str
    report: Path | None = None
    """A report of it, which has a sketch of what it saw in one split."""


@dataclass(frozen=True)
class ReferenceSide:
    """What the new data are compared with."""

    name: str
    """As a person calls it."""
    shards: tuple[ShardsSide, ...]
    """Several where the model was trained on a mixture."""
    model: ModelSide | None = None
    recipe_steps: Mapping[str, str] | None = None
    """Step → key, of the recipe that was given; the new data may name one."""


@dataclass(frozen=True)
class NewSide:
    """What is compared with the reference."""

    name: str
    kind: Kind
    path: Path
    shards: ShardsSide | None = None


@dataclass(frozen=True)
class RecipeOptions:
    """How a recipe is read, where one is given."""

    step: str = ""
    """The shard step that is the reference, where there are several."""
    overrides: tuple[str, ...] = ()
    limit: int | None = None


def find_reference(given: str, place: Place | None = None, options: RecipeOptions | None = None) -> ReferenceSide:
    """`place`: the store of a registered model, `.medley` by default; in place of the one that a recipe names.

    Raises NotFound and RecipeError.
    """
    path = Path(given)
    if (path / "shards.json").exists():
        return ReferenceSide(_called(path), (_shards_at(path),))
    if path.is_file():
        return _of_recipe(path, place, options or RecipeOptions())
    if not versions.is_reference(given, store_at(place or Path(".medley"))):
        raise NotFound(
            f"{given} is no recipe, no folder of shards (it has no shards.json) and no registered model; give a recipe's YAML file, the "
            "folder that `medley run RECIPE --json` names as `artifact`, or NAME@ALIAS such as digits@champion"
        )
    return _of_model(known_store(place or Path(".medley")), given)


def _of_model(store: LocalStore, given: str) -> ReferenceSide:
    version = versions.find(store, given)
    keys = _shards_of_model(store, version.model_key) or [key for tag, key in sorted(version.tags.items()) if _is_shards_tag(tag)]
    if not keys:
        raise NotFound(f"{version.uri}: its lineage names no shards; give their folder, or the recipe, in its place")
    model = _model_in(store, version.model_key, version.report_key) if store.manifest(version.model_key) is not None else None
    shards = tuple(_shards_in(store, key, f"{version.uri} was trained on") for key in keys)
    called = given.removeprefix("models:/")
    return ReferenceSide(f"{called}, version {version.number}" if "@" in called else version.uri, shards, model)


def _is_shards_tag(tag: str) -> bool:
    return tag.startswith("medley.shards") and tag.endswith("_key")


def _shards_of_model(store: LocalStore, model_key: str) -> list[str]:
    """Keys of what a model was trained on, as its own manifest has them."""
    inputs = (store.manifest(model_key) or {}).get("inputs", {})
    return [key for name, key in sorted(inputs.items()) if name.partition("[")[0] == "shards" and isinstance(key, str)]


def _of_recipe(path: Path, place: Place | None, options: RecipeOptions) -> ReferenceSide:
    from pipeline import graph as graphs
    from pipeline import plan as plans
    from pipeline import recipe

    loaded = recipe.load(path, list(options.overrides), options.limit, place)
    plan = plans.make(graphs.build(loaded), store_at(loaded.store))
    names = [name for name, planned in plan.steps.items() if planned.task == "shard"]
    step = options.step
    if step and step not in names:
        raise RecipeError(
            f"--step {step}: {path} has no shard step of that name{closest(step, names)}; it has: {', '.join(names) or 'none'}"
        )
    if not step and len(names) != 1:
        raise RecipeError(f"{path} has {len(names)} shard steps ({', '.join(names) or 'none'}); say with --step which one is the reference")
    chosen = plan.steps[step or names[0]]
    if not chosen.cached:
        raise NotFound(f"the step {chosen.name!r} of {path} is not made yet ({chosen.why}); first: medley run {path} --until {chosen.name}")
    models = [one for one in plan.steps.values() if one.task == "train" and one.cached and chosen.key in one.parts["inputs"].values()]
    reports = (
        [
            one.key
            for one in plan.steps.values()
            if one.task == "evaluate" and one.cached and one.parts["inputs"].get("model") == models[0].key
        ]
        if len(models) == 1
        else []
    )
    return ReferenceSide(
        f"{loaded.name}, step {chosen.name}",
        (_shards_in(plan.store, chosen.key, f"{path} has"),),
        _model_in(plan.store, models[0].key, reports[0] if reports else "") if len(models) == 1 else None,
        {name: planned.key for name, planned in plan.steps.items()},
    )


def _model_in(store: LocalStore, key: str, report: str) -> ModelSide:
    return ModelSide(store.bring(key), key, store.bring(report) if report and store.manifest(report) is not None else None)


def _shards_in(store: LocalStore, key: str, who: str) -> ShardsSide:
    if store.manifest(key) is None:
        raise NotFound(
            f"{who} the shards {key[:12]}, which are not in the store {store.where} any more; run the recipe that made them, or give "
            "other shards"
        )
    return ShardsSide(store.bring(key), key, store)


def _called(path: Path) -> str:
    """An artifact by the beginning of its key, anything else by its path."""
    return f"artifact {path.absolute().name[:12]}" if len(path.absolute().name) == 64 else str(path)


def _shards_at(path: Path) -> ShardsSide:
    """Inside of a store the folder is named by its key."""
    folder = path.absolute()
    root = folder.parents[2] if len(folder.parents) > 2 else folder
    in_store = (root / "FORMAT").exists() and folder.parent.parent.name == "artifacts"
    return ShardsSide(folder, folder.name if in_store else "", LocalStore(root) if in_store else None)


def find_new(given: str, reference: ReferenceSide) -> NewSide:
    """Raises NotFound for what is neither there nor a step of the reference's recipe."""
    steps = reference.recipe_steps or {}
    if given in steps:
        store = reference.shards[0].store
        assert store is not None, "a recipe has a store"
        manifest = store.manifest(steps[given])
        if manifest is None:
            raise NotFound(f"the step {given!r} is not made yet; run the recipe first, with --until {given}")
        if manifest["kind"] not in ("shards", "corpus"):
            raise RecipeError(f"--against {given}: that step makes a {manifest['kind']}; name one that makes shards or a corpus")
        path = store.bring(steps[given])
        return NewSide(f"step {given}", manifest["kind"], path, _shards_at(path) if manifest["kind"] == "shards" else None)
    path = Path(given)
    if (path / "shards.json").exists():
        return NewSide(_called(path), "shards", path.absolute(), _shards_at(path))
    if (path / "corpus.json").exists():
        return NewSide(_called(path), "corpus", path.absolute())
    if path.is_dir():
        return NewSide(given, "source", path.absolute())
    if path.is_file():
        return NewSide(given, _kind_of_file(path), path.absolute())
    hint = f"; steps of the recipe: {', '.join(steps)}{closest(given, list(steps))}" if steps else ""
    raise NotFound(
        f"--against {given}: not there; give a folder of media, a table, a log of requests (.jsonl), shards, a corpus"
        f"{', or a step of the recipe' if steps else ''}{hint}"
    )


def _kind_of_file(path: Path) -> Kind:
    from tasks.drift.request_log import is_log

    return "requests" if path.suffix == ".jsonl" and is_log(path) else "source"


def raw_records(path: Path) -> tuple[Any, Path]:
    """Records of a folder or a table, as `medley init` would read it, and the folder their relative uris are below."""
    from pipeline.draft.layout import find_layout
    from tasks.registry import implementation
    from tasks.sources import SOURCES

    layout = find_layout(path)
    source = implementation(SOURCES, layout.source.format)(layout.source, path.parent)
    return list(source.records(path)), path
