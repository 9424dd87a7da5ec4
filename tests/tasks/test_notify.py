"""Notifications against real servers of this machine: signed, sent again while that helps, and never to an inner address unasked."""

from __future__ import annotations

import hmac
import http.server
import json
import socket
import threading
import time
from collections.abc import Iterator

import pytest
from pydantic import ValidationError

from tasks import notify
from tasks.errors import InputError
from tasks.notify import WebhookConfig, check_url, deliver, signature


class Receiver(http.server.BaseHTTPRequestHandler):
    """Keeps what it gets, and answers with the statuses it was given, then 200."""

    statuses: list[int]
    got: list[tuple[str, dict[str, str], bytes]]

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        self.got.append((self.path, dict(self.headers), body))
        status = self.statuses.pop(0) if self.statuses else 200
        self.send_response(status)
        self.send_header("Content-Length", "4")
        if 300 <= status < 400:
            self.send_header("Location", "/elsewhere")
        self.end_headers()
        self.wfile.write(b"why\n")

    def log_message(self, *_: object) -> None:
        """Silent."""


@pytest.fixture
def receiver() -> Iterator[type[Receiver]]:
    class Here(Receiver):
        statuses, got = [], []
        url = ""

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Here)
    Here.url = f"http://127.0.0.1:{server.server_port}/hooks/T123?channel=a"
    thread = threading.Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    yield Here
    server.shutdown()
    thread.join()
    server.server_close()


def test_what_arrives_is_the_document_with_a_signature_that_the_receiver_can_make_again(receiver: type[Receiver]) -> None:
    sent = deliver(receiver.url, "promotion.promoted", {"name": "digits", "ä": 1.5}, "key", delivery_id="d1", private=True)
    assert (sent.delivered, sent.attempts, sent.status, sent.problem) == (True, 1, 200, "")
    [(path, headers, body)] = receiver.got
    document = json.loads(body)
    assert path == "/hooks/T123?channel=a"
    assert (document["id"], document["event"], document["data"]) == ("d1", "promotion.promoted", {"name": "digits", "ä": 1.5})
    assert (headers["Medley-Event"], headers["Medley-Delivery"]) == ("promotion.promoted", "d1")
    seconds = int(headers["Medley-Signature"].partition(",")[0].removeprefix("t="))
    assert abs(time.time() - seconds) < 60
    made_again = hmac.digest(b"key", f"{seconds}.".encode() + body, "sha256").hex()
    assert hmac.compare_digest(headers["Medley-Signature"], f"t={seconds},v1={made_again}")
    assert headers["Medley-Signature"] != signature("another key", body, seconds)


def test_a_receiver_that_fails_is_asked_again_with_the_same_id_and_one_that_refuses_is_not(receiver: type[Receiver]) -> None:
    receiver.statuses += [503, 429]
    sent = deliver(receiver.url, "e", {}, private=True, pause_s=0.01)
    assert (sent.delivered, sent.attempts) == (True, 3)
    assert len({headers["Medley-Delivery"] for _, headers, _ in receiver.got}) == 1
    assert all("Medley-Signature" not in headers for _, headers, _ in receiver.got)
    receiver.statuses += [401]
    sent = deliver(receiver.url, "e", {}, private=True, pause_s=0.01)
    assert (sent.delivered, sent.attempts, sent.status) == (False, 1, 401)
    assert "it answers 401 (why); check the address, and that the receiver has the same secret" in sent.problem
    receiver.statuses += [500] * 9
    sent = deliver(receiver.url, "e", {}, private=True, attempts=3, pause_s=0.01)
    assert (sent.delivered, sent.attempts, sent.status) == (False, 3, 500)


def test_redirects_are_not_followed(receiver: type[Receiver]) -> None:
    receiver.statuses += [302]
    sent = deliver(receiver.url, "e", {}, private=True)
    assert (sent.delivered, len(receiver.got)) == (False, 1)
    assert "a redirect, which is not followed" in sent.problem


@pytest.mark.parametrize(
    "host", ["127.0.0.1", "localhost", "[::1]", "[::ffff:127.0.0.1]", "0.0.0.0", "169.254.169.254", "10.0.0.1", "2130706433"]
)
def test_inner_addresses_are_refused_unless_the_recipe_allows_them(host: str, receiver: type[Receiver]) -> None:
    port = receiver.url.split(":")[2].split("/")[0]
    sent = deliver(f"http://{host}:{port}/", "e", {})
    assert (sent.delivered, sent.attempts, receiver.got) == (False, 1, [])
    assert "say `private: true`" in sent.problem


@pytest.mark.parametrize(
    ("address", "public"),
    [
        ("8.8.8.8", True),
        ("2606:4700::1111", True),
        ("64:ff9b::7f00:1", False),
        ("2002:7f00:1::", False),
        ("fe80::1%eth0", False),
        ("224.0.0.1", False),
    ],
)
def test_wrapped_addresses_count_as_what_they_lead_to(address: str, public: bool) -> None:
    assert notify._is_public(address) is public


def test_the_address_that_was_checked_is_the_one_that_is_connected_to(receiver: type[Receiver], monkeypatch: pytest.MonkeyPatch) -> None:
    """A name service that gives a public address first and an inner one at the second question."""
    port, asked = int(receiver.url.split(":")[2].split("/")[0]), []
    monkeypatch.setattr(notify, "_is_public", lambda address: True)

    def resolve(host: str, *_: object, **__: object) -> list[tuple[object, ...]]:
        asked.append(host)
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", ("127.0.0.1", port))]

    real = socket.getaddrinfo
    monkeypatch.setattr(
        socket, "getaddrinfo", lambda host, *rest, **more: resolve(host) if host == "hooks.test" else real(host, *rest, **more)
    )
    assert deliver(f"http://hooks.test:{port}/", "e", {}).delivered
    assert asked == ["hooks.test"]
    assert receiver.got[0][1]["Host"] == f"hooks.test:{port}"


def test_a_receiver_that_is_not_there_or_says_nothing_is_given_up_in_time() -> None:
    with socket.socket() as there:
        there.bind(("127.0.0.1", 0))
        port = there.getsockname()[1]
    sent = deliver(f"http://127.0.0.1:{port}/", "e", {}, private=True, attempts=2, pause_s=0.01)
    assert (sent.delivered, sent.attempts, sent.status) == (False, 2, None)
    assert "it cannot be reached" in sent.problem


@pytest.mark.parametrize("scheme", ["http", "https"])
def test_a_receiver_that_answers_a_byte_at_a_time_is_given_up_as_a_whole(scheme: str) -> None:
    with Dripping() as port:
        began = time.monotonic()
        sent = deliver(f"{scheme}://127.0.0.1:{port}/", "e", {}, private=True, attempts=1, timeout_s=0.5)
    assert time.monotonic() - began < 3
    assert not sent.delivered
    assert "no answer within 0.5 s" in sent.problem


class Dripping:
    """A server that sends one byte every fiftieth of a second and never a whole line."""

    def __enter__(self) -> int:
        self.socket = socket.create_server(("127.0.0.1", 0))
        self.done = threading.Event()
        self.thread = threading.Thread(target=self._serve)
        self.thread.start()
        return int(self.socket.getsockname()[1])

    def _serve(self) -> None:
        connection, _ = self.socket.accept()
        with connection:
            said = iter(b"\x16\x03\x03\x3f\xff" + b"\x02" * 200)  # how TLS begins, and to HTTP a line without an end
            while not self.done.wait(0.02):
                try:
                    connection.send(bytes([next(said)]))
                except OSError:
                    return

    def __exit__(self, *_: object) -> None:
        self.done.set()
        self.thread.join()
        self.socket.close()


def test_secrets_come_from_the_environment_and_never_stand_in_a_message(receiver: type[Receiver], monkeypatch: pytest.MonkeyPatch) -> None:
    notes: list[str] = []
    webhook = WebhookConfig(url="env:HOOK_URL", secret="env:HOOK_KEY", private=True)
    [sent] = notify.notify([webhook], "e", {}, notes.append)
    assert (sent.delivered, sent.attempts) == (False, 0)
    assert "webhook env:HOOK_URL was not told of e: the environment variable HOOK_URL is not set" in notes[0]
    monkeypatch.setenv("HOOK_URL", receiver.url)
    monkeypatch.setenv("HOOK_KEY", "s3cret")
    receiver.statuses += [404]
    [sent] = notify.notify([webhook], "e", {}, notes.append)
    assert "T123" not in notes[1] + repr(sent)
    assert "s3cret" not in notes[1] + repr(sent)
    assert notify.notify([webhook], "e", {}, notes.append)[0].delivered
    assert "Medley-Signature" in receiver.got[-1][1]


@pytest.mark.parametrize(
    "url",
    ["", "ftp://a/", "file:///etc/passwd", "http://", "http://a b/", "http://a/\r\nX: y", "http://[::1", "http://h:99999/", "http://ü/"],
)
def test_what_is_no_address_is_said_at_once(url: str) -> None:
    with pytest.raises(InputError, match="is no address to post to; give http://HOST"):
        check_url(url)
    with pytest.raises(ValidationError):
        WebhookConfig(url=url)
    assert not deliver(url, "e", {}).delivered


def test_a_secret_in_the_recipe_is_refused() -> None:
    with pytest.raises(ValidationError):
        WebhookConfig(url="https://example.org/", secret="plain")
    with pytest.raises(InputError, match="holds a user name or password") as caught:
        check_url("https://me:pw@example.org/")
    assert "pw@" not in str(caught.value)
