"""Before the first step: what the steps to run need of the nodes, and what a node tells about itself.

In: a plan and a connection. Out: nothing, or one `Unfit` with every problem. A Ray of our own on this machine is asked for room alone; it
shares everything else with this process. Must not import ray.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cluster.errors import Unfit
from cluster.nodes import Need
from cluster.preflight import Fact, preflight
from pipeline import code
from pipeline.catalog import CATALOG
from pipeline.errors import Shadowed
from pipeline.object_store import ObjectStore
from pipeline.sizes import size
from tasks.contracts import Tracking
from tasks.errors import TaskError
from tasks.registry import add_code_dir, implementation
from tasks.sources import SOURCES

if TYPE_CHECKING:
    from cluster.connect import Connection
    from pipeline.plan import Plan
    from pipeline.store import LocalStore

THERE, ABSENT = "there", "not there"
SAME_LIBRARY = "install the same versions on every node (`pip install -r requirements.lock`)"


@dataclass(frozen=True)
class About:
    """What a node is asked about. Plain values: no code of the user's own travels with it."""

    base_dir: Path
    """The recipe's folder."""
    steps: Mapping[str, tuple[str, Mapping[str, Any]]]
    """Step → its task and the parts of its key, for the steps to run."""
    tracking: str
    """MLflow's address; empty when no step to run needs it."""
    places: Mapping[str, tuple[Path, ...]] = field(default_factory=dict)
    """Step → the files and folders that it reads from outside the store."""


def check(plan: Plan, connection: Connection, tracking: Tracking) -> None:
    """Raises Unfit when a step to run cannot run on these nodes."""
    problems = connection.lacking([_need(plan, name, connection) for name in plan.to_run], connection.nodes)
    if connection.several:
        tracked = tracking.uri if any(CATALOG[plan.steps[name].task].tracked for name in plan.to_run) else ""
        problems += _tracking_problems(tracked)
        steps = {name: (plan.steps[name].task, dict(plan.steps[name].parts)) for name in plan.to_run}
        about = About(plan.graph.recipe.base_dir, steps, tracked if tracked.startswith("http") else "", places(plan))
        folder = plan.store.scratch().parent
        problems += preflight(connection.nodes, folder, _words_for(plan.store), f"{__name__}:tell", about)
    if problems:
        raise Unfit(*problems)


def _words_for(store: LocalStore) -> str:
    copies = isinstance(store, ObjectStore)
    return f"the folder for copies of {store.where}, {store.root} (MEDLEY_CACHE)," if copies else f"the store {store.root}"


def _need(plan: Plan, name: str, connection: Connection) -> Need:
    wanted, resources = size(plan, name, local=connection.local), plan.graph.recipe.steps[name].resources
    if wanted.workers:
        return Need(name, resources.cpus, resources.gpus, wanted.workers)
    cpus = wanted.cpus or 1  # a step that takes none itself drives processes of one
    return Need(name, min(cpus, connection.cpus) if connection.local else cpus, wanted.gpus)


def _tracking_problems(uri: str) -> list[str]:
    from tasks.tracking.connect import probe

    try:
        if uri:
            probe(uri, shared=True)
    except TaskError as error:
        return [str(error)]
    return []


def tell(about: About) -> dict[str, Fact]:
    """What a machine, this one or a node, has of what the steps need."""
    facts = {"packages": Fact(_packages(), "rename what hides them, or start Ray there from another folder")}
    facts["Medley's code"] = Fact(
        code.revision(), "install the same Medley on every node, or use `medley submit`, which takes the code along", str(code.ROOT)
    )
    for name, version in code.libraries().items():
        if name != "ray":  # asked already, and by itself
            facts[name] = Fact(version.partition("+")[0] or "not installed", SAME_LIBRARY)
    add_code_dir(about.base_dir)
    for name, (task, parts) in about.steps.items():
        facts |= _of_step(name, task, parts, about.base_dir)
    for name, read in about.places.items():
        facts |= {f"the source of step {name!r}, {path},": Fact(_presence(path), "mount it there at the same path") for path in read}
    if about.tracking:
        facts[f"MLflow at {about.tracking}"] = Fact(
            _mlflow(about.tracking), "let every node reach the server: look at its --host and at firewalls"
        )
    return facts


def _of_step(name: str, task: str, parts: Mapping[str, Any], base_dir: Path) -> dict[str, Fact]:
    code_of = f"the code of step {name!r}"
    try:
        config = CATALOG[task].config_class().model_validate(parts["config"])
        identity = None if task == "ingest" else CATALOG[task].hook("identity")
        told = dict(_leaves(identity(config, base_dir), "")) if identity else {}
    except (TaskError, ImportError, ValueError) as error:
        return {code_of: Fact(str(error), "put the recipe's folder where every node sees it at the same path")}
    facts = {code_of: Fact("importable", "")}
    facts |= {f"{key} of step {name!r}": Fact(str(value)[:16], SAME_LIBRARY, _versions(task)) for key, value in told.items()}
    return facts


def places(plan: Plan) -> dict[str, tuple[Path, ...]]:
    """What the steps to run read from outside the store, as this machine sees it. Raises SourceError when it is not here either."""
    base_dir, found = plan.graph.recipe.base_dir, {}
    add_code_dir(base_dir)
    for name in plan.to_run:
        step = plan.steps[name]
        config = CATALOG[step.task].config_class().model_validate(step.parts["config"])
        if hasattr(config, "source"):
            found[name] = _read_by(config.source, base_dir)
    return found


def _read_by(source: Any, base_dir: Path) -> tuple[Path, ...]:
    """What a source says with `places`, else its one `path`; the recipe's folder where it says neither."""
    made = implementation(SOURCES, source.format)(source, base_dir)
    if hasattr(made, "places"):
        return tuple(base_dir / place for place in made.places())
    path = getattr(source, "path", ".")
    return (base_dir / Path(path if isinstance(path, str) else ".").expanduser(),)


def _leaves(value: Any, path: str) -> Iterator[tuple[str, Any]]:
    if isinstance(value, Mapping):
        for key in sorted(value):
            yield from _leaves(value[key], f"{path}.{key}" if path else str(key))
    else:
        yield path, value


def _versions(task: str) -> str:
    if task != "shard":
        return ""
    from tasks.modalities.fingerprint import codec_versions

    return ", ".join(f"{name} {version}" for name, version in codec_versions().items())


def _packages() -> str:
    try:
        code.check_packages()
    except Shadowed as error:
        return str(error)
    return "Medley's own"


def _presence(path: Path) -> str:
    if not path.exists():
        return ABSENT
    if path.is_dir():
        return f"{THERE} and readable" if os.access(path, os.R_OK | os.X_OK) else f"{THERE}, not readable"
    return f"{THERE} with {path.stat().st_size} bytes" if os.access(path, os.R_OK) else f"{THERE}, not readable"


def _mlflow(uri: str) -> str:
    from tasks.tracking.connect import probe

    try:
        probe(uri, shared=True)
    except TaskError as error:
        return str(error)
    return "answering"
