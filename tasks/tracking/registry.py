"""Registered versions and aliases in MLflow.

In: a model folder and its lineage. Out: a version whose tags lead back to everything it was made from. The model is logged as
models-from-code (`logged_model.py`). Registering is idempotent: a version that carries the key of
the step is that step's version. Aliases are a projection of the promotion log (`tasks/promotions.py`) and may be set again at will.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from tasks.contracts import Lineage, Tracking
from tasks.errors import TrackingError
from tasks.tracking.connect import Connection, connect, explained
from tasks.tracking.logged_model import find_logged_model, log_model

if TYPE_CHECKING:
    from mlflow.entities.model_registry import ModelVersion

STEP_KEY_TAG = "medley.step_key"
MODEL_KEY_TAG = "medley.model_key"

_MAX_TAG = 5000


@dataclass(frozen=True)
class RegisteredVersion:
    """A version in MLflow's registry."""

    name: str
    version: str
    run_id: str
    tags: Mapping[str, str]

    @property
    def uri(self) -> str:
        return f"models:/{self.name}/{self.version}"


def register_version(
    tracking: Tracking, name: str, model: Path, *, step_key: str, run_id: str, tags: Mapping[str, str], lineage: Lineage, scratch: Path
) -> RegisteredVersion:
    """Log the model folder and make a version of it, or find the version this step made before. Raises TrackingError.

    `scratch` is a folder for one copy of the model on its way.
    """
    connection = connect(tracking)
    tags = {tag: value[:_MAX_TAG] for tag, value in tags.items() if value} | {STEP_KEY_TAG: step_key}
    with explained(connection.uri, f"registering {name!r}"):
        if (version := _version_of(connection, name, step_key)) is None:
            model_id = find_logged_model(connection, {STEP_KEY_TAG: step_key}) or log_model(
                connection, name, model, run_id, tags, lineage, scratch
            )
            _make_registered_model(connection, name)
            made = connection.client.create_model_version(name, f"models:/{model_id}", run_id, tags=tags, model_id=model_id)
            shown = json.dumps([{"name": name, "version": made.version}])
            connection.client.set_logged_model_tags(model_id, {"mlflow.modelVersions": shown})  # by which MLflow's pages link the two
            version = _version_of(connection, name, step_key)
        if version is None:
            raise TrackingError(f"MLflow at {connection.uri} took a version of {name!r} but does not list it; run the same command again")
        return _registered(version)


def read_alias(tracking: Tracking, name: str, alias: str) -> str:
    """Number of the version that MLflow's alias names now; empty when it names none. Raises TrackingError."""
    connection = connect(tracking)
    with explained(connection.uri, f"reading the alias {alias!r} of {name!r}"):
        return _alias(connection, name, alias)


def set_alias(tracking: Tracking, name: str, alias: str, version: str) -> bool:
    """Let MLflow's alias name this version; empty removes the alias. False when it did already. Raises TrackingError."""
    connection = connect(tracking)
    with explained(connection.uri, f"setting the alias {alias!r} of {name!r}"):
        if _alias(connection, name, alias) == version:
            return False
        if version:
            connection.client.set_registered_model_alias(name, alias, version)
        else:
            connection.client.delete_registered_model_alias(name, alias)
        return True


def _alias(connection: Connection, name: str, alias: str) -> str:
    from mlflow.exceptions import MlflowException

    try:
        return str(connection.client.get_registered_model(name).aliases.get(alias, ""))
    except MlflowException as error:
        if error.error_code != "RESOURCE_DOES_NOT_EXIST":
            raise
        return ""


def _registered(version: ModelVersion) -> RegisteredVersion:
    return RegisteredVersion(version.name, str(version.version), version.run_id or "", dict(version.tags))


def _version_of(connection: Connection, name: str, step_key: str) -> ModelVersion | None:
    """The version this step made; the lowest, should two processes have made one at once."""
    found = connection.client.search_model_versions(f"name = '{name}' and tags.`{STEP_KEY_TAG}` = '{step_key}'")
    return min(found, key=lambda version: int(version.version), default=None)


def _make_registered_model(connection: Connection, name: str) -> None:
    from mlflow.exceptions import MlflowException

    try:
        connection.client.create_registered_model(name)
    except MlflowException as error:
        if error.error_code != "RESOURCE_ALREADY_EXISTS":
            raise
