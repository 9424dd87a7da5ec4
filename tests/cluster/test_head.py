"""What is asked of a head and what is made of its answers, with a head that says what a real one here cannot."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from typing import Any

import pytest

from cluster import head as heads
from cluster import token
from cluster.errors import NoSuchJob, OtherVersion, Refused, TokenError, Unreachable
from cluster.head import Job
from cluster.package import Package
from cluster.submit import Request, check_versions, entrypoint, exit_code, find, same_plan, submit
from tests.cluster.nodes import free_port


class Fake(BaseHTTPRequestHandler):
    """A head that answers from a table and writes down what it was sent."""

    answers: dict[str, tuple[int, Any]]
    seen: list[tuple[str, str, str]]

    def answer(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        self.seen.append((f"{self.command} {self.path}", self.headers.get("Authorization", ""), body[:2000].decode(errors="replace")))
        code, said = self.answers.get(f"{self.command} {self.path}", (404, "not found"))
        text = said if isinstance(said, str) else json.dumps(said() if callable(said) else said)
        self.send_response(code)
        if code == 307:
            self.send_header("Location", text)
        self.end_headers()
        self.wfile.write(text.encode())

    do_GET = do_POST = do_PUT = answer

    def log_message(self, *_: Any) -> None: ...


@pytest.fixture
def fake() -> Iterator[type[Fake]]:
    answers: dict[str, Any] = {
        "GET /api/authentication_mode": (200, {"authentication_mode": "disabled"}),
        "GET /api/version": (200, {"ray_version": "2.60.0"}),
        "GET /api/v0/cluster_metadata": (200, {"data": {"pythonVersion": "3.11.7"}}),
        "GET /api/jobs/": (200, []),
    }
    One: Any = type("One", (Fake,), {"seen": [], "answers": answers})
    server = HTTPServer(("127.0.0.1", 0), One)
    One.address = f"http://127.0.0.1:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever, args=(0.02,))
    thread.start()
    yield One
    server.shutdown()
    thread.join()
    server.server_close()


def connect(fake: Any, **options: bool) -> heads.Head:
    return heads.connect(fake.address, **options)


def request(**changes: Any) -> Request:
    parts: dict[str, Any] = {"name": "toy", "key": "0123456789ab", "plan": "", "code": "c1", "arguments": ["run", "a b.yaml"]}
    return Request(**{**parts, "environment": {"X": "1"}, "package": Package(b"zip", {}), **changes})


def described(number: int, status: str, **metadata: str) -> dict[str, Any]:
    return {"submission_id": f"medley-toy-0123456789ab-{number}", "status": status, "metadata": {"medley_key": "0123456789ab", **metadata}}


def test_nothing_listening_is_told_with_what_to_look_at() -> None:
    with pytest.raises(Unreachable, match=r"no answer from http://127.0.0.1:\d+ \(.*refused\); is the head up with its dashboard"):
        heads.connect(f"http://127.0.0.1:{free_port()}")


@pytest.mark.parametrize("given", ["head:6379", "ray://head:10001", "auto", "http://", "ftp://head"])
def test_an_address_that_is_not_http_says_which_is_needed(given: str) -> None:
    with pytest.raises(Refused, match="such as http://head:8265"):
        heads.connect(given)


def test_a_password_in_an_address_is_refused_and_not_repeated() -> None:
    with pytest.raises(Refused, match="holds a user or a password") as error:
        heads.connect("http://me:hidden@head:8265")
    assert "hidden" not in str(error.value)


@pytest.mark.parametrize("said", ["<html>a web site</html>", {"other": "service"}])
def test_another_service_is_told_from_a_head(fake: Any, said: Any) -> None:
    fake.answers["GET /api/version"] = (200, said)
    with pytest.raises(Unreachable, match="answers, but not as a Ray dashboard does"):
        connect(fake)


def test_a_redirect_is_not_followed_since_it_could_carry_the_token_away(fake: Any) -> None:
    fake.answers["GET /api/version"] = (307, "http://elsewhere/api/version")
    with pytest.raises(Refused, match="redirects to http://elsewhere"):
        connect(fake)


def test_a_token_is_sent_when_it_is_asked_for_and_not_before(fake: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RAY_AUTH_TOKEN", "secret")
    monkeypatch.setenv("RAY_AUTH_MODE", "token")
    connect(fake)
    assert {carried for _, carried, _ in fake.seen} == {""}
    fake.answers["GET /api/authentication_mode"] = (200, {"authentication_mode": "token"})
    fake.seen.clear()
    connect(fake)
    assert [carried for _, carried, _ in fake.seen] == ["", "Bearer secret", "Bearer secret"]


def test_a_token_that_would_go_in_clear_to_another_machine_is_never_sent(fake: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RAY_AUTH_TOKEN", "secret")
    monkeypatch.setattr(token, "is_loopback", lambda address: False)
    fake.answers["GET /api/authentication_mode"] = (200, {"authentication_mode": "token"})
    with pytest.raises(TokenError, match="--insecure-token"):
        connect(fake)
    assert {carried for _, carried, _ in fake.seen} == {""}
    assert connect(fake, clear_token=True).headers == {"Authorization": "Bearer secret"}


@pytest.mark.parametrize(("ray", "python"), [("2.40.0", "3.11.7"), ("2.60.0", "3.10.14")])
def test_a_head_that_cannot_run_this_code_says_its_ray_and_its_python(fake: Any, ray: str, python: str) -> None:
    fake.answers["GET /api/version"] = (200, {"ray_version": ray})
    fake.answers["GET /api/v0/cluster_metadata"] = (200, {"data": {"pythonVersion": python}})
    with pytest.raises(OtherVersion, match=f"runs Ray {ray} and Python {python}; this code needs"):
        submit(connect(fake), request())
    assert not [path for path, _, _ in fake.seen if path.startswith(("PUT", "POST"))]


def test_a_newer_head_is_fine() -> None:
    check_versions(heads.Head("http://head", ray="2.61.0rc1", python="3.14.0"))


def test_what_runs_is_joined_and_nothing_is_sent(fake: Any) -> None:
    fake.answers["GET /api/jobs/"] = (200, [described(1, "FAILED"), described(2, "RUNNING", medley_plan="p1", medley_code="c0")])
    joined = submit(connect(fake), request(plan="p1"))
    assert (joined.attempt, joined.joined) == (2, True)
    assert "it runs other code than yours (c0)" in joined.note
    assert not [path for path, _, _ in fake.seen if path.startswith(("PUT", "POST"))]


@pytest.mark.parametrize(("status", "plan"), [("FAILED", "p1"), ("STOPPED", "p1"), ("SUCCEEDED", "p1"), ("RUNNING", "p2")])
def test_what_is_over_and_what_runs_on_other_inputs_is_followed_by_the_next_attempt(fake: Any, status: str, plan: str) -> None:
    fake.answers |= {
        "GET /api/jobs/": (200, [described(4, status, medley_plan=plan)]),
        f"PUT /api/packages/gcs/{request().package.name}": (200, ""),
        "POST /api/jobs/": (200, {"submission_id": "medley-toy-0123456789ab-5"}),
        "GET /api/jobs/medley-toy-0123456789ab-5": (200, described(5, "PENDING")),
    }
    started = submit(connect(fake), request(plan="p1"))
    assert (started.attempt, started.joined, started.uploaded) == (5, False, True)
    assert ("starts beside medley-toy-0123456789ab-4" in started.note) == (status == "RUNNING")
    (sent,) = (json.loads(body) for path, _, body in fake.seen if path == "POST /api/jobs/")
    assert sent["entrypoint"] == "exec sh cluster/start.sh run 'a b.yaml'"
    assert sent["runtime_env"]["working_dir"] == f"gcs://{request().package.name}"
    assert sent["runtime_env"]["env_vars"] == {"RAY_JOB_STOP_WAIT_TIME_S": "75", "X": "1"}
    assert sent["metadata"]["medley_plan"] == "p1"


def test_two_that_submit_at_once_end_in_one_job(fake: Any) -> None:
    lists = iter([[], [described(1, "PENDING")]])
    fake.answers |= {
        "GET /api/jobs/": (200, lambda: next(lists)),
        f"GET /api/packages/gcs/{request().package.name}": (200, ""),
        "POST /api/jobs/": (400, "ValueError: Job with submission_id medley-toy-0123456789ab-1 already exists."),
    }
    assert submit(connect(fake), request()).joined


def test_an_unknown_plan_is_no_reason_to_run_twice() -> None:
    assert [same_plan("", "p1"), same_plan("p1", ""), same_plan("p1", "p1"), same_plan("p1", "p2")] == [True, True, True, False]


def test_a_beginning_finds_a_job_if_only_one_has_it(fake: Any) -> None:
    fake.answers["GET /api/jobs/"] = (200, [described(1, "FAILED"), described(2, "RUNNING")])
    assert find(connect(fake), "medley-toy-0123456789ab-2").status == "RUNNING"
    with pytest.raises(NoSuchJob, match="2 jobs begin with 'medley-toy'"):
        find(connect(fake), "medley-toy")
    with pytest.raises(NoSuchJob, match="did you mean 'medley-toy-0123456789ab-1'"):
        find(connect(fake), "medley-toy-0123456789ac-1")


@pytest.mark.parametrize(
    ("status", "said", "meant"),
    [("SUCCEEDED", 0, 0), ("STOPPED", None, 130), ("FAILED", 3, 3), ("FAILED", 2, 2), ("FAILED", -9, 1), ("FAILED", None, 1)],
)
def test_a_job_ends_as_its_run_would_have_ended_here(status: str, said: int | None, meant: int) -> None:
    assert exit_code(Job("j", status, exit_code=said)) == meant


def test_a_command_reaches_the_job_word_for_word() -> None:
    words = ["run", "--set", 'a="x y"', "$HOME; rm -rf *"]
    assert entrypoint(words) == """exec sh cluster/start.sh run --set 'a="x y"' '$HOME; rm -rf *'"""
