"""The example recipes' own code, imported as a run imports it: their folder on the Python path."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

EXAMPLES = Path(__file__).parents[2] / "examples"


@contextmanager
def on_path(folder: Path) -> Iterator[None]:
    before = set(sys.modules)
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(folder))
        yield
    for name in set(sys.modules) - before:
        if str(getattr(sys.modules[name], "__file__", "")).startswith(str(EXAMPLES)):
            del sys.modules[name]


@pytest.fixture(scope="module")
def digits() -> Iterator[ModuleType]:
    with on_path(EXAMPLES / "digits"):
        yield importlib.import_module("corpus")


@pytest.fixture(scope="module")
def spoken_digits() -> Iterator[ModuleType]:
    with on_path(EXAMPLES / "spoken_digits"):
        yield importlib.import_module("spoken_corpus")


def member(folder: Path, locator: Any) -> bytes:
    """Bytes a locator points to."""
    return (folder / locator.uri).read_bytes()[locator.offset : locator.offset + locator.length]
