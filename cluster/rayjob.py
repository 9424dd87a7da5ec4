"""`python -m cluster.rayjob FILE`: make a RayJob and stay until it is over. Runs in the pod of a CronJob (`emit`).

In: the RayJob as JSON, and who this pod is, by JOB_NAME, JOB_UID and NAMESPACE. Out: exit code 0 when the job succeeded, 1 when not. The
RayJob is named after the pod's Job, so that a pod that is started again finds it and makes no second one, and belongs to it, so that it
goes when that is deleted. Speaks to the Kubernetes API with the service account alone and imports nothing but the standard library.
"""

from __future__ import annotations

import json
import os
import ssl
import sys
import time
import urllib.request
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.error import HTTPError, URLError

ACCOUNT = Path("/var/run/secrets/kubernetes.io/serviceaccount")
LOOK_S = 10.0
TIMEOUT_S = 30.0
PATIENCE_S = 600.0
"""How long an API that cannot be reached is asked again."""
OVER = {"Complete": 0, "Failed": 1, "ValidationFailed": 1}
"""`jobDeploymentStatus` of a RayJob that is over → exit code."""


@dataclass(frozen=True)
class Api:
    """The Kubernetes API as a pod sees it."""

    url: str
    account: Path = ACCOUNT
    look_s: float = LOOK_S
    patience_s: float = PATIENCE_S

    def call(self, method: str, path: str, body: Mapping[str, Any] | None = None) -> tuple[int, dict[str, Any]]:
        """Status and answer; asked again while it cannot be reached or answers 5xx or 429."""
        until = time.monotonic() + self.patience_s
        while True:
            try:
                return self._once(method, path, body)
            except (OSError, URLError) as error:
                if time.monotonic() > until:
                    raise
                say(f"the Kubernetes API at {self.url} does not answer ({error}); asking again")
                time.sleep(self.look_s)

    def _once(self, method: str, path: str, body: Mapping[str, Any] | None) -> tuple[int, dict[str, Any]]:
        token = (self.account / "token").read_text().strip()  # read anew: it is replaced from time to time
        headers = {"Authorization": f"Bearer {token}", "Content-Type": "application/json", "Accept": "application/json"}
        data = json.dumps(body).encode() if body is not None else None
        request = urllib.request.Request(f"{self.url}{path}", data, headers, method=method)  # noqa: S310  the address is the API's
        opener = urllib.request.build_opener(urllib.request.ProxyHandler({}), urllib.request.HTTPSHandler(context=self._context()))
        try:
            with opener.open(request, timeout=TIMEOUT_S) as answer:
                return answer.status, json.loads(answer.read())
        except HTTPError as error:
            if error.code >= 500 or error.code == 429:
                raise
            return error.code, _said(error)

    def _context(self) -> ssl.SSLContext:
        return ssl.create_default_context(cafile=str(self.account / "ca.crt") if self.url.startswith("https") else None)


def follow(job: Mapping[str, Any], api: Api, name: str, uid: str, namespace: str) -> int:
    """Make it, unless it is there, and wait for its end. Returns the exit code."""
    path = f"/apis/ray.io/v1/namespaces/{namespace}/rayjobs"
    owner = {"apiVersion": "batch/v1", "kind": "Job", "name": name, "uid": uid}
    meta = {**job["metadata"], "name": name, "namespace": namespace, "ownerReferences": [owner]}
    status, said = api.call("POST", path, {**job, "metadata": meta})
    if status not in (200, 201, 409):
        say(f"the RayJob {name} was not made: {status} {said.get('message', '')}")
        return 1
    say(f"the RayJob {name} {'is there already' if status == 409 else 'is made'}; waiting for its end")
    before = ""
    while True:
        status, said = api.call("GET", f"{path}/{name}")
        if status != 200:
            say(f"the RayJob {name} is gone: {status} {said.get('message', '')}")
            return 1
        state = said.get("status", {})
        deployed = str(state.get("jobDeploymentStatus", ""))
        if deployed != before:
            say(f"{name}: {deployed} {state.get('jobStatus', '')} {state.get('message', '')}".rstrip())
            before = deployed
        if deployed in OVER:
            return OVER[deployed] or int(state.get("jobStatus") == "FAILED")
        time.sleep(api.look_s)


def _said(error: HTTPError) -> dict[str, Any]:
    with error:
        try:
            found: dict[str, Any] = json.loads(error.read())
        except ValueError:
            return {}
    return found


def say(text: str) -> None:
    """A line in the pod's log."""
    sys.stderr.write(f"{text}\n")
    sys.stderr.flush()


def main() -> int:
    """As the pod's command."""
    job = json.loads(Path(sys.argv[1]).read_text())
    host, port = os.environ["KUBERNETES_SERVICE_HOST"], os.environ["KUBERNETES_SERVICE_PORT"]
    api = Api(f"https://{f'[{host}]' if ':' in host else host}:{port}")
    return follow(job, api, os.environ["JOB_NAME"], os.environ["JOB_UID"], os.environ["NAMESPACE"])


if __name__ == "__main__":
    sys.exit(main())
