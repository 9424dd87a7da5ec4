"""An MLflow server: is it there, and does it take us; if not, why, and what to do.

In: its address; the login from the environment or the address, as MLflow's own client takes it. Out: nothing, or a TrackingError. Imports
no MLflow, so that planning may ask.
"""

from __future__ import annotations

import base64
import os
from typing import TYPE_CHECKING
from urllib.parse import unquote, urlsplit, urlunsplit

from tasks.errors import TrackingError

if TYPE_CHECKING:
    import ssl

_AGAIN = "then run the same command again: what is finished is kept"


def probe_server(uri: str, timeout_s: float, advice: str) -> None:
    """`/health` says whether a server is there, to anyone; one question to its interface, whether it takes us."""
    from http.client import HTTPException
    from urllib.error import HTTPError
    from urllib.request import Request, urlopen

    base = redacted(uri).rstrip("/")
    asked = {f"{base}/health": {}, f"{base}/api/2.0/mlflow/experiments/search?max_results=1": credentials(uri)}
    for address, login in asked.items():
        try:
            with urlopen(Request(address, headers=login), timeout=timeout_s, context=tls(uri)):  # noqa: S310  http or https, by the caller
                continue
        except HTTPError as error:
            if error.code not in (401, 403):
                raise TrackingError(
                    f"{address} answers with status {error.code}, so no working MLflow server is there; {advice}"
                ) from error
            if login or not address.endswith("/health"):  # else a proxy in front, which asks for the login here already
                raise TrackingError(refusal(uri, error.code, error.read(500).decode("utf-8", "replace"))) from error
        except (OSError, HTTPException, ValueError) as error:
            why = getattr(error, "reason", None) or error
            raise TrackingError(f"no MLflow server answers at {base}/health within {timeout_s:g} s ({why}); {advice}") from error


def credentials(uri: str) -> dict[str, str]:
    """The header with which MLflow's own client would log in: from the environment, or from the address."""
    if token := os.environ.get("MLFLOW_TRACKING_TOKEN"):
        return {"Authorization": f"Bearer {token}"}
    user, password = _login(uri)
    if not user:
        return {}
    return {"Authorization": f"Basic {base64.b64encode(f'{user}:{password}'.encode()).decode()}"}


def _login(uri: str) -> tuple[str, str]:
    parts = urlsplit(uri)
    user = os.environ.get("MLFLOW_TRACKING_USERNAME") or unquote(parts.username or "")
    return user, os.environ.get("MLFLOW_TRACKING_PASSWORD") or unquote(parts.password or "")


def refusal(uri: str, status: int, said: str) -> str:
    """Why a server that is there does not take us, and what to do."""
    shown, user = redacted(uri), _login(uri)[0]
    if "Invalid Host header" in said:
        return (
            f"MLflow at {shown} refuses to be called {urlsplit(uri).netloc.rpartition('@')[2]!r}: start the server with `--allowed-hosts` "
            f"and this name in the list (or MLFLOW_SERVER_ALLOWED_HOSTS), or set `tracking:` in the recipe to a name it allows, {_AGAIN}"
        )
    if status == 401 and not user and not os.environ.get("MLFLOW_TRACKING_TOKEN"):
        return (
            f"MLflow at {shown} asks who you are: set MLFLOW_TRACKING_USERNAME and MLFLOW_TRACKING_PASSWORD (or MLFLOW_TRACKING_TOKEN) "
            f"where this runs, on every machine of a cluster, {_AGAIN}"
        )
    who = f"the user {user!r}" if user else "this token"
    if status == 401:
        return (
            f"MLflow at {shown} does not know {who}, or the password is wrong: check MLFLOW_TRACKING_USERNAME and MLFLOW_TRACKING_PASSWORD "
            f"(or MLFLOW_TRACKING_TOKEN), {_AGAIN}"
        )
    return f"MLflow at {shown} does not let {who} do this (status {status}): ask whoever runs the server for the permission, {_AGAIN}"


def tls(uri: str) -> ssl.SSLContext | None:
    """How MLflow's own variables want a certificate to be checked."""
    if urlsplit(uri).scheme != "https":
        return None
    import ssl

    context = ssl.create_default_context(cafile=os.environ.get("MLFLOW_TRACKING_SERVER_CERT_PATH") or None)
    if os.environ.get("MLFLOW_TRACKING_INSECURE_TLS", "").lower() in ("true", "1"):
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    return context


def redacted(uri: str) -> str:
    """The address without user name and password, for messages."""
    parts = urlsplit(uri)
    return urlunsplit(parts._replace(netloc=parts.netloc.rpartition("@")[2])) if "@" in parts.netloc else uri
