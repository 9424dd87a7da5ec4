"""`retry` takes up what something outside the bytes kept out, once that is mended, and nothing that is bad by its bytes."""

from __future__ import annotations

import contextlib
import ctypes
import json
import os
from collections.abc import Iterator
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from pipeline import Options, build_graph, in_process, load_recipe, make_plan, run_plan
from pipeline.retry import Taken, retry
from pipeline.runner import RunResult
from pipeline.store import LocalStore
from tests.pipeline.test_cli import call
from tests.tasks.sources.test_webdataset import write_tar

RECIPE = """\
name: closed
store: store
steps:
  corpus: {task: ingest, source: {format: folder, path: data}}
  shards: {task: shard, corpus: corpus, prepare: {text: {}}, bad_records: {max_rate: 1.0}}
"""

_VERSION_3 = 0x20080522
_OVERRIDES = 1 << 1 | 1 << 2
"""CAP_DAC_OVERRIDE and CAP_DAC_READ_SEARCH: with them root opens every file, whatever its permissions."""


@contextlib.contextmanager
def as_anybody() -> Iterator[None]:
    """Permissions hold in this thread and in those it starts, also where the tests run as root."""
    libc = ctypes.CDLL(None, use_errno=True)
    head, held = (ctypes.c_uint32 * 2)(_VERSION_3, 0), (ctypes.c_uint32 * 6)()
    assert libc.capget(head, held) == 0
    less = (ctypes.c_uint32 * 6)(*held)
    less[0] &= ~_OVERRIDES
    assert libc.capset(head, less) == 0
    try:
        yield
    finally:
        assert libc.capset(head, held) == 0


@pytest.fixture
def closed(tmp_path: Path) -> Path:
    """Six texts: one that nobody may read, one that is no UTF-8."""
    (tmp_path / "data").mkdir()
    for number in range(5):
        (tmp_path / "data" / f"t{number}.txt").write_text(f"text {number}")
    (tmp_path / "data" / "bad.txt").write_bytes(b"caf\xe9")
    (tmp_path / "data" / "t3.txt").chmod(0)
    (tmp_path / "recipe.yaml").write_text(RECIPE)
    return tmp_path


def run(folder: Path) -> RunResult:
    recipe = load_recipe(folder / "recipe.yaml", [])
    with as_anybody():
        result = run_plan(make_plan(build_graph(recipe), LocalStore.open(recipe.store)), in_process, Options())
    assert result.status == "done", result.steps
    return result


def ledger(result: RunResult) -> dict[str, str]:
    rows = pq.read_table(Path(result.steps["shards"].artifact) / "ledger.parquet").to_pylist()
    return {row["key"]: row["reason"] or row["status"] for row in rows}


def test_a_record_that_could_not_be_read_is_written_once_that_is_mended(closed: Path) -> None:
    store = LocalStore(closed / "store")
    first = run(closed)
    assert ledger(first)["t3"] == "source/unreadable"
    (closed / "data" / "t3.txt").chmod(0o644)
    assert {step.status for step in run(closed).steps.values()} == {"cached"}, "neither size nor time of the file changed"
    taken = retry(store)
    assert (taken.readable, taken.unreadable, taken.cleared) == (("t3",), (), ())
    assert taken.corpora == (first.steps["corpus"].key,)
    second = run(closed)
    assert ledger(second) == {**{f"t{number}": "written" for number in range(5)}, "bad": "text/not_utf8"}
    assert second.steps["shards"].summary["members"] == {"encoded": 1, "copied": 4}
    assert {step.status for step in run(closed).steps.values()} == {"cached"}
    assert retry(store) == Taken((), (), (), ()), "there is nothing left to take up"


def test_what_still_cannot_be_read_is_named_and_makes_nothing_new(closed: Path) -> None:
    store = LocalStore(closed / "store")
    before = {name: step.key for name, step in run(closed).steps.items()}
    with as_anybody():
        taken = retry(store)
    assert (taken.readable, taken.unreadable, taken.corpora) == ((), ("t3",), ())
    assert {name: step.key for name, step in run(closed).steps.items()} == before


def test_only_the_records_that_were_named_are_looked_at(closed: Path) -> None:
    store = LocalStore(closed / "store")
    run(closed)
    (closed / "data" / "t3.txt").chmod(0o644)
    assert retry(store, ["t1"]).readable == ()
    assert retry(store, ["t3", "t1"]).readable == ("t3",)


def test_the_verb_says_what_the_next_run_tries_again(closed: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run(closed)
    with as_anybody():
        code, out, _ = call(capsys, "shards", "retry", "--store", closed / "store")
    assert code == 0
    assert "1 records still cannot be read: t3; mend that" in out
    os.chmod(closed / "data" / "t3.txt", 0o644)
    code, out, _ = call(capsys, "shards", "retry", "t3", "--store", closed / "store")
    assert "1 records could not be read before and can be read now" in out
    assert "the next run of the recipe tries these records again" in out
    code, out, _ = call(capsys, "shards", "retry", "--store", closed / "store", "--json")
    assert json.loads(out) == {"cleared": [], "readable": [], "unreadable": [], "corpora": []}, "it was taken up already"


TARS = """\
name: tars
store: store
steps:
  corpus: {task: ingest, refresh: never, source: {format: webdataset, path: "data/*.tar"}}
  shards: {task: shard, corpus: corpus, prepare: {text: {}}, bad_records: {max_rate: 1.0}}
"""


def test_a_closed_tar_and_a_hostile_one_are_taken_up_once_they_are_mended_and_complete_the_set(tmp_path: Path) -> None:
    (tmp_path / "recipe.yaml").write_text(TARS)
    data = tmp_path / "data"
    tars = {"good": [("0.txt", b"zero")], "closed": [("1.txt", b"one")], "hostile": [("../2.txt", b"two"), ("3.txt", b"three")]}
    for name, files in tars.items():
        write_tar(data / f"{name}.tar", files)
    (data / "closed.tar").chmod(0)
    store = LocalStore(tmp_path / "store")
    lost = {"refused/closed/0": "source/unreadable", "refused/hostile/0": "source/outside"}
    assert ledger(run(tmp_path)) == {"0": "written", "3": "written", **lost}
    with as_anybody():
        assert retry(store).unreadable == tuple(lost), "neither was mended"
    (data / "closed.tar").chmod(0o644)
    write_tar(data / "hostile.tar", [("2.txt", b"two"), ("3.txt", b"three")])
    assert {step.status for step in run(tmp_path).steps.values()} == {"cached"}, "`refresh: never` looks at no file"
    assert retry(store).readable == tuple(lost)
    assert ledger(run(tmp_path)) == {str(number): "written" for number in range(4)}
    assert retry(store) == Taken((), (), (), ())
