"""Leases, with real processes that race, work, are killed and are held up, over a folder and over a bucket."""

from __future__ import annotations

import json
import multiprocessing
import os
import random
import signal
import threading
import time
from itertools import pairwise
from pathlib import Path

import pytest

from pipeline.errors import StoreError
from pipeline.leases import Pace, held
from pipeline.places import Place
from pipeline.store import LocalStore
from pipeline.stores import open_store

PACE = Pace(beat_s=0.25, silence_s=2.0, look_s=0.05)
PROCESSES = 8


class GivenUp(Exception):
    """Waited long enough."""


@pytest.fixture(params=[pytest.param("folder", marks=pytest.mark.slow), "s3"])
def where(request: pytest.FixtureRequest, tmp_path: Path) -> Place:
    return tmp_path / "store" if request.param == "folder" else str(request.getfixturevalue("s3_url"))


@pytest.fixture
def store(tmp_path: Path) -> LocalStore:
    return open_store(tmp_path / "store")


def give_up() -> None:
    raise GivenUp


def test_a_lease_is_counted_given_back_and_taken_again(store: LocalStore) -> None:
    for n in (1, 2, 3):
        with held(store, "x", PACE) as lease:
            assert (lease.n, lease.is_held) == (n, True)
    assert store.list("leases/x") == [f"leases/x/{n}.{kind}" for n in (1, 2, 3) for kind in ("json", "over")]


def test_only_one_holds_it_and_leases_of_other_names_are_others(store: LocalStore) -> None:
    with held(store, "x", PACE), held(store, "y", PACE), pytest.raises(GivenUp), held(store, "x", PACE, give_up):
        pytest.fail("two held it")


def test_who_gives_signs_of_life_is_waited_for_longer_than_the_silence(store: LocalStore) -> None:
    pace = Pace(beat_s=0.05, silence_s=1.0, look_s=0.02)
    until = time.monotonic() + 1.6

    def wait() -> None:
        if time.monotonic() > until:
            raise GivenUp

    with held(store, "x", pace) as lease, pytest.raises(GivenUp), held(store, "x", pace, wait):
        pytest.fail("it was taken from one that lives")
    assert lease.n == 1
    assert [name for name in store.list("leases/x") if "beat" in name] == [], "its signs of life are gone when it is"


def test_a_holder_that_was_held_up_knows_that_it_may_have_lost_it(store: LocalStore, monkeypatch: pytest.MonkeyPatch) -> None:
    pace = Pace(beat_s=0.05, silence_s=0.6, look_s=0.02)

    def away(self: LocalStore, name: str, data: bytes) -> bool:
        raise StoreError("away")

    with held(store, "x", pace) as first:
        with monkeypatch.context() as patch:
            patch.setattr(LocalStore, "create", away)
            time.sleep(0.7)
        assert not first.is_held
        with held(store, "x", pace) as second:
            assert second.n == 2
            time.sleep(0.2)
            assert not first.is_held, "a sign of life that comes too late brings nothing back"


def _work(place: Place, folder: Path, number: int, rounds: int, deaths: int) -> None:
    """Holds the lease again and again, writes down when, and dies at once in the midst of some rounds."""
    store, chance = open_store(place), random.Random(number)
    for turn in range(rounds):
        with held(store, "work", PACE) as lease:
            entered = time.monotonic()
            counter = folder / "counter"
            value = int(counter.read_text())
            time.sleep(chance.uniform(0.0, 0.05))
            if number < deaths and turn == 0:
                _note(folder, lease.n, entered, min(time.monotonic(), lease.held_until), killed=True)
                os.kill(os.getpid(), signal.SIGKILL)
            if lease.is_held:
                counter.write_text(str(value + 1))
            _note(folder, lease.n, entered, min(time.monotonic(), lease.held_until), killed=False)


def _note(folder: Path, n: int, entered: float, left: float, *, killed: bool) -> None:
    (folder / f"turn-{n}.json").write_text(json.dumps({"n": n, "entered": entered, "left": left, "killed": killed}))


def contest(where: Place, folder: Path, rounds: int, deaths: int) -> list[dict[str, float]]:
    folder.mkdir()
    (folder / "counter").write_text("0")
    open_store(where)
    spawn = multiprocessing.get_context("spawn")
    processes = [spawn.Process(target=_work, args=(where, folder, number, rounds, deaths)) for number in range(PROCESSES)]
    for process in processes:
        process.start()
    for process in processes:
        process.join(240)
    assert [process.exitcode for process in processes] == [-signal.SIGKILL] * deaths + [0] * (PROCESSES - deaths)
    return sorted((json.loads(path.read_bytes()) for path in folder.glob("turn-*.json")), key=lambda turn: turn["n"])


def check(turns: list[dict[str, float]], counter: int, rounds: int, deaths: int) -> None:
    assert [turn["n"] for turn in turns] == list(range(1, (PROCESSES - deaths) * rounds + deaths + 1)), "n grows by one with each holder"
    for before, after in pairwise(turns):
        assert before["left"] <= after["entered"], f"{before['n']} and {after['n']} held it at once"
    assert sum(bool(turn["killed"]) for turn in turns) == deaths
    assert counter == (PROCESSES - deaths) * rounds, "an update was lost"


def test_eight_processes_hold_it_one_after_the_other_though_one_of_them_is_killed_while_it_does(where: Place, tmp_path: Path) -> None:
    """All clocks are of one machine here, so that the turns can be compared; the leases themselves compare none."""
    turns = contest(where, tmp_path / "turns", rounds=1, deaths=1)
    check(turns, int((tmp_path / "turns" / "counter").read_text()), rounds=1, deaths=1)


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_eight_processes_many_times_and_six_of_them_are_killed(where: Place, tmp_path: Path) -> None:
    turns = contest(where, tmp_path / "turns", rounds=10, deaths=6)
    check(turns, int((tmp_path / "turns" / "counter").read_text()), rounds=10, deaths=6)


def test_many_threads_of_one_process_hold_it_one_at_a_time(store: LocalStore) -> None:
    inside, most, lock = 0, 0, threading.Lock()

    def work() -> None:
        nonlocal inside, most
        with held(store, "x", PACE):
            with lock:
                inside += 1
                most = max(most, inside)
            time.sleep(0.01)
            with lock:
                inside -= 1

    threads = [threading.Thread(target=work) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert most == 1
