"""Runs by our own tags: found when they are there, made once when they are not.

In: a connection, a tag and its value. Out: MLflow runs. MLflow has no "create if absent", so two processes may both make a run; then both
go on with the one that MLflow lists first.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from tasks.contracts import Lineage
from tasks.tracking.connect import Connection

if TYPE_CHECKING:
    from mlflow.entities import Run

RUN_TAG = "medley.run"
"""On parent and child: the pipeline run."""
KEY_TAG = "medley.key"
"""On a child: key of the model it trains."""
KIND_TAG = "medley.kind"
PARENT_TAG = "mlflow.parentRunId"


def find(connection: Connection, tags: Mapping[str, str]) -> Run | None:
    """The earliest run with all these tags."""
    where = " and ".join(f"tags.`{name}` = '{value}'" for name, value in tags.items())
    found = connection.client.search_runs([connection.experiment_id], where, max_results=1, order_by=["attributes.start_time ASC"])
    return found[0] if found else None


def find_or_make(connection: Connection, name: str, identity: Mapping[str, str], tags: Mapping[str, str]) -> tuple[Run, bool]:
    """The run whose tags hold `identity`, and whether it was made now, with `tags` beside."""
    client = connection.client
    if (found := find(connection, identity)) is not None:
        return found, False
    made = client.create_run(connection.experiment_id, run_name=name, tags={**tags, **identity})
    first = find(connection, identity) or made
    if first.info.run_id == made.info.run_id:
        return made, True
    client.delete_run(made.info.run_id)
    return first, False


def parent_run(connection: Connection, lineage: Lineage) -> str:
    """Id of the run that stands for the pipeline run at hand, running."""
    identity = {RUN_TAG: lineage.run, KIND_TAG: "pipeline"}
    name = f"{lineage.recipe_name} {lineage.run}".strip() or "medley"
    run, is_new = find_or_make(connection, name, identity, lineage_tags(lineage))
    if is_new and lineage.recipe_text:
        connection.client.log_text(run.info.run_id, lineage.recipe_text, "recipe.yaml")
    elif run.info.status != "RUNNING":
        connection.client.update_run(run.info.run_id, status="RUNNING")
    return str(run.info.run_id)


def lineage_tags(lineage: Lineage) -> dict[str, str]:
    return {"medley.recipe": lineage.recipe_name, RUN_TAG: lineage.run, "medley.code_revision": lineage.code_revision}
