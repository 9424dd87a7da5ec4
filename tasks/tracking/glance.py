"""MLflow's aliases at a glance: in milliseconds, without importing MLflow, whose import alone takes seconds.

In: where MLflow is and a name. Out: alias → version. A server is asked by its REST interface, a sqlite database by one query on MLflow's
table; a test holds both against what MLflow's own client says. Any other database is left to that client (`tasks.tracking.registry`).
"""

from __future__ import annotations

import contextlib
import json
import sqlite3
from urllib.parse import quote, urlsplit

from tasks.contracts import Tracking
from tasks.errors import TrackingError
from tasks.tracking.connect import is_sqlite, sqlite_path
from tasks.tracking.server import credentials, redacted, tls

TIMEOUT_S = 5.0


def aliases_at(tracking: Tracking, name: str) -> dict[str, str] | None:
    """Aliases of a registered model, empty when there is no such model. None = this database is not one to glance at.

    Raises TrackingError when MLflow cannot be asked. Writes nothing and makes no database.
    """
    if is_sqlite(tracking.uri):
        return _from_sqlite(tracking.uri, name)
    if urlsplit(tracking.uri).scheme in ("http", "https"):
        return _from_server(tracking.uri, name)
    return None


def _from_sqlite(uri: str, name: str) -> dict[str, str]:
    path = sqlite_path(uri).absolute()
    if not path.is_file():
        return {}
    try:
        with contextlib.closing(sqlite3.connect(f"file:{quote(str(path))}?mode=ro", uri=True, timeout=TIMEOUT_S)) as database:
            rows = database.execute("SELECT alias, version FROM registered_model_aliases WHERE name = ?", (name,)).fetchall()
    except sqlite3.Error as error:
        raise TrackingError(f"MLflow's database {path} cannot be asked for the aliases of {name!r} ({error})") from error
    return {str(alias): str(version) for alias, version in rows}


def _from_server(uri: str, name: str) -> dict[str, str]:
    from http.client import HTTPException
    from urllib.error import HTTPError
    from urllib.request import Request, urlopen

    address = f"{redacted(uri).rstrip('/')}/api/2.0/mlflow/registered-models/get?name={quote(name, safe='')}"
    try:
        with urlopen(Request(address, headers=credentials(uri)), timeout=TIMEOUT_S, context=tls(uri)) as answer:  # noqa: S310  http or https
            found = json.loads(answer.read())["registered_model"].get("aliases", [])
        return {str(entry["alias"]): str(entry["version"]) for entry in found}
    except HTTPError as error:
        if error.code == 404:
            return {}
        raise TrackingError(f"MLflow at {redacted(uri)} answers {error.code} when asked for the aliases of {name!r}") from error
    except (OSError, HTTPException, ValueError, KeyError, TypeError, AttributeError) as error:
        raise TrackingError(f"MLflow at {redacted(uri)} cannot be asked for the aliases of {name!r} ({error})") from error
