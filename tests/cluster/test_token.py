"""A token goes to heads that ask for one, and never in clear to another machine unless told to."""

from __future__ import annotations

from pathlib import Path

import pytest

from cluster import token
from cluster.errors import TokenError

REMOTE, SAFE = "http://head:8265", "https://head:8265"
LOOPBACKS = ("http://localhost:8265", "http://127.0.0.1:8265", "http://127.8.0.1:8265", "http://[::1]:8265")


@pytest.fixture(autouse=True)
def a_token(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RAY_AUTH_TOKEN", "secret")


@pytest.mark.parametrize("address", [SAFE, *LOOPBACKS])
def test_a_head_that_asks_gets_the_token_over_https_and_on_this_machine(address: str) -> None:
    assert token.headers(address, asked=True) == {"Authorization": "Bearer secret"}


@pytest.mark.parametrize("address", [REMOTE, SAFE, *LOOPBACKS])
def test_a_head_that_does_not_ask_gets_no_token(address: str) -> None:
    assert token.headers(address, asked=False, clear=True) == {}


@pytest.mark.parametrize("address", [REMOTE, "http://10.0.0.7:8265", "http://localhost.example.org:8265", "http://127.0.0.1.nip.io:80"])
def test_a_token_does_not_go_over_plain_http_to_another_machine(address: str) -> None:
    with pytest.raises(TokenError, match="over plain http anyone on the way could read it; use an https address, or a tunnel") as error:
        token.headers(address, asked=True)
    assert "secret" not in str(error.value)


def test_a_token_goes_in_clear_when_told_to() -> None:
    assert token.headers(REMOTE, asked=True, clear=True) == {"Authorization": "Bearer secret"}


def test_a_head_that_asks_where_there_is_no_token_says_where_to_put_one(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.delenv("RAY_AUTH_TOKEN")
    monkeypatch.setenv("HOME", str(tmp_path))
    with pytest.raises(TokenError, match="asks for a token and there is none here; set RAY_AUTH_TOKEN"):
        token.headers(SAFE, asked=True)


def test_a_token_is_looked_for_where_ray_looks_for_it(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    (tmp_path / ".ray").mkdir()
    (tmp_path / ".ray" / "auth_token").write_text("default\n")
    (tmp_path / "mine").write_text("named\n")
    named = {"RAY_AUTH_TOKEN_PATH": str(tmp_path / "mine")}
    assert [token.find({}), token.find(named), token.find({**named, "RAY_AUTH_TOKEN": "given"})] == ["default", "named", "given"]


def test_a_named_token_file_that_is_not_there_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(TokenError, match=r"RAY_AUTH_TOKEN_PATH=.*the token cannot be read"):
        token.find({"RAY_AUTH_TOKEN_PATH": str(tmp_path / "missing")})
