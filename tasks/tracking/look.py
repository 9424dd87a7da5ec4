"""Versions as MLflow has them, and tags on those that are there: no experiment and no database is made.

In: where MLflow is. Out: tags. Raises TrackingError where it cannot be asked.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING

from tasks.contracts import Tracking
from tasks.errors import TrackingError
from tasks.tracking.connect import SETTINGS, explained, is_sqlite, probe, sqlite_path

if TYPE_CHECKING:
    from mlflow import MlflowClient


def version_tags(tracking: Tracking, name: str) -> dict[str, dict[str, str]]:
    """Number → tags, of every version of a registered model."""
    with client(tracking, f"reading the versions of {name!r}") as asked:
        found: dict[str, dict[str, str]] = {}
        token = None
        while True:
            page = asked.search_model_versions(f"name = '{name}'", max_results=1000, page_token=token)
            found |= {str(version.version): dict(version.tags) for version in page}
            if not (token := page.token):
                return found


def tag_version(tracking: Tracking, name: str, version: str, tags: Mapping[str, str]) -> bool:
    """Set tags of a version. False for one that MLflow does not have."""
    with client(tracking, f"tagging version {version} of {name!r}") as asked:
        from mlflow.exceptions import MlflowException

        try:
            known = asked.get_model_version(name, version).tags
        except MlflowException as error:
            if error.error_code != "RESOURCE_DOES_NOT_EXIST":
                raise
            return False
        for tag, value in tags.items():
            if known.get(tag) != value:
                asked.set_model_version_tag(name, version, tag, value)
        return True


@contextmanager
def client(tracking: Tracking, doing: str) -> Iterator[MlflowClient]:
    """A client that makes nothing by itself."""
    probe(tracking.uri)
    if is_sqlite(tracking.uri) and not sqlite_path(tracking.uri).exists():
        raise TrackingError(f"there is no MLflow database {sqlite_path(tracking.uri)}; give the address that the recipe's `tracking:` has")
    for name, value in SETTINGS.items():
        os.environ.setdefault(name, value)
    import mlflow

    with explained(tracking.uri, doing):
        yield mlflow.MlflowClient(tracking.uri, tracking.uri)
