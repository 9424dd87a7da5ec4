"""What of the pool nothing needs any more.

In: the units that shards artifacts still hold. Out: names of objects, in an order in which each may be taken away by itself: the rows of a
unit, whose presence says that it is whole, before its tar. Verdicts are no part of it: they decide bytes. Must not import ray or torch.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Iterator
from pathlib import Path

from tasks.contracts import Store
from tasks.errors import CorruptArtifact
from tasks.shards.pool import units_of_index


def units_of(shards: Path) -> list[str]:
    """Units of the pool that a shards artifact was made of. Raises CorruptArtifact."""
    path = shards / "shards.json"
    try:
        return units_in(path.read_bytes(), str(path))
    except OSError as error:
        raise _corrupt(str(path), error) from error


def units_in(data: bytes, where: str) -> list[str]:
    """The same from what stands in `shards.json`."""
    try:
        units: list[str] = json.loads(data)["units"]
    except (ValueError, KeyError, TypeError) as error:
        raise _corrupt(where, error) from error
    return units


def _corrupt(where: str, error: Exception) -> CorruptArtifact:
    return CorruptArtifact(
        f"{where} can't be read ({error}), so it isn't known which units it needs; "
        f"`medley shards verify {where.rpartition('/')[0]} --repair` takes it out"
    )


def unneeded(store: Store, in_use: Collection[str]) -> Iterator[str]:
    """Names in the pool that belong to no unit in use: rows, then tars, attempts and member indexes that point nowhere."""
    names = [name for name in store.list("pool") if not name.startswith(("pool/members/", "pool/attempts/"))]
    unused = [name for name in names if Path(name).stem not in in_use]
    yield from sorted(unused, key=lambda name: (not name.endswith(".parquet"), name))
    yield from (name for name in store.list("pool/attempts") if Path(name).name not in in_use)
    for name in store.list("pool/members"):
        if not set(units_of_index(store.local_path(name))) & set(in_use):
            yield name
