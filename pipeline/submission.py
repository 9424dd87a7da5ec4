"""What `medley submit` sends: a recipe, its options and the environment it may see become a request to a head.

In: a recipe and the options of a run. Out: a Submission: the plan when it can be made on this machine, and what the job is to run.
Must not import ray.

A job is named after what was asked for: the recipe with its overrides, the store, the user's own modules and, with `--strict-code`, our
code. That is known on any machine. The keys of the steps are better, since they change with the data, but they take the sources and the
store to know, which often only the cluster sees. So they do not name the job; where they are known they decide whether a running job is
the same work (`cluster.submit`), and whether anything is left to do.
"""

from __future__ import annotations

import hashlib
import os
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from cluster.package import RECIPE, Package, pack
from cluster.submit import Request, key_of
from pipeline import code, graph, journal, plan, recipe
from pipeline.bucket import Patience
from pipeline.errors import RecipeError, StoreError
from pipeline.object_store import ObjectStore
from pipeline.own_code import own_files
from pipeline.places import Place
from pipeline.stores import store_at

RESERVED = ("RAY_ADDRESS", "RAY_JOB_STOP_WAIT_TIME_S", "PYTHONPATH", "MEDLEY_COMMAND")
"""Variables that the job sets itself."""
ONE_LOOK = Patience(request_s=20.0, connect_s=5.0, retries=2, rounds=1)
"""For a bucket that perhaps only the cluster can open: nothing here depends on it."""


@dataclass(frozen=True)
class Submission:
    """What is to run on the cluster."""

    recipe: recipe.Recipe
    plan: plan.Plan | None
    """None when it cannot be made here."""
    unplanned: str
    """Why not."""
    request: Request
    notes: Sequence[str] = field(default_factory=tuple)
    """What one should know before it runs."""

    @property
    def package(self) -> Package:
        return self.request.package


def prepare(
    path: Path,
    overrides: Sequence[str] = (),
    *,
    limit: int | None = None,
    store: Place | None = None,
    until: str | None = None,
    workers: int | None = None,
    strict_code: bool = False,
    env: Sequence[str] = (),
    include: Sequence[str] = (),
    command: str = "",
) -> Submission:
    """Check the recipe, plan it if that is possible here, and pack. Raises RecipeError and TooLarge."""
    loaded = recipe.load(path, overrides, limit, store)
    built = graph.build(loaded)
    built.needed(until)
    environment = variables(env, os.environ)
    made, why = _planned(built, until, strict_code=strict_code)
    own = own_files(loaded, include)
    arguments = ["run", RECIPE, "--origin", str(loaded.path), "--store", str(loaded.store)]
    arguments += [word for assignment in overrides for word in ("--set", assignment)]
    options = {"--limit": limit, "--until": until, "--workers": workers}
    arguments += [str(word) for option, value in options.items() if value is not None for word in (option, value)]
    arguments += ["--strict-code"] if strict_code else []
    request = Request(
        name=loaded.name,
        key=_key(loaded, own, until, strict_code=strict_code),
        plan=key_of({name: step.key for name, step in made.steps.items()}) if made else "",
        code=code.revision(),
        arguments=arguments,
        environment={**environment, "MEDLEY_COMMAND": command},
        package=pack(code.ROOT, loaded.path, own),
    )
    return Submission(loaded, made, why, request, _notes(loaded, env))


def variables(names: Sequence[str], environment: Mapping[str, str]) -> dict[str, str]:
    """The named variables with their values. Raises RecipeError with every name that will not do."""
    problems = []
    for name in names:
        if "=" in name:
            problems.append(
                f"--env {name.partition('=')[0]}=…: takes a name alone; a value on a command line is there for others to see, "
                "so export the variable first"
            )
        elif not re.fullmatch(r"[A-Za-z_]\w*", name):
            problems.append(f"--env {name!r}: is no name of a variable")
        elif name in RESERVED:
            problems.append(f"--env {name}: is set by the job itself; leave it out")
        elif name not in environment:
            problems.append(f"--env {name}: is not set here; `export {name}=…` first, or leave it out if the cluster sets its own")
    if problems:
        raise RecipeError(*problems)
    return {name: environment[name] for name in names}


def _planned(built: graph.Graph, until: str | None, *, strict_code: bool) -> tuple[plan.Plan | None, str]:
    store = store_at(built.recipe.store)
    if isinstance(store, ObjectStore):
        store = replace(store, patience=ONE_LOOK)
    if not isinstance(store, ObjectStore) and not store.root.is_dir():
        return None, f"the store {store.root} is not on this machine, or not yet"
    previous = journal.last_parts(store.root, built.recipe.name)
    try:
        return plan.make(built, store, until, strict_code=strict_code, previous=previous), ""
    except RecipeError as error:
        return None, error.problems[0]
    except StoreError as error:
        if not isinstance(store, ObjectStore):
            raise
        return None, str(error)  # only the cluster may have what opens the bucket


def _key(loaded: recipe.Recipe, own: Mapping[str, Path], until: str | None, *, strict_code: bool) -> str:
    return key_of(
        {
            "recipe": loaded.document.data,
            "folder": str(loaded.base_dir),
            "store": str(loaded.store),
            "until": until,
            "own": {name: hashlib.sha256(file.read_bytes()).hexdigest() for name, file in own.items()},
            "code": code.revision() if strict_code else "",
        }
    )


def _notes(loaded: recipe.Recipe, env: Sequence[str]) -> list[str]:
    read = dict.fromkeys(re.findall(r"\$\{env:([^}]*)\}", loaded.text))
    return [
        f"the recipe reads {name} from the environment: the cluster's own value counts, unless you pass this machine's with --env {name}"
        for name in read
        if name not in env
    ]
