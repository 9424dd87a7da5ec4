"""The power goes at any moment of a build: whatever the disk then holds, nothing names what is not there, and the same command mends it.

A build of two runs, a promotion log and a `gc` is recorded call by call, and every prefix of it is replayed with what was not synced
dropped, kept or torn (see `tests/chaos/power.py`). `MEDLEY_CHAOS_SEED` chooses the random ones; a failure names the seed, the call and the
variant, and `cut_at` below makes that state again.
"""

from __future__ import annotations

import contextlib
import random
import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import pytest

from pipeline.store import LocalStore
from tasks import promotions
from tests.chaos.builds import PHASES, go, place, shards, sources, wrong
from tests.chaos.calls import watched
from tests.chaos.faults import Dying, Killed, RecordedUntilDeath, bury
from tests.chaos.power import Cut, Power, Recorder, cuts
from tests.chaos.seed import SEED, again

__all__ = ["place", "sources"]


@dataclass(frozen=True)
class Build:
    """What was recorded."""

    sources: Path
    recorder: Recorder
    ends: dict[str, int]
    """Phase → operations up to its end."""
    shards: dict[str, dict[str, str]]
    """Phase → the shards it makes."""
    store: Path

    def phase(self, position: int) -> str:
        """What was under way: the command to be given again."""
        return next(phase for phase in PHASES if position <= self.ends[phase])


@pytest.fixture(scope="module")
def build(sources: Path, tmp_path_factory: pytest.TempPathFactory) -> Build:
    root = tmp_path_factory.mktemp("recorded") / "store"
    recorder, ends, made = Recorder(root), {}, {}
    for phase in PHASES:
        with watched(root, recorder):
            result = go(phase, sources, root)
        ends[phase], made[phase] = len(recorder.operations), shards(result)
        assert wrong(root, phase == "gc") == []
    return Build(sources, recorder, ends, made, root)


def cut_at(build: Build, position: int, variant: str, num_random: int = 8) -> Cut:
    """A state by what a failure says of it."""
    return next(cut for cut in cuts(build.recorder, SEED, num_random) if (cut.position, cut.variant) == (position, variant))


def test_the_record_is_complete(build: Build) -> None:
    power = Power(frozenset(build.recorder.folders))
    for operation in build.recorder.operations:
        power.add(operation)
    files = power.cut(power.unsynced_names, "kept", random.Random(0)).files
    real = {path.relative_to(build.store).as_posix(): path for path in build.store.rglob("*")}
    assert set(files) == set(real)
    assert [path for path, (_, content) in files.items() if content is not None and content != real[path].read_bytes()] == []


@pytest.mark.parametrize("phase", PHASES)
def test_what_a_command_has_said_is_done_survives_the_power_cut_right_after(build: Build, place: Path, phase: str) -> None:
    cut_at(build, build.ends[phase], "nothing that was not synced").state.write(place / "store")
    result = go(phase, build.sources, place / "store")
    assert {step.status for step in result.steps.values()} == {"cached"}
    assert shards(result) == build.shards[phase]


def test_a_power_cut_at_any_moment_leaves_a_store_that_tells_the_truth_and_goes_on(build: Build, place: Path) -> None:
    found = [cut for cut in cuts(build.recorder, SEED, 2) if cut.position > 2]
    survive(build, random.Random(SEED).sample(found, 100), place)


@pytest.mark.slow
@pytest.mark.timeout(3600)
def test_two_thousand_power_cuts(build: Build, place: Path) -> None:
    found: dict[str, Cut] = {}
    for cut in cuts(build.recorder, SEED, 4):
        found.setdefault(cut.state.digest(), cut)
    without_journals = {cut.state.digest(without="runs/") for cut in found.values()}
    print(
        f"{len(build.recorder.operations)} operations, {len(found)} distinct states, {len(without_journals)} apart from journals and logs"
    )
    assert len(without_journals) >= 2000, again(len(without_journals))
    survive(build, list(found.values()), place)


def survive(build: Build, chosen: Sequence[Cut], place: Path) -> None:
    """Each state names nothing that is not there; the command that was under way then ends as if nothing had happened."""
    for cut in chosen:
        phase, root = build.phase(cut.position), place / "store"
        told = again(f"power cut after operation {cut.position} ({build.recorder.said[cut.position - 1]}), {cut.variant}")
        cut.state.write(root)
        assert wrong(root, phase == "gc") == [], told
        result = go(phase, build.sources, root)
        assert result.status == "done", (told, {name: step.message for name, step in result.steps.items()})
        assert shards(result) == build.shards[phase], told
        assert wrong(root, phase == "gc") == [], told
        log = promotions.read_log(LocalStore(root), "tiny")
        assert [entry.action for entry in log] == ["refused", "promoted"][: 1 if phase == "first" else 2], told
        shutil.rmtree(root)


@pytest.mark.filterwarnings("ignore:unclosed file:ResourceWarning")  # the dead close nothing
def test_a_process_is_killed_the_command_given_again_and_then_the_power_goes(build: Build, place: Path) -> None:
    """What the killed process left unsynced was seen and used by the next one. Here a member index may name a unit that is lost with the
    folder it was in: readers look whether it is there.
    """
    chance = random.Random(SEED)
    for number in range(6):
        phase, root = chance.choice(PHASES[:2]), place / f"store-{number}"
        recorder, dying = Recorder(root), Dying(chance.randrange(300), chance.choice(("before", "after")))
        for earlier in PHASES[: PHASES.index(phase)]:
            with watched(root, recorder):
                go(earlier, build.sources, root)
        with contextlib.suppress(Killed), watched(root, RecordedUntilDeath(dying, recorder)):
            go(phase, build.sources, root)
        bury(root)
        died_at = len(recorder.operations)
        with watched(root, recorder):
            go(phase, build.sources, root)
        later = [cut for cut in cuts(recorder, SEED, 2) if cut.position >= died_at]
        told = f"killed {dying.when} call {dying.number} of {phase}"
        for cut in [later[-7], *chance.sample(later, 4)]:
            cut.state.write(place / "cut")
            assert wrong(place / "cut", swept=True) == [], again(f"{told}, cut at {cut.position}: {cut.variant}")
            assert shards(go(phase, build.sources, place / "cut")) == build.shards[phase], told
            shutil.rmtree(place / "cut")


def test_these_checks_notice_a_store_that_lies(build: Build, place: Path) -> None:
    cut_at(build, build.ends["gc"], "all names, bytes kept").state.write(place / "store")
    assert wrong(place / "store", swept=True) == []
    for pattern in ("pool/??/*.tar", "artifacts/*/*/records.parquet", "promotions/tiny/1.json", "FORMAT"):
        path = next((place / "store").glob(pattern))
        kept = path.read_bytes()
        path.unlink()
        path.write_bytes(kept[:-2])
        assert wrong(place / "store", swept=True), pattern
        path.write_bytes(kept)
    assert wrong(place / "store", swept=True) == []
