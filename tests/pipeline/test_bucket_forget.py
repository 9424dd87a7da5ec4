"""Forgetting a sample in a bucket: nothing of it is left there or on this machine, and no later ingest brings it back."""

from __future__ import annotations

import io
import json
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from pipeline import Options, bucket_forget, build_graph, forget, in_process, load_recipe, make_plan, pins, run_plan
from pipeline.errors import NotFound, StoreError
from pipeline.object_store import ObjectStore
from pipeline.retry import retry
from pipeline.runner import RunResult
from pipeline.store import LocalStore
from tasks import forgotten
from tasks.shards import execute
from tasks.shards.attempts import store_verdict
from tasks.shards.identity import Verdict
from tasks.shards.verify import verify
from tests.chaos.builds import build_here
from tests.pipeline.people import SECRET, _tasks_of_the_world, written
from tests.pipeline.test_cli import call
from tests.pipeline.test_forget import NEEDLES, files, places_with

__all__ = ["_tasks_of_the_world"]


_MADE: list[tuple[ObjectStore, Path]] = []
"""The store and the recipe's folder, once a test of this process asked for them."""


@pytest.fixture
def world(s3_url: str, tmp_path_factory: pytest.TempPathFactory, _in_this_process: None) -> tuple[ObjectStore, Path]:
    """A bucket that the recipe was run over by this machine, and the recipe's folder; for all test modules, not to be changed."""
    if not _MADE:
        folder = written(tmp_path_factory.mktemp("people"))
        store = machine("s3://medley/world", tmp_path_factory.mktemp("world"))
        run(store, folder)
        _MADE.append((store, folder))
    return _MADE[0]


@pytest.fixture(autouse=True)
def _in_this_process(monkeypatch: pytest.MonkeyPatch) -> None:
    """Units are built here: the Ray of other tests does not know this bucket's credentials."""
    monkeypatch.setattr(execute, "run_units", build_here)


@pytest.fixture
def place(world: tuple[ObjectStore, Path], s3_url: str, tmp_path: Path) -> str:
    """The same with objects and copies of the test's own."""
    store, folder = world
    shutil.copy(folder / "recipe.yaml", tmp_path)
    subprocess.run(["cp", "-a", store.root, tmp_path / "here"], check=True)
    copy = ObjectStore(tmp_path / "here", s3_url)
    for name in store.bucket.entries(""):
        copy.bucket.replace(name, store.bucket.read(name))
    return s3_url


def machine(url: str, folder: Path) -> ObjectStore:
    store = ObjectStore(folder, url)
    store.ready()
    return store


def run(store: ObjectStore, folder: Path) -> RunResult:
    recipe = load_recipe(folder / "recipe.yaml", [], store=store.url)
    result = run_plan(make_plan(build_graph(recipe), store), in_process, Options("medley run recipe.yaml"))
    assert result.status == "done", [step.message for step in result.steps.values()]
    return result


def objects_with(store: ObjectStore, needles: list[bytes]) -> list[str]:
    """Objects of a bucket that hold one of these, Parquet files by the values in their cells."""
    found = []
    for name in store.bucket.entries(""):
        data = store.bucket.read(name)
        if name.endswith(".parquet"):
            data = repr(pq.read_table(io.BytesIO(data)).to_pylist()).encode()
        if any(needle in data for needle in needles):
            found.append(name)
    return found


def test_a_forgotten_sample_is_gone_from_the_bucket_and_from_here_and_the_next_run_is_as_one_over_a_folder(
    place: str, tmp_path: Path
) -> None:
    here, there = machine(place, tmp_path / "here"), machine(place, tmp_path / "there")
    assert objects_with(here, NEEDLES)
    here.bucket.create(f"artifacts/ab/{'ab' * 32}/{'0' * 16}/records", NEEDLES[1])  # of an upload that was killed
    store_verdict(here, "cd" * 32, SECRET, Verdict("image", "decoder/hung", "it took too long"))
    here.bucket.replace("runs/20260101-000000-abcd/steps/corpus.log", f"quarantined '{SECRET}' for a reason".encode())
    for key in [path.name for path in here.root.glob("artifacts/*/*")]:
        there.bring(key)

    asked = forget.survey(here, [SECRET])
    assert {holder.kind for holder in asked.holders} == {"corpus", "shards"}
    assert asked.notes == bucket_forget.NOTES
    assert objects_with(here, NEEDLES)
    found = forget.forget(here, [SECRET])
    assert found.holders == asked.holders
    assert objects_with(here, NEEDLES) == []
    assert list(places_with(here.root, NEEDLES)) == []
    assert here.bucket.read("runs/20260101-000000-abcd/steps/corpus.log") == b"quarantined '[forgotten]' for a reason"

    assert list(places_with(there.root, NEEDLES)), "its copies are its own"
    forget.forget(there, [SECRET])
    assert list(places_with(there.root, NEEDLES)) == []

    second = run(here, tmp_path)
    assert objects_with(here, NEEDLES) == []
    assert list(places_with(here.root, NEEDLES)) == []
    summary = second.steps["shards"].summary
    assert summary["ledger"] == {"in": 31, "written": 30, "filtered": 0, "duplicate": 0, "quarantined": 0, "forgotten": 1}
    assert summary["members"]["encoded"] == 0, "the others are copied"
    shards = here.bring(second.steps["shards"].key)
    assert verify(shards) == []
    folder = tmp_path / "folder"
    folder.mkdir()
    recipe = load_recipe(tmp_path / "recipe.yaml", [], store=folder)
    local = LocalStore.open(folder)
    forgotten.mark(local, forgotten.sample_of(SECRET), "")
    made = run_plan(make_plan(build_graph(recipe), local, "shards"), in_process, Options())
    theirs, ours = files(made.steps["shards"].artifact), files(str(shards))
    tars = [name for name in theirs if name.endswith(".tar")]
    assert tars
    assert {name: ours[name] for name in tars} == {name: theirs[name] for name in tars}


def test_a_forget_that_ends_at_any_deletion_goes_on_with_the_same_command(
    place: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    here = machine(place, tmp_path / "here")

    class Killed(BaseException):
        pass

    deleted = ObjectStore.delete, bucket_forget.bucket_gc._surely
    for after in (0, 1, 3, 6, 10):
        left = iter(range(after))

        def die(*given: Any, left: Any = left) -> None:
            if next(left, None) is None:
                raise Killed
            deleted[1](*given)

        def die_too(store: ObjectStore, name: str, left: Any = left) -> None:
            if not name.startswith("leases/") and next(left, None) is None:
                raise Killed
            deleted[0](store, name)

        with monkeypatch.context() as patch:
            patch.setattr(bucket_forget.bucket_gc, "_surely", die)
            patch.setattr(ObjectStore, "delete", die_too)
            with pytest.raises(Killed):
                forget.forget(here, [SECRET])
        objects = here.bucket.entries("")
        for name in objects:
            if name.startswith("artifacts/") and name.endswith("/manifest.json"):
                manifest = here.manifest(name.split("/")[2])
                assert manifest is not None
                assert {entry["object"] for entry in manifest["files"].values() if "pool/" not in entry["object"]} <= objects.keys()
    forget.forget(here, [SECRET])
    assert objects_with(here, NEEDLES) == []
    assert list(places_with(here.root, NEEDLES)) == []
    assert run(here, tmp_path).steps["shards"].summary["ledger"]["forgotten"] == 1


def test_beside_a_run_on_another_machine_it_is_refused(place: str, tmp_path: Path) -> None:
    here = machine(place, tmp_path / "here")
    there = machine(place, tmp_path / "there")
    content = {"format": 1, "run": "r", "keys": [], **pins._process(), "host": "elsewhere"}
    there.bucket.replace("pins/r.json", json.dumps(content).encode())
    before = here.bucket.entries("artifacts")
    with pytest.raises(StoreError, match=r"run r is at work .* nothing was changed"):
        forget.forget(here, [SECRET])
    assert here.bucket.entries("artifacts") == before


def test_the_verbs_work_on_a_bucket(place: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code, out, _ = call(capsys, "shards", "forget", SECRET, "--store", place)
    assert code == 0
    assert f"medley shards forget {SECRET} --store {place} --yes" in out
    assert "a bucket that keeps versions of objects still holds the old ones" in out
    code, _, err = call(capsys, "shards", "forget", "a/s66", "--store", place)
    assert code == 2
    assert f"no artifact in {place} holds 'a/s66'" in err
    code, out, _ = call(capsys, "shards", "forget", SECRET, "--store", place, "--yes", "--json")
    assert (json.loads(out)["store"], json.loads(out)["forgotten"]) == (place, True)
    here = machine(place, tmp_path / "here")
    with pytest.raises(NotFound):
        forget.survey(here, ["nobody"])
    store_verdict(here, "cd" * 32, "a/s8", Verdict("image", "decoder/hung", "it took too long"))
    assert retry(here).cleared == ("a/s8",)
    assert here.list("verdicts") == []
