"""Where MLflow is: what the recipe says, or a sqlite database inside the store. Imports nothing of MLflow."""

from __future__ import annotations

from pipeline.plan import Plan
from pipeline.store import LocalStore
from tasks.contracts import Tracking


def tracking(plan: Plan) -> Tracking:
    """Where MLflow is for a run of this plan."""
    recipe = plan.graph.recipe
    return Tracking(recipe.tracking, "", recipe.name) if recipe.tracking else store_tracking(plan.store, recipe.name)


def store_tracking(store: LocalStore, experiment: str) -> Tracking:
    """The sqlite database inside a store."""
    folder = store.root / "mlflow"
    return Tracking(f"sqlite:///{folder / 'mlflow.db'}", str(folder / "artifacts"), experiment)
