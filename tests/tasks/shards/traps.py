"""A medium whose members do to their worker what they say: `crash`, `hang`, `bug`, `memory`, `bad …`, `filter`, `slow …`."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from tasks.contracts import Encoded, Fit
from tasks.errors import BadMember, FilteredOut
from tasks.modalities import MODALITIES, ModalityEntry
from tasks.registry import Config


class TrapPrepare(Config):
    """How traps are stored."""

    crash_once: str = ""
    """A file: the first worker that meets `crash once` creates it and dies."""
    extension: str = "trap"
    """In the tar."""


class TrapFit(Config):
    """Nothing to choose."""


class TrapRead(Config):
    """Nothing to choose."""


class Trap:
    """Implements the contract of a modality."""

    def encode(self, data: bytes, prepare: Any) -> Encoded:
        text = data.decode()
        word = text.split(" ")[0]
        if text.startswith("crash once"):
            if not Path(prepare.crash_once).exists():
                Path(prepare.crash_once).touch()
                os.kill(os.getpid(), signal.SIGKILL)
        elif word == "crash":
            os._exit(9)
        elif word == "hang":
            time.sleep(600)
        elif word == "bug":
            raise NameError("name 'nonsense' is not defined")
        elif word == "memory":
            raise MemoryError
        elif word == "bad":
            raise BadMember("trap/bad", f"it says so: {text}")
        elif word == "filter":
            raise FilteredOut("trap/filtered")
        elif word == "slow":
            time.sleep(0.05)
        return Encoded(prepare.extension, data.upper(), {"count": 1, "bytes": len(data), "max_bytes": len(data)})

    def probes(self) -> Iterator[bytes]:
        yield b"probe"

    def fit(self, config: Any, stats: Mapping[str, Any], members: Callable[[], Iterator[bytes]]) -> Fit:
        return Fit({**stats, "first": next(members()).decode()})

    def reader(self, config: Any, fit: Fit) -> Any:
        raise NotImplementedError


def set_traps(monkeypatch: pytest.MonkeyPatch) -> None:
    """Register the medium for a test."""
    entry = ModalityEntry(TrapPrepare, TrapFit, TrapRead, "tests.tasks.shards.traps:Trap", version=1, extensions=("trap",))
    monkeypatch.setitem(MODALITIES, "trap", entry)
