"""The process is killed at a named point of its work: in the middle of a header, before an fsync, after a link, before the manifest.

Death is an exception that nobody catches, after which no call of the process reaches the disk any more: no clean-up, no last flush, and its
locks are gone, as after a SIGKILL. What it had written stays, for the machine lives on; `test_crash_states.py` lets that go too. The same
command then makes the same bytes and does nothing twice. `MEDLEY_CHAOS_SEED` chooses among the calls of a point; a failure names both.
"""

from __future__ import annotations

import json
import random
import shutil
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.chaos.builds import PHASES, go, place, shards, sources, wrong
from tests.chaos.calls import Call, watched
from tests.chaos.faults import Counting, Dying, Killed, bury
from tests.chaos.seed import SEED, again
from tests.chaos.undisturbed import Undisturbed, copy, undisturbed

__all__ = ["place", "sources"]

pytestmark = pytest.mark.filterwarnings("ignore:unclosed file:ResourceWarning")  # the dead close nothing

NAMED = {
    "inside the header in the write of a tar",
    "inside the data in the write of a tar",
    "inside the padding in the write of a tar",
    "before the sync of a tar",
    "after the sync of a tar",
    "before the link of a tar",
    "after the link of a tar",
    "before the create of rows",
    "before the sync of rows",
    "before the link of rows",
    "after the link of rows",
    "before the link of a member index",
    "before the create of a manifest",
    "inside the write of a manifest",
    "before the sync of a manifest",
    "before the rename of an artifact",
    "after the rename of an artifact",
    "before the link of a promotion",
    "inside the write of a journal",
}
"""Points that must be among those that are met."""


@dataclass(frozen=True)
class Point:
    """A named place in a phase."""

    phase: str
    name: str
    number: int
    """Of the call."""
    when: str
    num_bytes: int = 0


@pytest.fixture(scope="module")
def build(sources: Path, tmp_path_factory: pytest.TempPathFactory) -> Undisturbed:
    return undisturbed(sources, tmp_path_factory.mktemp("undisturbed"), PHASES)


def points(phase: str, count: Counting) -> Iterator[Point]:
    """Before and after each call that changes something, and inside each write."""
    becomes = {call.path: call.target for call in count.calls if call.kind in ("link", "rename")}
    for number, call in enumerate(count.calls):
        if call.kind == "open":
            continue
        what = thing(call, becomes)
        yield Point(phase, f"before the {call.kind} of {what}", number, "before")
        if number in count.done:
            yield Point(phase, f"after the {call.kind} of {what}", number, "after")
        if call.kind == "write" and what == "a tar":
            for place, num_bytes in {"header": 100, "data": 515, "padding": 1000}.items():
                yield Point(phase, f"inside the {place} in the write of {what}", number, "inside", num_bytes)
        elif call.kind == "write":
            yield Point(phase, f"inside the write of {what}", number, "inside", len(call.data) // 2)


def thing(call: Call, becomes: Mapping[str, str]) -> str:
    """What a call is about, by the name that its file has in the end."""
    parts = call.path.split("/")
    if parts[0] == "tmp" and len(parts) > 2:
        return "a manifest" if parts[-1] == "manifest.json" else "a file of an artifact"
    name = becomes.get(call.path, call.path)
    kinds = {
        "artifacts": "an artifact",
        "pool/members": "a member index",
        "pool/attempts": "an attempt",
        "promotions": "a promotion",
        "pins": "a pin",
        "runs": "a journal" if name.endswith("journal.jsonl") else "a log",
    }
    for beginning, kind in kinds.items():
        if name.startswith(f"{beginning}/"):
            return kind
    if name.startswith("pool/"):
        return {".tar": "a tar", ".parquet": "rows"}.get(Path(name).suffix, "a folder of the pool")
    return name.partition("/")[0] or "the store"


def die_at(build: Undisturbed, point: Point, root: Path) -> None:
    told = again(f"killed {point.name} (call {point.number} of {point.phase})")
    copy(build.stores[point.phase], root)
    hook = Dying(point.number, point.when, point.num_bytes)
    try:
        with watched(root, hook):
            go(point.phase, build.sources, root)
    except Killed:
        pass
    assert hook.dead, told
    bury(root)
    assert wrong(root, point.phase == "gc") == [], told
    finished = {path.stem for path in root.glob("pool/??/*.parquet")}
    result = go(point.phase, build.sources, root)
    assert shards(result) == build.shards[point.phase], told
    assert wrong(root, point.phase == "gc") == [], told
    if result.steps["shards"].status == "ran":
        units = json.loads((Path(result.steps["shards"].artifact) / "shards.json").read_bytes())["units"]
        built = result.steps["shards"].summary["units"]["built"]
        assert built == len(set(units) - finished), f"{told}: a finished unit was built again"
    shutil.rmtree(root)


def chosen(build: Undisturbed, names: set[str] | None, number: int) -> list[Point]:
    """One point of each name (of all, or of these), and others up to the number."""
    chance = random.Random(SEED)
    by_name: dict[str, list[Point]] = {}
    all_points = [point for phase, count in build.counts.items() for point in points(phase, count)]
    for point in all_points:
        by_name.setdefault(point.name, []).append(point)
    assert set(by_name) >= NAMED
    found = [chance.choice(by_name[name]) for name in sorted(names or by_name)]
    return found + chance.sample(all_points, max(0, number - len(found)))


def test_killed_at_named_points_the_same_command_makes_the_same_bytes(build: Undisturbed, place: Path) -> None:
    for point in chosen(build, NAMED, 30):
        die_at(build, point, place / "store")


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_two_hundred_kills_at_every_named_point(build: Undisturbed, place: Path) -> None:
    found = chosen(build, None, 250)
    print(f"{len(found)} kills at {len({point.name for point in found})} named points")
    assert len(found) >= 200
    for point in found:
        die_at(build, point, place / "store")
