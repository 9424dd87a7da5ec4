"""Reach MLflow, or say within seconds why not.

In: where MLflow is. Out: a client and the experiment's id. `probe` asks whether MLflow can be used without importing it (which
takes seconds), so that planning may ask too. Every failure becomes a TrackingError that says what was tried and what to do.
"""

from __future__ import annotations

import contextlib
import os
import tempfile
import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from tasks.contracts import Tracking
from tasks.errors import TrackingError
from tasks.tracking.server import probe_server, redacted, refusal

if TYPE_CHECKING:
    from mlflow import MlflowClient

SETTINGS = {
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "MLFLOW_DISABLE_AGENT_HINT": "true",
    "MLFLOW_LOGGING_LEVEL": "WARNING",
    "MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR": "false",
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "2",
    "MLFLOW_HTTP_REQUEST_BACKOFF_FACTOR": "1",
    "MLFLOW_HTTP_REQUEST_TIMEOUT": "30",
}
"""Environment variables set before MLflow is imported, where they are not set yet. MLflow's own retries go on for many minutes."""

_DATABASE_PORTS = {"postgresql": 5432, "mysql": 3306, "mssql": 1433}


@dataclass(frozen=True)
class Connection:
    """A client that answered, and the experiment that our runs and models belong to."""

    client: MlflowClient
    experiment_id: str
    uri: str


def connect(tracking: Tracking) -> Connection:
    """Probe, import MLflow, and find or make the experiment. Raises TrackingError."""
    if not tracking.uri:
        raise TrackingError(
            "no MLflow is configured, and this step needs one; set `tracking:` in the recipe, such as `tracking: sqlite:///mlflow.db`"
        )
    probe(tracking.uri)
    for name, value in SETTINGS.items():
        os.environ.setdefault(name, value)
    import mlflow

    with explained(tracking.uri, "opening the experiment"):
        if is_sqlite(tracking.uri):
            _make_database(sqlite_path(tracking.uri))
        mlflow.set_tracking_uri(tracking.uri)
        mlflow.set_registry_uri(tracking.uri)
        client = mlflow.MlflowClient(tracking.uri, tracking.uri)
        return Connection(client, _experiment(client, tracking), tracking.uri)


def probe(uri: str, timeout_s: float = 5.0, shared: bool = False) -> None:
    """Raises TrackingError unless MLflow could be used at `uri`; imports no MLflow and leaves nothing behind.

    http(s): its /health must answer. sqlite: file and folder must be writable. Other databases: their port must accept connections.
    `shared`: several machines must reach it, which a sqlite file cannot give.
    """
    scheme = urlsplit(uri).scheme.partition("+")[0]
    if scheme in ("http", "https"):
        probe_server(uri, timeout_s, _advice(uri))
    elif is_sqlite(uri):
        if shared:
            raise TrackingError(
                f"MLflow is set to {uri}, a file that other machines of the cluster cannot write; start a server that all reach, "
                "`mlflow server --backend-store-uri postgresql://… --artifacts-destination s3://… --host 0.0.0.0 --port 5000`, "
                "and set `tracking: http://<its host>:5000` in the recipe"
            )
        _probe_sqlite(uri)
    elif scheme in _DATABASE_PORTS:
        _probe_database(uri, timeout_s, _DATABASE_PORTS[scheme])
    elif scheme != "databricks" and uri != "databricks":
        raise TrackingError(
            f"MLflow cannot be used at {redacted(uri)!r}: set `tracking:` in the recipe to `http://…`, `sqlite:///…` or "
            "a database such as `postgresql://…` (MLflow refuses plain folders)"
        )


@contextlib.contextmanager
def explained(uri: str, doing: str) -> Iterator[None]:
    """What MLflow, its HTTP client or the file system raise inside becomes a TrackingError with what to do."""
    from mlflow.exceptions import MlflowException
    from requests.exceptions import RequestException
    from sqlalchemy.exc import SQLAlchemyError

    try:
        yield
    except (MlflowException, RequestException, SQLAlchemyError, OSError) as error:
        why = str(error).strip().partition("\n")[0][:300]
        if status := _refused(uri, error):
            raise TrackingError(f"{doing} was refused. {refusal(uri, status, str(error))}") from error
        raise TrackingError(f"{doing} in MLflow at {redacted(uri)} failed: {why}; {_advice(uri)}") from error


def _refused(uri: str, error: Exception) -> int:
    """401 or 403 when a server refused what was asked, else 0."""
    if urlsplit(uri).scheme not in ("http", "https"):
        return 0
    code = getattr(error, "error_code", "")
    told = str(error)
    if code == "UNAUTHENTICATED" or "error code 401" in told or "401 Client Error" in told:
        return 401
    return 403 if code == "PERMISSION_DENIED" or "error code 403" in told or "403 Client Error" in told else 0


def is_sqlite(uri: str) -> bool:
    return urlsplit(uri).scheme.partition("+")[0] == "sqlite"


def sqlite_path(uri: str) -> Path:
    """The file behind `sqlite:///relative` or `sqlite:////absolute`. Raises TrackingError for a database in memory."""
    path = uri.partition(":///")[2].partition("?")[0]
    if path in ("", ":memory:"):
        raise TrackingError(f"MLflow is set to {uri}, which keeps nothing; name a file: `tracking: sqlite:///mlflow.db`")
    return Path(path)


def _make_database(path: Path) -> None:
    """A new sqlite file with all of MLflow's tables, there whole or not at all.

    A process that is killed while MLflow makes them one after the other would leave a file that no later MLflow can open.
    """
    if path.exists():
        return
    from mlflow.store.db.utils import _initialize_tables, create_sqlalchemy_engine

    path.parent.mkdir(parents=True, exist_ok=True)
    scratch = path.with_name(f".{path.name}.{uuid.uuid4().hex}")
    try:
        engine = create_sqlalchemy_engine(f"sqlite:///{scratch.absolute()}")
        _initialize_tables(engine)
        engine.dispose()
        with contextlib.suppress(FileExistsError):  # another process was first
            os.link(scratch, path)
    finally:
        scratch.unlink(missing_ok=True)


def _experiment(client: MlflowClient, tracking: Tracking) -> str:
    """Id of the experiment, made when missing. A server decides itself where artifacts go."""
    from mlflow.exceptions import MlflowException

    found = client.get_experiment_by_name(tracking.experiment)
    if found is None:
        location = str(Path(tracking.artifact_root).absolute()) if tracking.artifact_root else None
        try:
            return str(client.create_experiment(tracking.experiment, artifact_location=location))
        except MlflowException:  # another process made it in between
            found = client.get_experiment_by_name(tracking.experiment)
            if found is None:
                raise
    if found.lifecycle_stage == "deleted":
        raise TrackingError(
            f"the MLflow experiment {tracking.experiment!r} was deleted; bring it back with "
            f"`mlflow experiments restore --experiment-id {found.experiment_id}`, or name another one in `tracking:`"
        )
    return str(found.experiment_id)


def _probe_database(uri: str, timeout_s: float, default_port: int) -> None:
    import socket

    parts = urlsplit(uri)
    try:
        with socket.create_connection((parts.hostname or "localhost", parts.port or default_port), timeout=timeout_s):
            return
    except (OSError, ValueError) as error:
        raise TrackingError(f"MLflow's database {redacted(uri)} cannot be reached ({error}); {_advice(uri)}") from error


def _probe_sqlite(uri: str) -> None:
    path = sqlite_path(uri).absolute()
    folder = next(parent for parent in path.parents if parent.exists())
    try:
        with tempfile.TemporaryFile(dir=folder):  # permission bits say nothing about read-only mounts, or to root
            pass
        if path.exists():
            with path.open("r+b") as file:
                header = file.read(16)
            if header not in (b"", b"SQLite format 3\0"):
                raise TrackingError(f"{path} is not a sqlite database; set `tracking:` in the recipe to another file")
    except OSError as error:
        raise TrackingError(f"MLflow's database {path} cannot be written ({error.strerror}); {_advice(uri)}") from error


def _advice(uri: str) -> str:
    again = "then run the same command again: what is finished is kept"
    parts = urlsplit(uri)
    if parts.scheme in ("http", "https"):
        port = parts.port or (443 if parts.scheme == "https" else 80)
        where = f"--host {parts.hostname} --port {port}"
        return (
            f"start it with `mlflow server --backend-store-uri sqlite:///mlflow.db {where}`, or set `tracking:` in the recipe "
            f"to a server that runs (or `sqlite:///…`), {again}"
        )
    if is_sqlite(uri):
        return f"make its folder writable, or set `tracking:` in the recipe to a file in another folder, {again}"
    return f"start the database, or set `tracking:` in the recipe to another address, {again}"
