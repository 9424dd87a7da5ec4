"""A build that nothing disturbs, phase by phase: stores to begin from, calls that can go wrong, and the shards that must come out."""

from __future__ import annotations

import contextlib
import shutil
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from tests.chaos.builds import go, shards
from tests.chaos.calls import watched
from tests.chaos.faults import Counting


@dataclass(frozen=True)
class Undisturbed:
    """A build in phases."""

    sources: Path
    stores: dict[str, Path]
    """Phase → the store before it."""
    counts: dict[str, Counting]
    """Phase → what it called."""
    shards: dict[str, dict[str, str]]
    """Phase → shard → SHA-256."""


Also = Callable[[Counting, Path], contextlib.AbstractContextManager[None]]
"""What else is watched meanwhile."""


def undisturbed(
    sources: Path, folder: Path, phases: Sequence[str], also: Also = lambda _count, _root: contextlib.nullcontext()
) -> Undisturbed:
    """Build in `folder`, and keep the store as it was before each phase."""
    root = folder / "store"
    root.mkdir()
    build = Undisturbed(sources, {}, {}, {})
    for phase in phases:
        build.stores[phase] = folder / phase
        copy(root, build.stores[phase])
        count = build.counts[phase] = Counting()
        with watched(root, count), also(count, root):
            result = go(phase, sources, root)
        build.shards[phase] = shards(result)
    return build


def copy(store: Path, to: Path) -> None:
    """Hard links stay hard links, as in the store itself."""
    first: dict[int, Path] = {}
    for path in [store, *sorted(store.rglob("*"))]:
        target = to / path.relative_to(store)
        if path.is_dir():
            target.mkdir()
        elif path.stat().st_ino in first:
            target.hardlink_to(first[path.stat().st_ino])
        else:
            first[path.stat().st_ino] = Path(shutil.copy2(path, target))
