"""The toy tasks of `dag`: a source that reads one file, and two kinds of joins, which hash what they are given into 1 KiB."""

from __future__ import annotations

import contextlib
import hashlib
import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from pipeline import catalog
from pipeline.catalog import Input, Task
from tasks.contracts import Inputs, Summary, TaskContext
from tasks.registry import Config
from tasks.registry import identity as identity_of

NUM_BYTES = 1024


class ToyConfig(Config):
    """What changes the output."""

    plus: int = 0
    """A parameter."""
    path: str = ""
    """A file beside the recipe."""
    function: str = ""
    """The user's own, `module:function`."""
    touch: bool = False
    """Write another byte into the file while it is read."""


def value(kind: str, version: int, plus: int, own: Sequence[bytes], given: Sequence[bytes]) -> bytes:
    """The output, as a pure function of everything that a change may touch."""
    seed = hashlib.sha256(json.dumps([kind, version, plus, *(part.hex() for part in (*own, *given))]).encode()).digest()
    return b"".join(hashlib.sha256(seed + bytes([block])).digest() for block in range(NUM_BYTES // 32))


def identity(config: Any, base_dir: Path) -> dict[str, Any]:
    """What the key has beside the settings."""
    found: dict[str, Any] = {}
    if config.path:
        status = (base_dir / config.path).stat()
        found["file"] = [config.path, status.st_size, status.st_mtime_ns]
    if config.function:
        found["function"] = identity_of({}, config.function)
    return found


def source(config: ToyConfig, inputs: Inputs, output_dir: Path, context: TaskContext) -> Summary:
    assert context.code_dir is not None
    path = context.code_dir / config.path
    data = path.read_bytes()
    if config.touch:
        path.write_bytes(data[:-1] + bytes([data[-1] ^ 1]))
    return _write(output_dir, "toy_source", config, [data], inputs)


def join(config: ToyConfig, inputs: Inputs, output_dir: Path, context: TaskContext) -> Summary:
    return _write(output_dir, "toy_join", config, _function(config, context), inputs)


def other(config: ToyConfig, inputs: Inputs, output_dir: Path, context: TaskContext) -> Summary:
    return _write(output_dir, "toy_other", config, _function(config, context), inputs)


def _function(config: ToyConfig, context: TaskContext) -> list[bytes]:
    assert context.code_dir is not None
    return [(context.code_dir / f"{config.function.partition(':')[0]}.py").read_bytes()] if config.function else []


def _write(output_dir: Path, kind: str, config: ToyConfig, own: list[bytes], inputs: Inputs) -> Summary:
    given = [(artifact.path / "value").read_bytes() for _, artifact in sorted(inputs.items())]
    (output_dir / "value").write_bytes(value(kind, catalog.CATALOG[kind].version, config.plus, own, given))
    return {"bytes": NUM_BYTES}


_GIVEN = {name: Input("", optional=True) for name in "abc"}
TASKS = {
    "toy_source": Task(f"{__name__}:ToyConfig", f"{__name__}:source", "toy", version=1),
    "toy_join": Task(f"{__name__}:ToyConfig", f"{__name__}:join", "toy", version=1, inputs=_GIVEN),
    "toy_other": Task(f"{__name__}:ToyConfig", f"{__name__}:other", "toy", version=1, inputs=_GIVEN),
}


@contextlib.contextmanager
def in_the_catalog() -> Iterator[None]:
    """The tasks beside the real ones, in this process, while the block runs."""
    before = dict(catalog.CATALOG)
    catalog.CATALOG.update(TASKS)
    try:
        yield
    finally:
        catalog.CATALOG.clear()
        catalog.CATALOG.update(before)
