"""A medium whose members do to their worker what they say: `crash`, `hang`, `bug`, `memory`, `bad …`, `filter`, `slow …`."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, NoReturn

import pytest

from tasks.contracts import Encoded, Fit
from tasks.errors import BadMember, FilteredOut
from tasks.modalities import MODALITIES, ModalityEntry
from tasks.registry import Config


class TrapPrepare(Config):
    """How traps are stored."""

    crash_once: str = ""
    """A file: the first worker that meets `crash once` creates it and dies."""
    spans: str = ""
    """A folder: each process writes there from when to when it was busy with `slow`, by the machine's clock."""
    extension: str = "trap"
    """In the tar."""


class TrapFit(Config):
    """Nothing to choose."""


class TrapRead(Config):
    """Nothing to choose."""


class OddError(Exception):
    """Cannot be unpickled."""

    def __init__(self, one: str, other: str) -> None:
        super().__init__(f"{one} {other}")


def die_once(flag: Path) -> None:
    if not flag.exists():
        flag.touch()
        os.kill(os.getpid(), signal.SIGKILL)


def fail(error: BaseException) -> NoReturn:
    raise error


ACTIONS: dict[str, Callable[[], object]] = {
    "crash": lambda: os._exit(9),
    "hang": lambda: time.sleep(600),
    "slow": lambda: time.sleep(0.03),
    "bug": lambda: fail(NameError("name 'nonsense' is not defined")),
    "odd": lambda: fail(OddError("an odd", "error")),
    "memory": lambda: fail(MemoryError()),
    "bad": lambda: fail(BadMember("trap/bad", "it says so")),
    "filter": lambda: fail(FilteredOut("trap/filtered")),
}
"""First word of a member → what it does."""


class Trap:
    """Implements the contract of a modality."""

    def encode(self, data: bytes, prepare: Any) -> Encoded:
        text = data.decode()
        if text.startswith("crash once"):
            die_once(Path(prepare.crash_once))
        elif text.startswith("slow") and prepare.spans:
            begun = time.monotonic()
            ACTIONS["slow"]()
            with Path(prepare.spans, str(os.getpid())).open("a") as file:
                file.write(f"{begun} {time.monotonic()}\n")
        elif action := ACTIONS.get(text.split(" ")[0]):
            action()
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
