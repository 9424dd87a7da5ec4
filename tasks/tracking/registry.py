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
from tasks.evaluation.model_card import without_front_matter
from tasks.tracking.connect import Connection, connect, explained
from tasks.tracking.logged_model import find_logged_model, log_model

if TYPE_CHECKING:
    from mlflow.entities.model_registry import ModelVersion

STEP_KEY_TAG = "medley.step_key"
MODEL_KEY_TAG = "medley.model_key"

_MAX_TAG = 5000
_MAX_DESCRIPTION = 5000
_CUT = "…\n\nThe whole card is `README.md` beside the model."


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
    tracking: Tracking,
    name: str,
    model: Path,
    *,
    step_key: str,
    run_id: str,
    tags: Mapping[str, str],
    lineage: Lineage,
    scratch: Path,
    card: str = "",
) -> RegisteredVersion:
    """Log the model folder and make a version of it, or find the version this step made before. Raises TrackingError.

    `scratch` is a folder for one copy of the model on its way. `card` is Markdown, kept whole beside the model and as the description.
    """
    connection = connect(tracking)
    tags = {tag: value[:_MAX_TAG] for tag, value in tags.items() if value} | {STEP_KEY_TAG: step_key}
    with explained(connection.uri, f"registering {name!r}"):
        if (version := _version_of(connection, name, step_key)) is None:
            model_id = find_logged_model(connection, {STEP_KEY_TAG: step_key}) or log_model(
                connection, name, model, run_id, tags, lineage, scratch, card
            )
            _make_registered_model(connection, name)
            made = connection.client.create_model_version(
                name, f"models:/{model_id}", run_id, tags=tags, model_id=model_id, description=_description(card)
            )
            shown = json.dumps([{"name": name, "version": made.version}])
            connection.client.set_logged_model_tags(model_id, {"mlflow.modelVersions": shown})  # by which MLflow's pages link the two
            version = _version_of(connection, name, step_key)
        if version is None:
            raise TrackingError(f"MLflow at {connection.uri} took a version of {name!r} but does not list it; run the same command again")
        return _registered(version)


def _description(card: str) -> str | None:
    """The card as far as MLflow's databases take it, without what only hubs read."""
    if not card:
        return None
    text = without_front_matter(card)
    return text if len(text) <= _MAX_DESCRIPTION else f"{text[: _MAX_DESCRIPTION - len(_CUT)]}{_CUT}"


def read_aliases(tracking: Tracking, name: str) -> dict[str, str]:
    """Alias → version as MLflow has them now; empty for a name that it does not know. Raises TrackingError."""
    connection = connect(tracking)
    with explained(connection.uri, f"reading the aliases of {name!r}"):
        return _aliases(connection, name)


def set_aliases(tracking: Tracking, name: str, wanted: Mapping[str, str]) -> list[str]:
    """Let MLflow's aliases name these versions; empty removes one, others stay. The aliases that did not yet. Raises TrackingError."""
    connection = connect(tracking)
    with explained(connection.uri, f"setting the aliases of {name!r}"):
        there = _aliases(connection, name)
        changed = [alias for alias, version in wanted.items() if there.get(alias, "") != version]
        for alias in changed:
            if wanted[alias]:
                connection.client.set_registered_model_alias(name, alias, wanted[alias])
            else:
                connection.client.delete_registered_model_alias(name, alias)
        return changed


def record_decision(tracking: Tracking, name: str, version: str, tags: Mapping[str, str], file_name: str, document: str) -> None:
    """Tags on a version, and a document among the artifacts of the run it came from. Again is fine. Raises TrackingError."""
    connection = connect(tracking)
    with explained(connection.uri, f"noting the decision on version {version} of {name!r}"):
        found = connection.client.get_model_version(name, version)
        there = dict(found.tags)
        for tag, value in tags.items():
            if there.get(tag, "") != (text := value[:_MAX_TAG]):
                connection.client.set_model_version_tag(name, version, tag, text)
        if found.run_id:
            connection.client.log_text(found.run_id, document, file_name)


def _aliases(connection: Connection, name: str) -> dict[str, str]:
    from mlflow.exceptions import MlflowException

    try:
        return {alias: str(version) for alias, version in connection.client.get_registered_model(name).aliases.items()}
    except MlflowException as error:
        if error.error_code != "RESOURCE_DOES_NOT_EXIST":
            raise
        return {}


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
