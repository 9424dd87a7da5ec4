"""Where MLflow is: what the recipe says, or a sqlite database inside the store. Imports nothing of MLflow."""

from __future__ import annotations

from pipeline.errors import RecipeError
from pipeline.object_store import ObjectStore
from pipeline.plan import Plan
from pipeline.store import LocalStore
from tasks.contracts import Tracking


def tracking(plan: Plan) -> Tracking:
    """Where MLflow is for a run of this plan. Raises RecipeError for a store in a bucket that says nothing of it and registers."""
    recipe = plan.graph.recipe
    if isinstance(plan.store, ObjectStore) and not recipe.tracking and any(step.task == "register" for step in plan.steps.values()):
        raise RecipeError(
            f"{recipe.path}: tracking: the store {plan.store.url} is a bucket, where no sqlite database can lie, and versions are counted "
            "by MLflow; write `tracking: http://…` for a server, or `tracking: sqlite:////absolute/path.db` when one machine alone registers"
        )
    return Tracking(recipe.tracking, "", recipe.name) if recipe.tracking else store_tracking(plan.store, recipe.name)


def store_tracking(store: LocalStore, experiment: str) -> Tracking:
    """The sqlite database inside a store."""
    folder = store.root / "mlflow"
    return Tracking(f"sqlite:///{folder / 'mlflow.db'}", str(folder / "artifacts"), experiment)
