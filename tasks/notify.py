"""Tell another program that something happened: one JSON document by HTTP POST, signed when there is a secret.

In: an address, an event and its data. Out: a `Delivery` that says how it went; a receiver that is down never fails what it is told of.
A document carries an id that stays the same when it is sent again, so that a receiver can drop what it has.

    POST /path
    Medley-Event: promotion.promoted
    Medley-Delivery: <id>
    Medley-Signature: t=<seconds since 1970>,v1=<HMAC-SHA256 of "<t>.<body>", hex>

**Where it may go.** http and https, to addresses of the public internet. Loopback, private and link-local ones, where a cloud's own
credentials are, only when the recipe says `private: true`. The name is resolved once and that address is connected to, so that no name
service can give another in between; redirects are not followed, proxies not used.
"""

from __future__ import annotations

import contextlib
import datetime as dt
import hashlib
import hmac
import http.client
import ipaddress
import json
import os
import random
import re
import socket
import ssl
import threading
import time
import uuid
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from urllib.parse import SplitResult, urlsplit

from pydantic import Field, field_validator

from tasks.contracts import FORMAT_VERSION, Json
from tasks.errors import InputError
from tasks.registry import Config

ATTEMPTS = 4
TIMEOUT_S = 10.0
"""For one attempt as a whole: a receiver that answers a byte a second is given up as well."""
PAUSE_S = 1.0
"""Before the second attempt; doubled before each further one, and varied by half."""
LONGEST_PAUSE_S = 30.0
"""A receiver's `Retry-After` is followed up to this."""
_ENV = re.compile(r"env:([A-Za-z_][A-Za-z0-9_]*)")
_TRANSIENT = (408, 425, 429)
_NAT64 = ipaddress.IPv6Network("64:ff9b::/96")
_SHOWN = 200
"""Characters of an answer that are quoted."""


class WebhookConfig(Config):
    """Who is told."""

    url: str
    """`https://…`, or `env:NAME` for the environment variable that holds it: many services put their password into the address."""
    secret: str = Field("", pattern=r"^(env:[A-Za-z_][A-Za-z0-9_]*)?$")
    """`env:NAME`, the environment variable with the key of the signature; empty = not signed. The key itself never stands in a recipe."""
    private: bool = False
    """Allow loopback, private and link-local addresses."""

    @field_validator("url")
    @classmethod
    def _url(cls, value: str) -> str:
        try:
            return value if _ENV.fullmatch(value) else check_url(value)
        except InputError as error:
            raise ValueError(str(error)) from error


@dataclass(frozen=True)
class Delivery:
    """How one notification went."""

    id: str
    event: str
    to: str
    """Scheme, host and port; what follows in an address may be a password."""
    delivered: bool
    attempts: int
    status: int | None = None
    """The last answer's; None when there was none."""
    problem: str = ""
    """Why not, and what to do."""


def check_url(url: str) -> str:
    """The address, when one can post to it. Raises InputError."""
    try:
        parts = urlsplit(url)
        port, host = parts.port, parts.hostname
    except ValueError:
        port, host, parts = None, None, SplitResult("", "", "", "", "")
    if parts.scheme not in ("http", "https") or not host or port == 0 or re.search(r"[\x00-\x20\x7f]", url) or not url.isascii():
        raise InputError(f"{_shown(url)} is no address to post to; give http://HOST/… or https://HOST/…, or env:NAME")
    if parts.username or parts.password:
        raise InputError(f"{_shown(url)} holds a user name or password, which would not be sent; give `secret:` and check the signature")
    return url


def notify(
    webhooks: Iterable[WebhookConfig], event: str, payload: Mapping[str, Json], note: Callable[[str], None], delivery_id: str = ""
) -> list[Delivery]:
    """Deliver to each; `note` hears of those that were not reached. What is told again has the same `delivery_id` again."""
    found = []
    for webhook in webhooks:
        delivery = _deliver_configured(webhook, event, payload, delivery_id or uuid.uuid4().hex)
        if not delivery.delivered:
            note(f"webhook {delivery.to} was not told of {event}: {delivery.problem}")
        found.append(delivery)
    return found


def _deliver_configured(webhook: WebhookConfig, event: str, payload: Mapping[str, Json], delivery_id: str) -> Delivery:
    try:
        url, secret = from_environment(webhook.url), from_environment(webhook.secret)
    except InputError as error:
        return Delivery(delivery_id, event, _shown(webhook.url), delivered=False, attempts=0, problem=str(error))
    return deliver(url, event, payload, secret, delivery_id=delivery_id, private=webhook.private)


def from_environment(value: str) -> str:
    """What `env:NAME` stands for; anything else is itself. Raises InputError for a variable that is not set or is empty."""
    match = _ENV.fullmatch(value)
    if match is None:
        return value
    if not (found := os.environ.get(match[1], "")):
        raise InputError(f"the environment variable {match[1]} is not set where this runs, so nothing was sent; set it")
    return found


def deliver(
    url: str,
    event: str,
    payload: Mapping[str, Json],
    secret: str = "",
    *,
    delivery_id: str = "",
    private: bool = False,
    attempts: int = ATTEMPTS,
    timeout_s: float = TIMEOUT_S,
    pause_s: float = PAUSE_S,
) -> Delivery:
    """Post it, again while the receiver cannot be reached, is busy or fails (status 408, 425, 429, 5xx). Never raises for what it meets.

    The secret is the key of the signature; empty = not signed. Raises ValueError and TypeError for a payload that is no JSON.
    """
    delivery_id = delivery_id or uuid.uuid4().hex
    now = dt.datetime.now(dt.UTC).isoformat(timespec="milliseconds")
    document = {"format": FORMAT_VERSION, "id": delivery_id, "event": event, "time": now, "data": payload}
    body = json.dumps(document, sort_keys=True, ensure_ascii=False, allow_nan=False).encode()
    try:
        parts = urlsplit(check_url(url))
    except InputError as error:
        return Delivery(delivery_id, event, _shown(url), delivered=False, attempts=0, problem=str(error))
    status, problem, tried = None, "", 0
    while tried < max(1, attempts):
        tried += 1
        status, problem, wait_s = _attempt(parts, {"Medley-Event": event, "Medley-Delivery": delivery_id}, body, secret, private, timeout_s)
        if not problem:
            return Delivery(delivery_id, event, _shown(url), delivered=True, attempts=tried, status=status)
        if wait_s is None:
            break
        if tried < attempts:
            time.sleep(min(LONGEST_PAUSE_S, max(wait_s, pause_s * 2 ** (tried - 1) * random.uniform(0.5, 1.5))))
    return Delivery(delivery_id, event, _shown(url), delivered=False, attempts=tried, status=status, problem=problem)


def signature(secret: str, body: bytes, seconds: int) -> str:
    """Value of `Medley-Signature`. A receiver makes it again of the body it got and compares with `hmac.compare_digest`."""
    return f"t={seconds},v1={hmac.new(secret.encode(), f'{seconds}.'.encode() + body, hashlib.sha256).hexdigest()}"


# ---- one attempt -------------------------------------------------------------------------------------------------------


def _attempt(
    parts: SplitResult, headers: Mapping[str, str], body: bytes, secret: str, private: bool, timeout_s: float
) -> tuple[int | None, str, float | None]:
    """Status, what went wrong (empty: nothing), and how long to wait at least before another attempt (None: none would help)."""
    sent = {"Content-Type": "application/json; charset=utf-8", "User-Agent": "medley", **headers}
    if secret:
        sent["Medley-Signature"] = signature(secret, body, int(time.time()))
    target = f"{parts.path or '/'}{f'?{parts.query}' if parts.query else ''}"
    until = time.monotonic() + timeout_s
    try:
        with _connected(parts, _addresses(parts, private), timeout_s) as connection:
            connection.request("POST", target, body, sent)
            with connection.getresponse() as answer:
                said = "" if 200 <= answer.status < 300 else answer.read1(_SHOWN).decode("utf-8", "replace").strip()
    except InputError as error:
        return None, str(error), None
    except ssl.SSLCertVerificationError as error:
        return None, f"its certificate does not hold ({error.verify_message}); give an address whose certificate does", None
    except (OSError, http.client.HTTPException) as error:
        late = time.monotonic() >= until
        why = f"no answer within {timeout_s:g} s" if late else f"it cannot be reached ({error or type(error).__name__})"
        return None, f"{why}; see that the receiver runs and that this machine reaches it", 0.0
    return answer.status, *_judged(answer, said)


def _judged(answer: http.client.HTTPResponse, said: str) -> tuple[str, float | None]:
    status = answer.status
    if 200 <= status < 300:
        return "", None
    quoted = f" ({' '.join(said.split())})" if said else ""
    if 300 <= status < 400:
        return f"it answers {status}, a redirect, which is not followed; give the address it leads to", None
    if status in _TRANSIENT or status >= 500:
        return f"it answers {status}{quoted}; look after the receiver", _retry_after(answer)
    return f"it answers {status}{quoted}; check the address, and that the receiver has the same secret", None


def _retry_after(answer: http.client.HTTPResponse) -> float:
    given = answer.getheader("Retry-After", "")
    return float(given) if given.isdecimal() else 0.0


def _addresses(parts: SplitResult, private: bool) -> list[str]:
    """IP addresses behind the name. Raises InputError when one of them is not of the public internet and only those are allowed."""
    found = socket.getaddrinfo(parts.hostname, _port(parts), type=socket.SOCK_STREAM)
    addresses = list(dict.fromkeys(str(entry[4][0]) for entry in found))
    inner = [] if private else [address for address in addresses if not _is_public(address)]
    if inner:
        raise InputError(
            f"{parts.hostname} is {inner[0]}, an address of this machine or of a private network; say `private: true` beside the url if "
            "that is meant"
        )
    return addresses


def _is_public(address: str) -> bool:
    ip = ipaddress.ip_address(address.partition("%")[0])
    if isinstance(ip, ipaddress.IPv6Address):  # an IPv4 address in one of IPv6's wrappings leads to the same machine
        wrapped = ip.ipv4_mapped or ip.sixtofour or (ipaddress.IPv4Address(int(ip) & 0xFFFFFFFF) if ip in _NAT64 else None)
        ip = wrapped or ip
    return ip.is_global and not ip.is_multicast


def _port(parts: SplitResult) -> int:
    return parts.port or (443 if parts.scheme == "https" else 80)


@contextlib.contextmanager
def _connected(parts: SplitResult, addresses: list[str], timeout_s: float) -> Iterator[http.client.HTTPConnection]:
    """A connection to one of the addresses that ends after `timeout_s`, whatever the other side does."""
    host = parts.hostname or ""
    connection: http.client.HTTPConnection = http.client.HTTPConnection(host, parts.port)
    held = [_first(addresses, _port(parts), timeout_s)]
    watchdog = threading.Timer(timeout_s, _cut, [held])
    watchdog.daemon = True
    watchdog.start()
    try:
        if parts.scheme == "https":
            context = ssl.create_default_context()
            connection = http.client.HTTPSConnection(host, parts.port, context=context)
            held[0] = wrapped = context.wrap_socket(held[0], server_hostname=host, do_handshake_on_connect=False)
            wrapped.do_handshake()
        connection.sock = held[0]
        yield connection
    finally:
        watchdog.cancel()
        connection.close()
        held[0].close()


def _cut(held: list[socket.socket]) -> None:
    """End a connection under the thread that waits for it, which then reads its end. Not TLS's own end, which would wait as well."""
    with contextlib.suppress(OSError):  # it ended by itself
        socket.socket.shutdown(held[0], socket.SHUT_RDWR)


def _first(addresses: list[str], port: int, timeout_s: float) -> socket.socket:
    """A connection to the first address that takes one."""
    problem: OSError = OSError("the name has no address")
    for address in addresses:
        try:
            return socket.create_connection((address, port), timeout=timeout_s)
        except OSError as error:
            problem = error
    raise problem


def _shown(url: str) -> str:
    """Scheme, host and port: what may stand in a log."""
    if _ENV.fullmatch(url):
        return url
    try:
        parts = urlsplit(url)
    except ValueError:
        parts = SplitResult("", "", "", "", "")
    return f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}" if parts.netloc else repr(url[:12])
