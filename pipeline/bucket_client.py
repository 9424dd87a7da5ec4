"""A client for a bucket: one a process, made of a URL and the environment.

In: a URL and how patient to be. Out: obstore's client. Credentials come from the environment, as obstore reads it (`AWS_…`, `GOOGLE_…`,
`AZURE_…`), and stand in no message.
"""

from __future__ import annotations

import functools
import os
from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from pipeline.errors import StoreError

if TYPE_CHECKING:
    from obstore.store import ObjectStore as Client


@dataclass(frozen=True)
class Patience:
    """How long to wait for a bucket, and how often to ask again: for 429, 5xx, time-outs and lost connections."""

    request_s: float = 300.0
    """One request with its body."""
    connect_s: float = 10.0
    """One connection."""
    retries: int = 6
    """How often obstore repeats a request by itself, 0.2 to 10 s apart."""
    rounds: int = 5
    """How often all of that is done, which also covers time-outs of a put."""
    pause_s: float = 0.5
    """Before the second round; doubled for each after it."""


def short(error: Exception) -> str:
    """The first line of what obstore says, without the query of a URL: that may hold a signature."""
    words = [word.partition("?")[0] for word in str(error).strip().partition("\n")[0].partition(": <?xml")[0].split(" ")]
    return " ".join(words)[:300]


@functools.lru_cache(maxsize=16)
def connected(url: str, patience: Patience, _process: int) -> Client:
    """One client a process. Raises StoreError when obstore is not installed or does not take the environment as it is."""
    try:
        from obstore.exceptions import BaseError
        from obstore.store import LocalStore, MemoryStore, from_url
    except ImportError as error:
        raise StoreError(
            f"the store {url} needs the library obstore, which is not installed; pip install 'medley-pipeline[s3]', or give a folder"
        ) from error
    if url.startswith("memory://"):
        return _in_memory(url, MemoryStore)
    if url.startswith("file://"):
        return LocalStore(url.removeprefix("file://"), mkdir=True)
    endpoint = os.environ.get("AWS_ENDPOINT_URL") or os.environ.get("AWS_ENDPOINT") or ""
    options: dict[str, Any] = {
        "client_options": {
            "allow_http": endpoint.startswith("http://"),
            "timeout": timedelta(seconds=patience.request_s),
            "connect_timeout": timedelta(seconds=patience.connect_s),
        },
        "retry_config": {
            "max_retries": patience.retries,
            "retry_timeout": timedelta(seconds=max(60.0, patience.request_s)),
            "backoff": {"init_backoff": timedelta(seconds=0.2), "max_backoff": timedelta(seconds=10), "base": 2},
        },
    }
    try:
        return from_url(url, **options)
    except (BaseError, ValueError) as error:
        raise StoreError(f"the store {url} cannot be opened: {short(error)}") from error


@functools.lru_cache(maxsize=16)
def _in_memory(_url: str, make: Callable[[], Client]) -> Client:
    return make()
