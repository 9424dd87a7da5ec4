"""Making a RayJob and waiting for it, against a server that answers as the Kubernetes API does."""

from __future__ import annotations

import http.server
import json
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from cluster.emit import Pods, Scheduled, objects
from cluster.rayjob import Api, follow

JOB = json.loads(
    objects(
        Scheduled("digits", ["0 3 * * *"], "UTC", ["medley", "schedule", "r.yaml"], 60, {"r.yaml": ""}),
        Pods("image", "default", "2.56.0", 2, 0),
    )[0]["data"]["rayjob.json"]
)


class Kubernetes(http.server.BaseHTTPRequestHandler):
    """Holds RayJobs; each look at one takes the next of `states`. `failures` are answered first."""

    jobs: dict[str, Any]
    states: list[dict[str, str]]
    failures: list[int]
    asked: list[str]

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        if self._fails():
            return
        name = body["metadata"]["name"]
        if name in self.jobs:
            self._answer(409, {"message": "already exists"})
            return
        self.jobs[name] = body
        self._answer(201, body)

    def do_GET(self) -> None:
        if self._fails():
            return
        name = self.path.rpartition("/")[2]
        if name not in self.jobs:
            self._answer(404, {"message": f"rayjobs {name} not found"})
            return
        state = self.states.pop(0) if len(self.states) > 1 else self.states[0]
        self._answer(200, {**self.jobs[name], "status": state})

    def _fails(self) -> bool:
        self.asked.append(f"{self.command} {self.path} {self.headers['Authorization']}")
        if self.failures:
            self._answer(self.failures.pop(0), {"message": "no"})
            return True
        return False

    def _answer(self, status: int, document: dict[str, Any]) -> None:
        body = json.dumps(document).encode()
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """Silent."""


@pytest.fixture
def cluster(tmp_path: Path) -> Iterator[tuple[type[Kubernetes], Api]]:
    class Here(Kubernetes):
        jobs, states, failures, asked = {}, [{"jobDeploymentStatus": "Complete", "jobStatus": "SUCCEEDED"}], [], []

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Here)
    thread = threading.Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    (tmp_path / "token").write_text("t0ken\n")
    yield Here, Api(f"http://127.0.0.1:{server.server_port}", tmp_path, look_s=0.01, patience_s=5.0)
    server.shutdown()
    thread.join()
    server.server_close()


def go(api: Api) -> int:
    return follow(JOB, api, "medley-digits-29", "uid-1", "training")


def test_it_is_made_under_the_jobs_name_belongs_to_it_and_is_waited_for(cluster: tuple[type[Kubernetes], Api]) -> None:
    here, api = cluster
    here.states[:0] = [{}, {"jobDeploymentStatus": "Initializing"}, {"jobDeploymentStatus": "Running", "jobStatus": "RUNNING"}]
    assert go(api) == 0
    made = here.jobs["medley-digits-29"]
    assert made["metadata"]["namespace"] == "training"
    assert made["metadata"]["ownerReferences"] == [{"apiVersion": "batch/v1", "kind": "Job", "name": "medley-digits-29", "uid": "uid-1"}]
    assert made["spec"] == JOB["spec"]
    assert here.asked[0] == "POST /apis/ray.io/v1/namespaces/training/rayjobs Bearer t0ken"
    assert len(here.asked) == 5


def test_a_pod_that_is_started_again_makes_no_second_one(cluster: tuple[type[Kubernetes], Api], capsys: pytest.CaptureFixture[str]) -> None:
    here, api = cluster
    assert [go(api), go(api)] == [0, 0]
    assert len(here.jobs) == 1
    assert "is there already" in capsys.readouterr().err


@pytest.mark.parametrize(
    "state",
    [
        {"jobDeploymentStatus": "Failed", "jobStatus": "FAILED", "message": "exit code 1"},
        {"jobDeploymentStatus": "Complete", "jobStatus": "FAILED"},
        {"jobDeploymentStatus": "ValidationFailed", "message": "no such image"},
    ],
)
def test_a_job_that_failed_is_exit_code_1(cluster: tuple[type[Kubernetes], Api], state: dict[str, str]) -> None:
    here, api = cluster
    here.states[:] = [state]
    assert go(api) == 1


def test_an_api_that_fails_for_a_while_is_asked_again(cluster: tuple[type[Kubernetes], Api]) -> None:
    here, api = cluster
    here.failures[:] = [500, 503, 429]
    assert go(api) == 0
    assert len(here.jobs) == 1


def test_who_may_not_make_one_is_told(cluster: tuple[type[Kubernetes], Api], capsys: pytest.CaptureFixture[str]) -> None:
    here, api = cluster
    here.failures[:] = [403]
    assert go(api) == 1
    assert "was not made: 403 no" in capsys.readouterr().err


def test_one_that_is_deleted_meanwhile_is_told(cluster: tuple[type[Kubernetes], Api], capsys: pytest.CaptureFixture[str]) -> None:
    here, api = cluster
    here.states[:] = [{"jobDeploymentStatus": "Running"}]
    threading.Timer(0.2, here.jobs.clear).start()
    assert go(api) == 1
    assert "is gone: 404" in capsys.readouterr().err
