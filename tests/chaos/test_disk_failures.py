"""The disk is full, fails, writes less than it was given or may not be written, at any call of a build.

The run then ends with a sentence of ours, publishes nothing half, and the same command afterwards makes the same bytes. `MEDLEY_CHAOS_SEED`
chooses the calls; a failure names the seed, the call and the fault.
"""

from __future__ import annotations

import contextlib
import io
import random
import re
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from pipeline.errors import PipelineError
from tasks.errors import TaskError
from tests.chaos.builds import go, place, shards, sources, wrong
from tests.chaos.calls import watched
from tests.chaos.faults import FAULTS, Failing, arrow_asks
from tests.chaos.seed import SEED, again
from tests.chaos.undisturbed import Undisturbed, undisturbed

__all__ = ["place", "sources"]

PHASES = ("first", "second")
BARE = re.compile(r"\[Errno|Traceback|\b[A-Z]\w*Error\b")
"""What a person should not have to read."""


@pytest.fixture(scope="module")
def build(sources: Path, tmp_path_factory: pytest.TempPathFactory) -> Undisturbed:
    return undisturbed(sources, tmp_path_factory.mktemp("undisturbed"), PHASES, arrow_asks)


def chosen(build: Undisturbed, number: int) -> Iterator[tuple[str, Failing]]:
    """So many faults, each kind equally often, at random calls that can end so."""
    chance = random.Random(SEED)
    for position in range(number):
        fault = sorted(FAULTS)[position % len(FAULTS)]
        phase = chance.choice(PHASES)
        calls = [place for place, call in enumerate(build.counts[phase].calls) if call.kind in FAULTS[fault][1]]
        yield phase, Failing(chance.choice(calls), fault, lasting=chance.random() < 0.5)


def meet(build: Undisturbed, phase: str, hook: Failing, root: Path) -> str:
    """Run a phase on a failing disk, then on a good one. Returns what was said."""
    call = build.counts[phase].calls[hook.number]
    told = again(f"{hook.fault}{' from then on' if hook.lasting else ''} at call {hook.number} of {phase} ({call.kind} {call.path})")
    shutil.copytree(build.stores[phase], root)
    hook.root = root
    said, stderr = "", io.StringIO()
    try:
        with contextlib.redirect_stderr(stderr), watched(root, hook), arrow_asks(hook, root):
            result = go(phase, build.sources, root)
        said = "\n".join(step.message for step in result.steps.values() if step.status == "failed")
        assert said or shards(result) == build.shards[phase], told
    except (PipelineError, TaskError) as error:
        said = str(error)
    except OSError as error:
        raise AssertionError(told) from error
    assert hook.met, told
    assert not BARE.search(said), f"{told}: {said}"
    assert "Traceback" not in stderr.getvalue(), f"{told}: {stderr.getvalue()}"
    assert not said or len(said.split()) > 8, f"{told}: {said}"
    assert wrong(root) == [], told
    assert shards(go(phase, build.sources, root)) == build.shards[phase], told
    assert wrong(root) == [], told
    return said


def test_a_disk_that_fails_anywhere_is_told_plainly_and_the_next_run_makes_the_same_bytes(build: Undisturbed, place: Path) -> None:
    said = [meet(build, phase, hook, place / str(number)) for number, (phase, hook) in enumerate(chosen(build, 60))]
    assert sum(map(bool, said)) > 30


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_three_hundred_failures(build: Undisturbed, place: Path) -> None:
    said = [meet(build, phase, hook, place / str(number)) for number, (phase, hook) in enumerate(chosen(build, 300))]
    assert sum(map(bool, said)) > 150
