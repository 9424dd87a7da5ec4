"""A bucket by its URL: objects that are made once, read, listed and deleted, through obstore.

In: names and bytes. Out: the same, or one plain sentence once a bounded number of tries has failed. Knows nothing of artifacts and keeps
nothing on disk: `object_store` does. Credentials come from the environment, as obstore reads it (`AWS_…`, `GOOGLE_…`, `AZURE_…`), and
stand in no message.

**A put whose answer was lost** may have made its object: the try that follows then finds it there. So each conditional put carries a word
of its own as metadata, and an object that has it is ours.
"""

from __future__ import annotations

import functools
import hashlib
import os
import random
import time
import uuid
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from pipeline.errors import StoreError, Torn, Unsettled

if TYPE_CHECKING:
    from obstore.store import ObjectStore as Client

T = TypeVar("T")

WRITER, DIGEST = "medley-writer", "medley-sha256"
"""Metadata of an object: the word of the put that made it; for files, the hash of its bytes."""
PART_BYTES = 16 << 20
"""A larger file that may be overwritten goes up in parts."""


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


@dataclass(frozen=True)
class Bucket:
    """A prefix in a bucket. Pickles; each process connects for itself."""

    url: str
    patience: Patience = field(default_factory=Patience)

    def create(self, name: str, data: bytes | Path) -> bool:
        """Make an object if there is none of this name. False when there is one."""
        client = self._client
        from obstore import put
        from obstore.exceptions import AlreadyExistsError

        word = uuid.uuid4().hex
        facts = {WRITER: word} | ({DIGEST: digest(data)} if isinstance(data, Path) else {})

        def once() -> bool:
            try:
                put(client, name, data, mode="create", attributes=facts if self._keeps_facts else None)
            except AlreadyExistsError:
                return self._wrote(name, word)
            return True

        return self._patiently(f"write {name}", once)

    def _wrote(self, name: str, word: str) -> bool:
        client = self._client
        from obstore import get

        if not self._keeps_facts:
            return False
        try:
            return get(client, name, options={"head": True}).attributes.get(WRITER) == word
        except FileNotFoundError as error:
            raise Unsettled(f"{name} is there and is not") from error

    def replace(self, name: str, data: bytes | Path) -> None:
        """Write an object, whatever was there. A reader sees the old or the new one, whole."""
        client = self._client
        from obstore import put

        facts = {DIGEST: digest(data)} if isinstance(data, Path) and self._keeps_facts else None
        self._patiently(f"write {name}", lambda: put(client, name, data, chunk_size=PART_BYTES, max_concurrency=4, attributes=facts))

    def read(self, name: str) -> bytes:
        """Bytes of an object; FileNotFoundError when absent."""
        client = self._client
        from obstore import get

        return self._patiently(f"read {name}", lambda: bytes(get(client, name).bytes()))

    def download(self, name: str, path: Path) -> None:
        """An object into a file, as it went up or not at all. FileNotFoundError when absent."""
        client = self._client
        from obstore import get

        def once() -> None:
            found = get(client, name)
            got, hashed = 0, hashlib.sha256()
            with path.open("wb") as file:
                for chunk in found.stream(min_chunk_size=4 << 20):
                    got += file.write(chunk)
                    hashed.update(chunk)
            expected = found.attributes.get(DIGEST, hashed.hexdigest())
            if got != found.meta["size"] or hashed.hexdigest() != expected:
                raise Torn(f"{got} bytes came of {found.meta['size']}, or other ones than went up")

        try:
            self._patiently(f"read {name}", once)
        except BaseException:
            path.unlink(missing_ok=True)
            raise

    def size(self, name: str) -> int | None:
        """Bytes of an object; None when absent."""
        client = self._client
        from obstore import head

        try:
            return self._patiently(f"look for {name}", lambda: head(client, name)["size"])
        except FileNotFoundError:
            return None

    def entries(self, prefix: str) -> dict[str, tuple[int, str]]:
        """Name → size and ETag of every object below a folder-like prefix, sorted by name."""
        client = self._client
        from obstore import list as listed

        def once() -> dict[str, tuple[int, str]]:
            chunks = listed(client, f"{prefix}/" if prefix else None)
            found = {entry["path"]: (entry["size"], entry["e_tag"] or "") for chunk in chunks for entry in chunk}
            return dict(sorted(found.items()))

        return self._patiently(f"list {prefix or 'everything'}", once)

    def delete(self, name: str) -> None:
        """Remove an object; nothing happens when it is absent."""
        client = self._client
        from obstore import delete

        try:
            self._patiently(f"delete {name}", lambda: delete(client, name))
        except FileNotFoundError:
            return

    @property
    def _client(self) -> Client:
        """Asked for before anything of obstore is imported: it says what to do where obstore is missing."""
        return _connected(self.url, self.patience, os.getpid())

    @property
    def _keeps_facts(self) -> bool:
        return not self.url.startswith("file://")  # a file has no metadata, and no answer of the disk is lost

    def _patiently(self, what: str, action: Callable[[], T]) -> T:
        from obstore.exceptions import BaseError, PermissionDeniedError, UnauthenticatedError

        begun, pause_s = time.monotonic(), self.patience.pause_s
        for attempt in range(1, self.patience.rounds + 1):
            try:
                return action()
            except (PermissionDeniedError, UnauthenticatedError) as error:
                raise StoreError(f"the store {self.url} does not let us {what} ({short(error)}); {_ADVICE[self._scheme]}") from error
            except FileNotFoundError as error:
                if "NoSuchBucket" in str(error) or what.startswith("write"):
                    raise StoreError(_NO_BUCKET.format(self.url)) from error
                raise
            except (BaseError, Unsettled, Torn) as error:
                if "NoSuchBucket" in str(error):
                    raise StoreError(_NO_BUCKET.format(self.url)) from error
                if attempt == self.patience.rounds:
                    waited_s = time.monotonic() - begun
                    raise StoreError(
                        f"the store {self.url} could not {what}: gave up after {attempt} rounds of tries in {waited_s:.0f} s "
                        f"({short(error)}); once it answers again run the same command: finished work is kept"
                    ) from error
                time.sleep(pause_s * random.uniform(0.5, 1.0))
                pause_s *= 2
        raise AssertionError("a round ends in an answer or in an error")

    @property
    def _scheme(self) -> str:
        return self.url.partition("://")[0]


_NO_BUCKET = "the store {}: there is no such bucket; make it, or name another in `store:`"
_ADVICE = {
    "s3": "look at AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY, AWS_REGION and the bucket's policy",
    "gs": "look at GOOGLE_APPLICATION_CREDENTIALS and the bucket's policy",
    "az": "look at AZURE_STORAGE_ACCOUNT_NAME, AZURE_STORAGE_ACCOUNT_KEY and the container's policy",
    "file": "look at the folder's permissions",
    "memory": "",
}


def digest(data: Path) -> str:
    """SHA-256 of a file."""
    with data.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def short(error: Exception) -> str:
    """The first line of what obstore says, without the query of a URL: that may hold a signature."""
    words = [word.partition("?")[0] for word in str(error).strip().partition("\n")[0].partition(": <?xml")[0].split(" ")]
    return " ".join(words)[:300]


@functools.lru_cache(maxsize=16)
def _connected(url: str, patience: Patience, _process: int) -> Client:
    """One client a process. Raises StoreError when obstore is not installed or does not take the environment as it is."""
    try:
        from obstore.exceptions import BaseError
        from obstore.store import LocalStore, MemoryStore, from_url
    except ImportError as error:
        raise StoreError(
            f"the store {url} needs the library obstore, which is not installed; pip install 'medley-pipeline[s3]', or give a folder"
        ) from error
    if url.startswith("memory://"):
        return MemoryStore()
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
