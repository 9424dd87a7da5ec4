"""The shard step over Ray Data: the same bytes whatever the number of workers, whoever dies, and however often it starts again."""

from __future__ import annotations

import itertools
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from pipeline.store import LocalStore
from tasks.contracts import Artifact
from tasks.errors import Stopped
from tasks.shards.verify import verify
from tests.tasks.shards.corpora import Record, Recorder, context, hashes, make_shards, picture, texts, write_corpus
from tests.tasks.shards.traps import set_traps

pytestmark = [
    pytest.mark.ray,
    pytest.mark.usefixtures("ray_session"),
    pytest.mark.filterwarnings("ignore::DeprecationWarning:ray"),  # Ray's own use of its deprecated settings
]

ROOT = Path(__file__).parents[2]
SMALL = {"sizes": {"min_records": 15, "max_records": 25}}


@pytest.fixture
def corpus(tmp_path: Path) -> Artifact:
    records = texts(160)
    for number, record in enumerate(records):
        record.members = {**record.members, **({"image": picture(number, kind="jpeg")} if number % 2 else {})}
    return write_corpus(tmp_path / "corpus", records)


def build(folder: Path, corpus: Artifact, *, data_tasks: int = 2, store: LocalStore | None = None, **settings: object) -> dict[str, str]:
    store = store or LocalStore.open(folder.with_name(f"{folder.name}-store"))
    chosen = {"prepare": {"text": {}, "image": {"max_side": 8}}, **SMALL, **settings}
    summary = make_shards(folder, corpus, store, run=context(store, data_tasks=data_tasks), **chosen)
    assert summary["ledger"]["in"] == sum(count for status, count in summary["ledger"].items() if status != "in")
    assert verify(folder) == []
    return hashes(folder)


def test_one_worker_and_two_make_the_same_shards(tmp_path: Path, corpus: Artifact) -> None:
    one = build(tmp_path / "one", corpus, data_tasks=1)
    assert len(one) >= 8
    assert build(tmp_path / "two", corpus, data_tasks=2) == one


def test_no_more_data_tasks_run_at_once_than_asked_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    set_traps(monkeypatch)
    corpus = write_corpus(tmp_path / "corpus", [Record(f"s{number:03d}", {"trap": b"slow %d" % number}) for number in range(100)])
    spans = tmp_path / "spans"
    spans.mkdir()
    settings = {"prepare": {"trap": {"spans": str(spans)}}, "sizes": {"min_records": 5, "max_records": 10}}
    assert len(build(tmp_path / "one", corpus, data_tasks=1, **settings)) >= 10
    busy = [[float(moment) for moment in line.split()] for path in spans.iterdir() for line in path.read_text().splitlines()]
    assert len(busy) == 100
    assert all(begun >= ended for (_, ended), (begun, _) in itertools.pairwise(sorted(busy))), "two were busy at once, on two CPUs"


def test_a_run_killed_half_way_and_started_again_makes_the_same_shards(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import ray

    set_traps(monkeypatch)
    corpus = write_corpus(tmp_path / "corpus", [Record(f"s{number:03d}", {"trap": b"slow %d" % number}) for number in range(160)])
    store = LocalStore.open(tmp_path / "store")
    address = ray.get_runtime_context().gcs_address
    script = f"""
from pathlib import Path
import pytest, ray
from tests.tasks.test_shard_ray import *
set_traps(pytest.MonkeyPatch())
ray.init({address!r}, log_to_driver=False, job_config=ray.job_config.JobConfig(_py_driver_sys_path=[{str(ROOT)!r}]))
corpus = Artifact("corpus", {corpus.key!r}, Path({str(corpus.path)!r}))
build(Path({str(tmp_path / "killed")!r}), corpus, store=LocalStore.open(Path({str(store.root)!r})), prepare={{"trap": {{}}}})
"""
    process = subprocess.Popen([sys.executable, "-c", script], cwd=ROOT, env={**os.environ, "PYTHONWARNINGS": "ignore"})
    try:
        wait_until(lambda: len(units(store)) >= 2, process)
    finally:
        os.kill(process.pid, signal.SIGKILL)
        process.wait()
    finished = len(tars(store))
    assert finished < 8
    summary_of = Recorder()
    settings = {"prepare": {"trap": {}}, **SMALL}
    summary = make_shards(tmp_path / "again", corpus, store, run=context(store, sink=summary_of), **settings)
    assert summary["units"]["reused"] >= 2
    assert summary["ledger"]["written"] == 160
    assert hashes(tmp_path / "again") == build(tmp_path / "fresh", corpus, prepare={"trap": {}})


def test_workers_that_die_are_replaced_and_their_records_judged(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    set_traps(monkeypatch)
    words = ["ok"] * 100
    words[17], words[18], words[60] = "crash", "crash once", "hang"
    records = [Record(f"r{number:03d}", {"trap": f"{word} {number}".encode()}) for number, word in enumerate(words)]
    corpus = write_corpus(tmp_path / "corpus", records)
    store = LocalStore.open(tmp_path / "store")
    prepare = {"trap": {"crash_once": str(tmp_path / "flag")}}
    summary = make_shards(tmp_path / "out", corpus, store, prepare=prepare, decode_timeout_s=1, **SMALL)
    assert summary["quarantined"] == {"decoder/crashed": 1, "decoder/hung": 1}
    assert summary["ledger"]["written"] == 98
    assert (tmp_path / "flag").exists()


def test_a_stop_ends_it_soon_and_the_next_run_goes_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    set_traps(monkeypatch)
    corpus = write_corpus(tmp_path / "corpus", [Record(f"s{number:03d}", {"trap": b"slow %d" % number}) for number in range(300)])
    store = LocalStore.open(tmp_path / "store")
    stop = threading.Event()

    def stop_after_the_first() -> None:
        wait_until(lambda: len(tars(store)) >= 1)
        stop.set()

    threading.Thread(target=stop_after_the_first, daemon=True).start()
    begun = time.monotonic()
    with pytest.raises(Stopped):
        make_shards(tmp_path / "a", corpus, store, run=context(store, stop=stop), prepare={"trap": {}}, **SMALL)
    assert time.monotonic() - begun < 30
    finished = len(units(store))
    summary = make_shards(tmp_path / "b", corpus, store, prepare={"trap": {}}, **SMALL)
    assert summary["units"]["reused"] >= finished


def units(store: LocalStore) -> list[str]:
    """Rows of finished units: a tar without them is one that is about to be finished."""
    return [name for name in store.list("pool") if name.endswith(".parquet") and not name.startswith("pool/members/")]


def tars(store: LocalStore) -> list[str]:
    return [name for name in store.list("pool") if name.endswith(".tar")]


def wait_until(condition: object, process: subprocess.Popen[bytes] | None = None) -> None:
    deadline = time.monotonic() + 60
    while not condition():  # type: ignore[operator]
        assert time.monotonic() < deadline, "waited for a minute"
        assert process is None or process.poll() is None, "the run ended too early"
        time.sleep(0.05)
