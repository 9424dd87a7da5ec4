"""Which code is this: are the packages ours, and what is their revision.

Must be cheap: it runs at the start of every process.
"""

from __future__ import annotations

import functools
import hashlib
import importlib.util
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from pipeline.errors import Shadowed

ROOT = Path(__file__).resolve().parent.parent
"""Folder that holds `pipeline`, `tasks` and `cluster`."""

LIBRARIES = (
    "medley-pipeline",
    "ray",
    "torch",
    "torchvision",
    "torchaudio",
    "mlflow",
    "numpy",
    "pillow",
    "pyarrow",
    "simplejpeg",
    "soundfile",
    "tokenizers",
)


def check_packages() -> None:
    """Raises Shadowed when `tasks` or `cluster` would be imported from somewhere else than beside this package."""
    for name in ("tasks", "cluster"):
        spec = importlib.util.find_spec(name)
        origin = Path(spec.origin).resolve() if spec and spec.origin else None
        if origin != ROOT / name / "__init__.py":
            raise Shadowed(
                f"{origin or f'a folder {name}/'} hides Medley's own package {name!r} ({ROOT / name}); rename it, "
                "or start `medley` from another folder and without PYTHONPATH pointing there"
            )


@functools.cache
def revision() -> str:
    """Digest of our own sources, 16 hex digits."""
    digest = hashlib.sha256()
    for package in ("pipeline", "tasks", "cluster"):
        for path in sorted((ROOT / package).rglob("*.py")):
            digest.update(path.relative_to(ROOT).as_posix().encode() + b"\0" + path.read_bytes() + b"\0")
    return digest.hexdigest()[:16]


@functools.cache
def libraries() -> dict[str, str]:
    """Versions of the libraries that shape outputs."""
    found = {}
    for name in LIBRARIES:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            found[name] = ""
    return found
