"""A head's job API, over HTTP.

In: an address such as `http://head:8265`. Out: a Head that has answered and said its versions, and its jobs. Speaks Ray's REST
interface itself, without importing ray: so every request has a time limit, no environment variable sends it elsewhere, and the token
goes where `cluster.token` lets it and nowhere else.
"""

from __future__ import annotations

import http.client
import json
import urllib.request
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.error import HTTPError, URLError
from urllib.parse import quote, urlsplit

from cluster import token
from cluster.errors import NoSuchJob, Refused, TokenError, Unreachable

TIMEOUT_S = 20.0
"""How long a head may take to answer; uploads have `UPLOAD_TIMEOUT_S`."""
UPLOAD_TIMEOUT_S = 600.0
NO_AGENT = "No available agent"
"""What a head says whose job agent is not up yet: worth another try."""


@dataclass(frozen=True)
class Job:
    """A submitted job as its head describes it."""

    id: str
    status: str
    """PENDING, RUNNING, STOPPED, SUCCEEDED or FAILED."""
    message: str = ""
    exit_code: int | None = None
    started: float = 0.0
    """Unix seconds; 0 while unknown, as `ended`."""
    ended: float = 0.0
    entrypoint: str = ""
    metadata: Mapping[str, str] = field(default_factory=dict)

    @property
    def over(self) -> bool:
        return self.status in ("STOPPED", "SUCCEEDED", "FAILED")


@dataclass(frozen=True)
class Head:
    """A head that has answered."""

    address: str
    headers: Mapping[str, str] = field(default_factory=dict, repr=False)
    ray: str = ""
    python: str = ""

    def jobs(self) -> list[Job]:
        """Every submitted job the head remembers, oldest first."""
        described = _json(_request(self, "GET", "/api/jobs/"), self.address)
        found = [_job(one) for one in described if one.get("submission_id")]
        return sorted(found, key=lambda job: job.started)

    def job(self, job_id: str) -> Job:
        """Raises NoSuchJob."""
        return _job(_json(self._of(job_id, "GET", ""), self.address))

    def logs(self, job_id: str) -> str:
        """All that the job has printed so far."""
        return str(_json(self._of(job_id, "GET", "/logs"), self.address)["logs"])

    def stop(self, job_id: str) -> bool:
        """Ask a job to stop; False when it was over already."""
        return bool(_json(self._of(job_id, "POST", "/stop"), self.address)["stopped"])

    def has_package(self, name: str) -> bool:
        """Does the head hold this package? Keeps it from being cleared away for the next minutes."""
        try:
            _request(self, "GET", f"/api/packages/gcs/{name}")
        except HTTPError as error:
            if error.code == http.HTTPStatus.NOT_FOUND:
                return False
            raise _unexpected(self.address, error) from error
        return True

    def put_package(self, name: str, data: bytes) -> None:
        """Upload a package."""
        try:
            _request(self, "PUT", f"/api/packages/gcs/{name}", data, UPLOAD_TIMEOUT_S)
        except HTTPError as error:
            raise _unexpected(self.address, error) from error

    def submit(self, job_id: str, entrypoint: str, runtime_env: Mapping[str, Any], metadata: Mapping[str, str]) -> str:
        """Start a job. Returns `started`, `taken` when the id is in use, or `too early` when the head cannot start jobs yet."""
        wanted = {"submission_id": job_id, "entrypoint": entrypoint, "runtime_env": runtime_env, "metadata": metadata}
        try:
            _request(self, "POST", "/api/jobs/", json.dumps(wanted).encode())
        except HTTPError as error:
            said = error.read().decode(errors="replace")
            if "already exists" in said:
                return "taken"
            if NO_AGENT in said:
                return "too early"
            raise _unexpected(self.address, error, said) from error
        return "started"

    def _of(self, job_id: str, method: str, what: str) -> bytes:
        try:
            return _request(self, method, f"/api/jobs/{quote(job_id, safe='')}{what}")
        except HTTPError as error:
            said = error.read().decode(errors="replace")
            if error.code == http.HTTPStatus.NOT_FOUND:
                raise NoSuchJob(f"{self.address} knows no job {job_id!r}; `medley jobs --address {self.address}` lists them") from error
            raise _unexpected(self.address, error, said) from error


def connect(address: str, *, clear_token: bool = False) -> Head:
    """Reach a head, with a token if it asks for one. Raises Unreachable, TokenError or Refused."""
    address = checked(address)
    bare = Head(address)
    try:
        mode = _json(_request(bare, "GET", "/api/authentication_mode"), address).get("authentication_mode", "")
    except HTTPError as error:
        if error.code != http.HTTPStatus.NOT_FOUND:
            raise _unexpected(address, error) from error
        mode = ""  # a Ray from before tokens, or no Ray: the next request tells
    carried = token.headers(address, asked=mode == "token", clear=clear_token)
    head = Head(address, carried)
    try:
        ray = str(_json(_request(head, "GET", "/api/version"), address)["ray_version"])
        facts = _json(_request(head, "GET", "/api/v0/cluster_metadata"), address).get("data", {})
    except (HTTPError, KeyError) as error:
        raise Unreachable(
            f"{address} answers, but not as a Ray dashboard does ({error}); give the address that `ray start` printed"
        ) from error
    return Head(address, carried, ray, str(facts.get("pythonVersion", "")))


def checked(address: str) -> str:
    """`http(s)://host:port` without a slash at the end. Raises Refused."""
    parts = urlsplit(address)
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise Refused(
            f"--address {address!r}: needs the http address of the head's dashboard, such as http://head:8265 "
            "(ray:// and host:6379 lead to other services of Ray)"
        )
    if parts.username or parts.password:
        raise Refused("--address: holds a user or a password; leave them out, a token is found by itself where Ray looks for it")
    return address.rstrip("/")


class _NoRedirect(urllib.request.HTTPRedirectHandler):
    """A redirect could carry the token to another machine."""

    def redirect_request(self, *_: Any, **__: Any) -> None:
        return None


def _request(head: Head, method: str, path: str, data: bytes | None = None, timeout_s: float = TIMEOUT_S) -> bytes:
    """The body of the answer. HTTP errors that mean the same for every request are told here; the others are raised as they are."""
    request = urllib.request.Request(head.address + path, data, {**head.headers}, method=method)  # noqa: S310 - http(s) by `checked`
    handlers: list[urllib.request.BaseHandler] = [_NoRedirect()]
    if token.is_loopback(head.address):
        handlers.append(urllib.request.ProxyHandler({}))
    try:
        with urllib.request.build_opener(*handlers).open(request, timeout=timeout_s) as response:
            body: bytes = response.read()
            return body
    except HTTPError as error:
        if error.code in (http.HTTPStatus.UNAUTHORIZED, http.HTTPStatus.FORBIDDEN):
            raise TokenError(_rejected(head, error.code)) from error
        if error.code in range(300, 400):
            to = error.headers.get("Location", "another address")
            raise Refused(f"{head.address} redirects to {to}; give --address the one it leads to") from error
        raise
    except (URLError, OSError, http.client.HTTPException) as error:
        reason = error.reason if isinstance(error, URLError) else error
        raise Unreachable(
            f"no answer from {head.address} ({reason or type(error).__name__}); is the head up with its dashboard (`ray start --head "
            "--dashboard-host=…`, with ray[default] installed), and is its port open from here? Through ssh: "
            f"ssh -L 8265:localhost:8265 {urlsplit(head.address).hostname}, then --address http://localhost:8265"
        ) from error


def _rejected(head: Head, code: int) -> str:
    if not head.headers:
        return f"{head.address} wants credentials (HTTP {code}) that it does not ask for in Ray's way; is a proxy in front of it?"
    return (
        f"{head.address} does not accept the token (HTTP {code}); it must be the one the cluster was started with: "
        "RAY_AUTH_TOKEN, the file RAY_AUTH_TOKEN_PATH, or ~/.ray/auth_token, the first that is set"
    )


def _json(body: bytes, address: str) -> Any:
    try:
        return json.loads(body)
    except ValueError as error:
        raise Unreachable(f"{address} answers, but not as a Ray dashboard does; give the address that `ray start` printed") from error


def _unexpected(address: str, error: HTTPError, said: str = "") -> Unreachable:
    said = said or error.read().decode(errors="replace")
    last = said.strip().splitlines()[-1][:500] if said.strip() else error.reason
    return Unreachable(f"{address} could not do it (HTTP {error.code}): {last}")


def _job(described: Mapping[str, Any]) -> Job:
    return Job(
        id=described["submission_id"],
        status=described["status"],
        message=described.get("message") or "",
        exit_code=described.get("driver_exit_code"),
        started=(described.get("start_time") or 0) / 1000,
        ended=(described.get("end_time") or 0) / 1000,
        entrypoint=described.get("entrypoint") or "",
        metadata=described.get("metadata") or {},
    )
