"""Where MLflow is: what the recipe says, or a sqlite database inside the store. Imports nothing of MLflow."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from pipeline.errors import NotFound, RecipeError
from pipeline.object_store import ObjectStore
from pipeline.store import LocalStore
from tasks.contracts import Tracking
from tasks.tracking.server import redacted

if TYPE_CHECKING:
    from pipeline.plan import Plan

SQLITE = "sqlite:///"


def tracking(plan: Plan) -> Tracking:
    """Where MLflow is for a run of this plan. Raises RecipeError for a store in a bucket that says nothing of it and registers."""
    recipe = plan.graph.recipe
    if isinstance(plan.store, ObjectStore) and not recipe.tracking and any(step.task == "register" for step in plan.steps.values()):
        raise RecipeError(
            f"{recipe.path}: tracking: the store {plan.store.url} is a bucket, where no sqlite database can lie, and MLflow counts "
            "versions; write `tracking: http://…` for a server, or `tracking: sqlite:////absolute/path.db` when one machine alone registers"
        )
    return (
        Tracking(recipe.tracking, _artifacts(recipe.tracking), recipe.name) if recipe.tracking else store_tracking(plan.store, recipe.name)
    )


def follower(plan: Plan) -> dict[str, str]:
    """Where the MLflow is that follows this plan's decisions, without a password, for `medley status`; nothing for a plan without any."""
    decides = any(step.task == "promote" for step in plan.steps.values())
    return {"tracking": redacted(tracking(plan).uri)} if decides else {}


def store_tracking(store: LocalStore, experiment: str) -> Tracking:
    """The sqlite database inside a store."""
    folder = store.root / "mlflow"
    return Tracking(f"sqlite:///{folder / 'mlflow.db'}", str(folder / "artifacts"), experiment)


def existing_tracking(store: LocalStore, uri: str) -> Tracking:
    """MLflow as it is: at `uri`, or the database inside the store. Raises NotFound where the store has none."""
    if uri:
        return Tracking(uri)
    found = store_tracking(store, "medley")
    if not (store.root / "mlflow" / "mlflow.db").exists():
        raise NotFound(f"the store {store.where} has no MLflow database of its own; give --tracking what the recipe's `tracking:` says")
    return found


def _artifacts(uri: str) -> str:
    """Beside a database of the user's own; MLflow itself would put them below whatever folder the command was typed in."""
    return str(Path(uri.removeprefix(SQLITE)).parent / "mlflow-artifacts") if uri.startswith(SQLITE) else ""
