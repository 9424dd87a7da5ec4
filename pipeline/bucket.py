"""A bucket by its URL: objects that are made once, read, listed and deleted, through obstore.

In: names and bytes. Out: the same, or one plain sentence once a bounded number of tries has failed. Knows nothing of artifacts and keeps
nothing on disk: `object_store` does.

**A put whose answer was lost** may have made its object: the try that follows then finds it there. So each conditional put carries a word
of its own as metadata, and an object that has it is ours.

**A large file** can't go up in one request, and only single requests are conditional. It goes up in parts to `large/<name>/<sha256>`, where
whoever writes the same name writes the same bytes; then an empty object is made under its name, conditionally, whose metadata leads there.
So a name is there when all of it is, and the first to make it decides, as with small ones. What a loser put stays until `gc`.
"""

from __future__ import annotations

import hashlib
import os
import random
import time
import uuid
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from pipeline.bucket_client import Patience, connected, short
from pipeline.errors import StoreError, Torn, Unsettled
from tasks.file_digest import sha256_of

if TYPE_CHECKING:
    from obstore import ObjectMeta
    from obstore.store import ObjectStore as Client

__all__ = ["Bucket", "Patience", "Stored", "large"]

T = TypeVar("T")

WRITER, DIGEST = "medley-writer", "medley-sha256"
"""Metadata of an object: the word of the put that made it; for files, the hash of its bytes."""
PART_BYTES = 16 << 20
"""A larger file that may be overwritten goes up in parts."""


LARGE_BYTES = 1 << 30
"""A larger file that is made once goes up in parts. S3 takes 5 GiB in a request, and a request's body is in memory."""
PARTS = 9000
"""Of a file, at the most: S3 takes 10,000."""
LEADS_TO, BYTES = "medley-leads-to", "medley-bytes"
"""Metadata of the empty object that stands for a large file: where its bytes are, and how many."""

CLOCK = "clock"
"""An object without content: whoever puts it learns the bucket's time."""


@dataclass(frozen=True)
class Stored:
    """An object, as a listing has it."""

    num_bytes: int
    changed_s: float
    """Since 1970, by the bucket's own clock."""


@dataclass(frozen=True)
class Bucket:
    """A prefix in a bucket. Pickles; each process connects for itself."""

    url: str
    patience: Patience = field(default_factory=Patience)

    def create(self, name: str, data: bytes | Path) -> bool:
        """Make an object if there is none of this name. False when there is one."""
        if isinstance(data, Path) and self._keeps_facts and data.stat().st_size > LARGE_BYTES:
            return self._create_large(name, data)
        return self._create(name, data, {DIGEST: sha256_of(data)} if isinstance(data, Path) else {})

    def _create_large(self, name: str, data: Path) -> bool:
        if self.size(name) is not None:
            return False
        sha256, num_bytes = sha256_of(data), data.stat().st_size
        there = f"{large(name)}/{sha256}"
        if self.size(there) != num_bytes:
            self.replace(there, data)
        return self._create(name, b"", {DIGEST: sha256, LEADS_TO: there, BYTES: str(num_bytes)})

    def _create(self, name: str, data: bytes | Path, facts: Mapping[str, str]) -> bool:
        client = self._client
        from obstore import put
        from obstore.exceptions import AlreadyExistsError

        word = uuid.uuid4().hex
        attributes = {WRITER: word, **facts} if self._keeps_facts else None

        def once() -> bool:
            try:
                put(client, name, data, mode="create", attributes=attributes)
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

        facts = {DIGEST: sha256_of(data)} if isinstance(data, Path) and self._keeps_facts else None
        size = data.stat().st_size if isinstance(data, Path) else len(data)
        part = max(PART_BYTES, -(-size // PARTS))
        self._patiently(f"write {name}", lambda: put(client, name, data, chunk_size=part, max_concurrency=4, attributes=facts))

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
            if there := found.attributes.get(LEADS_TO):
                found = get(client, there)
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
        facts = self._facts(name)
        return None if facts is None else int(facts.get(BYTES, facts["size"]))

    def leads_to(self, name: str) -> str:
        """Where the bytes of a large file are; empty for other objects, and for none."""
        return (self._facts(name) or {}).get(LEADS_TO, "")

    def _facts(self, name: str) -> dict[str, str] | None:
        """Metadata of an object with its size; None when absent."""
        client = self._client
        from obstore import get

        def once() -> dict[str, str]:
            found = get(client, name, options={"head": True})
            return {"size": str(found.meta["size"]), **{str(key): str(value) for key, value in found.attributes.items()}}

        try:
            return self._patiently(f"look for {name}", once)
        except FileNotFoundError:
            return None

    def entries(self, prefix: str) -> dict[str, tuple[int, str]]:
        """Name → size and ETag of every object below a folder-like prefix, sorted by name."""
        return {meta["path"]: (meta["size"], meta["e_tag"] or "") for meta in self._listed(prefix)}

    def stored(self, prefix: str) -> dict[str, Stored]:
        """The same with the time of the last change, by the bucket's own clock."""
        return {meta["path"]: Stored(meta["size"], meta["last_modified"].timestamp()) for meta in self._listed(prefix)}

    def now(self) -> float:
        """What time it is for the bucket; the clocks of machines may differ. In whole seconds with S3."""
        self.replace(CLOCK, b"")
        client = self._client
        from obstore import head

        return self._patiently(f"look for {CLOCK}", lambda: head(client, CLOCK)["last_modified"].timestamp())

    def _listed(self, prefix: str) -> list[ObjectMeta]:
        client = self._client
        from obstore import list as listed

        def once() -> list[ObjectMeta]:
            found = [meta for chunk in listed(client, f"{prefix}/" if prefix else None) for meta in chunk]
            return sorted(found, key=lambda meta: meta["path"])

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
        return connected(self.url, self.patience, os.getpid())

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


def large(name: str) -> str:
    """Below which the bytes of a large file are."""
    return f"large/{name}"
