"""Where a store is: a folder, or a prefix in a bucket.

In: what a recipe or `--store` says. Out: a `Path` for a folder, a `str` for a URL. Imports nothing of ours but errors: the command line
reads its arguments with it.
"""

from __future__ import annotations

import hashlib
import os
from pathlib import Path

from pipeline.errors import RecipeError

Place = Path | str
"""A folder, or the URL of a prefix in a bucket."""

SCHEMES = ("s3", "gs", "az", "file", "memory")
"""Kinds of URL. `file` and `memory` go through the same code as the others, for tests."""

CACHE_VARIABLE = "MEDLEY_CACHE"
"""Names the folder below which stores in buckets keep their copies."""


def place(said: str, base: Path) -> Place:
    """What `store:` says; a relative folder begins at `base`. Raises RecipeError for a URL of another kind."""
    scheme, separator, rest = said.partition("://")
    if not separator:
        return (base / said).resolve()
    if scheme not in SCHEMES:
        raise RecipeError(f"store {said!r}: there are no stores of kind {scheme}://; allowed: a folder, s3://, gs:// or az://")
    if not rest.strip("/") and scheme != "memory":
        raise RecipeError(f"store {said!r}: names no bucket; write {scheme}://BUCKET/PREFIX")
    if "?" in said or "#" in said or "@" in said:
        raise RecipeError("a store's URL holds a scheme, a bucket and a prefix; credentials come from the environment")
    return said.rstrip("/")


def argument(said: str) -> Place:
    """What `--store` says; a relative folder begins here."""
    return place(said, Path.cwd()) if "://" in said else Path(said)


def cache_folder(url: str) -> Path:
    """Where a store in a bucket has its copies and its scratch on this machine: the same for every process that asks."""
    given = os.environ.get(CACHE_VARIABLE)
    above = Path(given).absolute() if given else Path.home() / ".cache" / "medley"
    readable = "".join(letter if letter.isalnum() or letter in "-." else "-" for letter in url.partition("://")[2])
    return above / f"{readable[-60:].strip('-')}-{hashlib.sha256(url.encode()).hexdigest()[:8]}"
