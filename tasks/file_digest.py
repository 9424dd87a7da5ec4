"""The SHA-256 of a file. In: a path. Out: hex digits. Whoever checks bytes against a name or a manifest asks here."""

from __future__ import annotations

import hashlib
from pathlib import Path


def sha256_of(path: Path) -> str:
    """64 hex digits. OSError when the file cannot be read."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def sha256_or_empty(path: Path) -> str:
    """The same; empty when the file cannot be read, which equals no digest."""
    try:
        return sha256_of(path)
    except OSError:
        return ""
