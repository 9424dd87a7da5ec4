"""SIGKILL of real workers and real drivers at random times of a shard step over Ray: same bytes, no sample lost or doubled.

A worker is whoever holds the attempt file of a unit of this store open, so that no process of anybody else is ever meant.
`MEDLEY_CHAOS_SEED` chooses the times; the rest is up to the machine, as it is in life.
"""

from __future__ import annotations

import contextlib
import os
import random
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from pipeline.store import LocalStore
from tasks.contracts import Artifact, Summary
from tasks.shards.verify import verify
from tests.chaos.seed import SEED, again
from tests.conftest import ROOT
from tests.tasks.shards.corpora import Record, context, hashes, make_shards, write_corpus
from tests.tasks.shards.traps import set_traps

pytestmark = [
    pytest.mark.ray,
    pytest.mark.slow,
    pytest.mark.timeout(1800),
    pytest.mark.usefixtures("ray_session"),
    pytest.mark.filterwarnings("ignore::DeprecationWarning:ray"),  # Ray's own use of its deprecated settings
]

NUM_RECORDS = 400
SETTINGS = {"prepare": {"trap": {}}, "sizes": {"min_records": 15, "max_records": 25}}
KILLS = 20
KILLS_A_BUILD = 5


@pytest.fixture
def corpus(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Artifact:
    """Records of which each takes 30 ms."""
    set_traps(monkeypatch)
    return write_corpus(tmp_path / "corpus", [Record(f"s{number:03d}", {"trap": b"slow %d" % number}) for number in range(NUM_RECORDS)])


def build(folder: Path, corpus: Artifact, store: LocalStore) -> Summary:
    return make_shards(folder, corpus, store, run=context(store), **SETTINGS)


def is_right(summary: Summary, folder: Path, wanted: dict[str, str]) -> None:
    assert summary["ledger"]["written"] == summary["ledger"]["in"] == NUM_RECORDS, again(summary)
    assert verify(folder) == []
    assert hashes(folder) == wanted, again("other bytes")


def finished(store: LocalStore) -> int:
    return len(list(store.root.glob("pool/??/*.parquet")))


def workers(store: LocalStore) -> list[int]:
    """Processes that are building a unit of this store."""
    attempts = f"{store.root}/pool/attempts/"
    found = set()
    for entry in Path("/proc").glob("[0-9]*/fd/*"):
        with contextlib.suppress(OSError):
            if os.readlink(entry).startswith(attempts):
                found.add(int(entry.parts[2]))
    return sorted(found - {os.getpid()})


def test_twenty_workers_killed_at_random_times(tmp_path: Path, corpus: Artifact) -> None:
    build(tmp_path / "undisturbed", corpus, LocalStore.open(tmp_path / "undisturbed-store"))
    wanted, chance, killed = hashes(tmp_path / "undisturbed"), random.Random(SEED), 0
    for number in range(40):
        store = LocalStore.open(tmp_path / f"store-{number}")
        with killing(store, chance, min(KILLS_A_BUILD, KILLS - killed)) as victims:
            summary = build(tmp_path / f"killed-{number}", corpus, store)
        is_right(summary, tmp_path / f"killed-{number}", wanted)
        killed += len(victims)
        if killed == KILLS:
            break
    assert killed == KILLS


@contextlib.contextmanager
def killing(store: LocalStore, chance: random.Random, number: int) -> Iterator[list[int]]:
    """Meanwhile kills so many workers, if there are workers for long enough. Gives their processes."""
    over, victims = threading.Event(), list[int]()

    def work() -> None:
        while len(victims) < number and not over.wait(chance.uniform(0.2, 1.5)):
            if living := [worker for worker in workers(store) if worker not in victims]:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(victim := chance.choice(living), signal.SIGKILL)
                    victims.append(victim)

    thread = threading.Thread(target=work)
    thread.start()
    try:
        yield victims
    finally:
        over.set()
        thread.join()


def test_twenty_drivers_killed_at_random_times(tmp_path: Path, corpus: Artifact) -> None:
    build(tmp_path / "undisturbed", corpus, LocalStore.open(tmp_path / "undisturbed-store"))
    wanted, chance, killed = hashes(tmp_path / "undisturbed"), random.Random(SEED + 1), 0
    for number in range(40):
        store = LocalStore.open(tmp_path / f"store-{number}")
        for _ in range(min(KILLS_A_BUILD, KILLS - killed)):
            killed += driver_killed(tmp_path, corpus, store, chance)
        before = finished(store)
        summary = build(tmp_path / f"again-{number}", corpus, store)
        is_right(summary, tmp_path / f"again-{number}", wanted)
        assert summary["units"]["reused"] >= before
        if killed == KILLS:
            break
    assert killed == KILLS


def driver_killed(tmp_path: Path, corpus: Artifact, store: LocalStore, chance: random.Random) -> bool:
    """Start the step in a process of its own and kill that once units are being built. False when it was done before."""
    import ray

    address = ray.get_runtime_context().gcs_address
    script = f"""
import uuid
from pathlib import Path
import pytest, ray
from tests.chaos.test_real_kills import *
set_traps(pytest.MonkeyPatch())
ray.init({address!r}, log_to_driver=False, job_config=ray.job_config.JobConfig(_py_driver_sys_path=[{str(ROOT)!r}]))
corpus = Artifact("corpus", {corpus.key!r}, Path({str(corpus.path)!r}))
build(Path({str(tmp_path)!r}) / uuid.uuid4().hex, corpus, LocalStore(Path({str(store.root)!r})))
"""
    process = subprocess.Popen([sys.executable, "-c", script], cwd=ROOT, env={**os.environ, "PYTHONWARNINGS": "ignore"})
    try:
        while process.poll() is None and not workers(store):
            time.sleep(0.05)
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(chance.uniform(0, 2))
    finally:
        died = process.poll() is None
        process.kill()
        process.wait()
    return died
