"""Small folders, contexts and records that the tests of sources and of ingest share."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pipeline.store import LocalStore
from tasks.contracts import TaskContext


@dataclass
class Sink:
    """Remembers what it was told."""

    notes: list[str] = field(default_factory=list)
    progressed: list[tuple[float, float | None]] = field(default_factory=list)

    def progress(self, done: float, total: float | None, unit: str, detail: str = "") -> None:
        self.progressed.append((done, total))

    def metrics(self, values: Mapping[str, float], step: int) -> None: ...

    def note(self, message: str) -> None:
        self.notes.append(message)


@dataclass
class Stop:
    """Says stop once it was asked `after` times."""

    after: int = 1 << 60

    def is_set(self) -> bool:
        self.after -= 1
        return self.after < 0


def context(folder: Path, **changes: Any) -> TaskContext:
    """A context whose recipe lies in `folder`, with an empty store."""
    given: dict[str, Any] = {
        "store": LocalStore(folder / "store"),
        "key": "k",
        "step": "corpus",
        "seed": 0,
        "work_dir": folder,
        "sink": Sink(),
        "stop": Stop(),
    }
    return TaskContext(**{**given, "code_dir": folder, **changes})


def write_files(root: Path, files: Mapping[str, bytes]) -> Path:
    """Files by relative path."""
    for name, data in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
    return root
