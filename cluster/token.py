"""When Ray's token may travel, and where it is found.

In: a head's address and whether it asks for a token. Out: the header that carries it, or nothing. A token is sent to heads that ask
for one, and in clear to this machine alone: whoever reads it on the way can run any code on the cluster.
"""

from __future__ import annotations

import ipaddress
import os
from collections.abc import Mapping
from pathlib import Path
from urllib.parse import urlsplit

from cluster.errors import TokenError

DEFAULT_PATH = "~/.ray/auth_token"
"""Where `ray get-auth-token --generate` writes it."""


def headers(address: str, *, asked: bool, clear: bool = False) -> dict[str, str]:
    """What a request to a head carries. `clear` lets a token go over plain http to another machine. Raises TokenError."""
    if not asked:
        return {}
    token = find(os.environ)
    if not token:
        raise TokenError(
            f"{address} asks for a token and there is none here; set RAY_AUTH_TOKEN, or RAY_AUTH_TOKEN_PATH to the file that holds it, "
            f"or copy the head's {DEFAULT_PATH} to this machine"
        )
    if not clear and in_clear(address):
        host, port = urlsplit(address).hostname, urlsplit(address).port or 80
        raise TokenError(
            f"{address} asks for a token, and over plain http anyone on the way could read it; use an https address, or a tunnel "
            f"(ssh -L {port}:localhost:{port} {host}, then --address http://localhost:{port}), or allow it with --insecure-token"
        )
    return {"Authorization": f"Bearer {token}"}


def find(environment: Mapping[str, str]) -> str:
    """The token as Ray looks for it: RAY_AUTH_TOKEN, the file RAY_AUTH_TOKEN_PATH, then the default file; empty when there is none."""
    if token := environment.get("RAY_AUTH_TOKEN", "").strip():
        return token
    named = environment.get("RAY_AUTH_TOKEN_PATH", "")
    try:
        return Path(named or DEFAULT_PATH).expanduser().read_text(encoding="utf-8").strip()
    except (OSError, UnicodeDecodeError) as error:
        if named:
            raise TokenError(f"RAY_AUTH_TOKEN_PATH={named}: the token cannot be read ({error}); name a readable text file") from error
        return ""


def in_clear(address: str) -> bool:
    """Would a token to this address cross a network unencrypted?"""
    return urlsplit(address).scheme != "https" and not is_loopback(address)


def is_loopback(address: str) -> bool:
    """Is this the machine itself, by name or number? Other names are not looked up: an answer could change before the request."""
    host = urlsplit(address).hostname or ""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
