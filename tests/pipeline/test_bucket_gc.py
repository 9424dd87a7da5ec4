"""`gc` of a store in a bucket: what stays and goes, also beside runs on other machines, and that a kill leaves no half of anything."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from pipeline import bucket_gc, leases, pins, plan, runner
from pipeline import recipe as recipes
from pipeline.code import ROOT
from pipeline.errors import StoreError
from pipeline.executors import in_process
from pipeline.gc import Survey
from pipeline.graph import build
from pipeline.object_store import ObjectStore
from tasks.promotions import Decision, append
from tests.pipeline.test_cli import call
from tests.pipeline.toys import RECIPE, toys, written

__all__ = ["toys"]

pytestmark = pytest.mark.usefixtures("toys")


@pytest.fixture(params=["memory", "s3"])
def url(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """A store's place: in this process's memory, and on a real server."""
    monkeypatch.setenv("MEDLEY_CACHE", str(tmp_path / "cache"))
    yield request.getfixturevalue("s3_url") if request.param == "s3" else f"memory://{tmp_path.name}"


def machine(url: str, folder: Path) -> ObjectStore:
    """The store as a machine with copies of its own sees it."""
    store = ObjectStore(folder, url)
    store.ready()
    return store


def planned(store: ObjectStore, folder: Path, *options: str) -> plan.Plan:
    return plan.make(build(recipes.load(written(folder, RECIPE), list(options), store=store.url)), store)


def run(store: ObjectStore, folder: Path, *options: str) -> runner.RunResult:
    result = runner.run(planned(store, folder, *options), in_process, runner.Options())
    assert result.status == "done", [step.message for step in result.steps.values()]
    return result


def statuses(result: runner.RunResult) -> str:
    return " ".join(step.status for step in result.steps.values())


def kinds(found: Survey) -> dict[str, int]:
    counts: dict[str, int] = {}
    for item in found.garbage:
        counts[item.what] = counts.get(item.what, 0) + 1
    return counts


def artifacts(store: ObjectStore) -> set[str]:
    return {name.split("/")[2] for name in store.bucket.entries("artifacts") if name.endswith("/manifest.json")}


def whole(store: ObjectStore) -> None:
    """Every manifest names objects that are there."""
    objects = store.bucket.entries("")
    for key in artifacts(store):
        manifest = store.manifest(key)
        assert manifest is not None
        assert {entry["object"] for entry in manifest["files"].values()} <= objects.keys()


def test_what_the_last_runs_made_stays_and_older_outputs_go_from_the_bucket_and_from_this_machine(url: str, tmp_path: Path) -> None:
    here = machine(url, tmp_path / "here")
    for plus in range(3):
        run(here, tmp_path, f"steps.b.plus={plus}")
    before = here.bucket.entries("")
    assert bucket_gc.survey(here, 5, grace_s=3600).garbage == ()
    asked = bucket_gc.survey(here, 1, grace_s=-1)
    assert kinds(asked)["artifact"] == 6
    assert asked.kept == {"the last 1 runs of toy": 4}
    assert before.keys() == here.bucket.entries("").keys() - {"clock"}, "a survey deletes nothing"
    found = bucket_gc.collect(here, 1, grace_s=-1)
    assert [item.name for item in found.garbage if item.what == "artifact"] == [i.name for i in asked.garbage if i.what == "artifact"]
    assert len(artifacts(here)) == 4
    assert {path.name for path in here.root.glob("artifacts/*/*")} == artifacts(here)
    assert not [name for name in here.bucket.entries("artifacts") if name.split("/")[2] not in artifacts(here)]
    assert statuses(run(here, tmp_path, "steps.b.plus=2")) == "cached cached cached cached"
    assert statuses(run(here, tmp_path, "steps.b.plus=0")) == "cached ran ran ran"


def test_runs_of_other_machines_and_aliases_keep_what_they_reach(url: str, tmp_path: Path) -> None:
    here, there = machine(url, tmp_path / "here"), machine(url, tmp_path / "there")
    first = run(here, tmp_path, "steps.b.plus=5")
    kept = run(there, tmp_path)
    append(here, "toy", Decision(action="promoted", alias="champion", version="1", model_key=first.steps["b"].key))
    run(here, tmp_path, "steps.b.plus=9")
    assert kinds(bucket_gc.collect(here, 2, grace_s=-1))["artifact"] == 2, "c and d of the first run here"
    assert statuses(run(here, tmp_path)) == "cached cached cached cached"
    assert bucket_gc.survey(there, 9, grace_s=-1).kept["toy@champion"] == 2
    assert kept.steps["b"].key in artifacts(there)


def test_copies_on_another_machine_go_when_gc_is_run_there(url: str, tmp_path: Path) -> None:
    here, there = machine(url, tmp_path / "here"), machine(url, tmp_path / "there")
    run(there, tmp_path)
    scratch = there.scratch()
    scratch.write_bytes(b"tar")
    there.publish(scratch, f"pool/ab/{'ab' * 32}.tar")
    bucket_gc.collect(here, 0, grace_s=-1)
    assert artifacts(here) == set()
    assert there.bucket.entries("pool") == {}
    assert len(list(there.root.glob("artifacts/*/*"))) == 4
    found = bucket_gc.collect(there, 0, grace_s=-1)
    assert kinds(found)["copy"] == 5
    assert not list(there.root.glob("artifacts/*/*")) + list(there.root.glob("pool/*/*"))


def test_files_that_no_manifest_names_go_after_the_grace_period(url: str, tmp_path: Path) -> None:
    here = machine(url, tmp_path / "here")
    kept = run(here, tmp_path).steps["a"].key
    lost, killed = f"artifacts/{kept[:2]}/{kept}/{'f' * 16}/value.json", f"artifacts/ab/{'ab' * 32}/{'0' * 16}/x"
    for name in (lost, killed, f"saved/{'cd' * 32}/files/0/x"):
        here.bucket.create(name, b"left")
    assert bucket_gc.survey(here, 1, grace_s=60).garbage == ()
    found = bucket_gc.collect(here, 1, grace_s=-1)
    assert {item.name for item in found.garbage if item.what == "upload"} == {lost, killed.rpartition(f"/{'0' * 16}")[0]}
    assert kinds(found)["saved"] == 1
    assert not {lost, killed} & here.bucket.entries("artifacts").keys()
    whole(here)


def test_sketches_of_shards_that_are_gone_go_and_others_stay(url: str, tmp_path: Path) -> None:
    here = machine(url, tmp_path / "here")
    kept = f"sketches/{run(here, tmp_path).steps['a'].key}/raw.npz"
    for name in (kept, f"sketches/{'ab' * 32}/raw.npz"):
        here.create(name, b"a sketch")
    assert [item.name for item in bucket_gc.collect(here, 1, grace_s=-1).garbage if item.what == "sketch"] == [f"sketches/{'ab' * 32}"]
    assert list(here.bucket.entries("sketches")) == [kept]


def test_the_pool_goes_rows_first_and_stays_for_what_is_reached(url: str, tmp_path: Path) -> None:
    here = machine(url, tmp_path / "here")
    units = ["aa" * 32, "bb" * 32, "cc" * 32]
    for unit in units:
        for ending in ("tar", "parquet"):
            scratch = here.scratch()
            scratch.write_bytes(f"{ending} of {unit}".encode())
            here.publish(scratch, f"pool/{unit[:2]}/{unit}.{ending}")
    folder = here.scratch()
    folder.mkdir()
    (folder / "train.tar").hardlink_to(here.local_path(f"pool/aa/{units[0]}.tar"))
    (folder / "shards.json").write_text(json.dumps({"units": units[:2]}))  # of a unit without samples there is no tar
    key = "1" * 64
    here.publish_artifact(folder, {"key": key, "kind": "shards", "inputs": {}, "summary": {}, "step": "s", "recipe": "r"})
    append(here, "x", Decision(action="promoted", alias="champion", version="1", model_key=key))
    found = bucket_gc.collect(here, 0, grace_s=-1)
    assert [item.name for item in found.garbage if item.what == "pool"] == [f"pool/cc/{units[2]}.{ending}" for ending in ("parquet", "tar")]
    assert {Path(name).stem for name in here.bucket.entries("pool")} == set(units[:2])
    whole(here)


# ---- beside others -----------------------------------------------------------------------------------------------------


def test_a_run_on_another_machine_keeps_what_it_planned_with_until_its_pin_is_old(url: str, tmp_path: Path) -> None:
    here, there = machine(url, tmp_path / "here"), machine(url, tmp_path / "there")
    result = run(here, tmp_path)
    content = {"format": 1, "run": "r", "keys": [result.steps["c"].key], **pins._process(), "host": "elsewhere"}
    there.bucket.replace("pins/r.json", json.dumps(content).encode())
    (pin,) = pins.read(here)
    assert pin.running is None
    assert pin.is_live(3600)
    found = bucket_gc.collect(here, 0, grace_s=5)
    assert found.kept["run r, at work"] == 3
    assert any("run r is at work" in note for note in found.notes)
    found = bucket_gc.collect(here, 0, grace_s=-1)
    assert kinds(found)["artifact"] == 4
    assert kinds(found)["pin"] == 1
    assert pins.read(here) == []


def test_a_run_has_its_pin_in_the_bucket_while_it_works_and_beats(url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    here = machine(url, tmp_path / "here")
    monkeypatch.setattr(pins, "HEARTBEAT_S", 0.1)
    with pins.pinned(here, "r1", ["k"]):
        first = here.bucket.stored("pins")["pins/r1.json"].changed_s
        (pin,) = pins.read(machine(url, tmp_path / "there"))
        assert (pin.run, pin.keys, pin.running) == ("r1", ("k",), True)
        until = time.monotonic() + 10
        while here.bucket.stored("pins")["pins/r1.json"].changed_s == first:
            assert time.monotonic() < until
            time.sleep(0.05)
    assert pins.read(here) == []


def test_a_run_that_starts_beside_a_gc_waits_for_it_and_makes_again_what_it_took(url: str, tmp_path: Path) -> None:
    here, there = machine(url, tmp_path / "here"), machine(url, tmp_path / "there")
    run(there, tmp_path)
    late = planned(there, tmp_path)
    assert late.to_run == []
    results: list[runner.RunResult] = []
    with pins.locked(here, alone=True) as guard:
        thread = threading.Thread(target=lambda: results.append(runner.run(late, in_process, runner.Options())))
        thread.start()
        until = time.monotonic() + 10
        while not pins.read(here):
            assert time.monotonic() < until
        time.sleep(0.3)
        assert not results
        _, waves = bucket_gc._look(replace(here), 0, -1)
        assert not any(waves[:2]), "its pin is there already"
        for pin in pins.read(here):  # as if it had come a moment later
            here.bucket.delete(pin.name)
        bucket_gc.remove(here, bucket_gc._look(here, 0, -1)[1], guard)
        assert artifacts(here) == set()
    thread.join()
    assert statuses(results[0]) == "ran ran ran ran"
    whole(here)


def test_a_gc_that_lost_its_lock_deletes_nothing_more(url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    here = machine(url, tmp_path / "here")
    run(here, tmp_path)
    monkeypatch.setattr(pins, "ASK_S", 0.0)
    with pytest.raises(StoreError, match=r"the lock of .* is lost: .*Run the same command again"), pins.locked(here, alone=True) as guard:
        guard()
        assert here.create("leases/gc/2.json", b"{}"), "another waited out its silence"
        bucket_gc.remove(here, [sorted(here.bucket.entries("artifacts"))], guard)
    assert len(artifacts(here)) == 4
    assert here.create("leases/gc/2.over", b"{}")
    monkeypatch.setattr(leases.Lease, "is_held", property(lambda lease: False))
    with pytest.raises(StoreError, match="is lost"):
        bucket_gc.collect(here, 0, grace_s=-1)
    assert len(artifacts(here)) == 4


KILLED = """
import sys, time
from pathlib import Path
from pipeline import bucket_gc
from pipeline.object_store import ObjectStore
from tests.pipeline.toys import TOYS
from pipeline import catalog
catalog.CATALOG.update(TOYS)
surely, count = bucket_gc._surely, 0
bucket_gc.AT_ONCE = 1
def slowly(delete, guard):
    surely(delete, guard)
    print("gone", flush=True)
    time.sleep(0.05)
bucket_gc._surely = slowly
store = ObjectStore(Path(sys.argv[1]), sys.argv[2])
store.ready()
bucket_gc.collect(store, 0, grace_s=-1)
"""


@pytest.mark.parametrize("after", [1, 5])
def test_a_gc_that_is_killed_leaves_no_half_artifact_and_the_next_one_ends_its_work(s3_url: str, tmp_path: Path, after: int) -> None:
    here = machine(s3_url, tmp_path / "here")
    for plus in range(2):
        run(here, tmp_path, f"steps.b.plus={plus}")
    command = [sys.executable, "-c", KILLED, str(tmp_path / "there"), s3_url]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True) as killed:
        assert killed.stdout is not None
        for _ in range(after):
            assert killed.stdout.readline() == "gone\n"
        killed.send_signal(signal.SIGKILL)
    left = artifacts(here)
    assert len(left) < 7
    whole(here)
    here.create("leases/gc/1.over", b"{}")  # in place of 30 s of silence
    found = bucket_gc.collect(here, 0, grace_s=-1)
    assert kinds(found).get("upload", 0) + kinds(found).get("artifact", 0) > 0
    assert here.bucket.entries("artifacts") == {}


STORM = """
import sys, time
from pathlib import Path
from pipeline import bucket_gc, catalog
from pipeline.object_store import ObjectStore
from tests.pipeline.toys import TOYS
catalog.CATALOG.update(TOYS)
store = ObjectStore(Path(sys.argv[1]), sys.argv[2])
store.ready()
while True:
    print(len(bucket_gc.collect(store, 0, grace_s=-1).garbage), flush=True)
    time.sleep(0.5)
"""


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_runs_beside_a_gc_on_another_machine_that_deletes_all_it_may_end_well(s3_url: str, tmp_path: Path) -> None:
    here = machine(s3_url, tmp_path / "here")
    command = [sys.executable, "-c", STORM, str(tmp_path / "there"), s3_url]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True) as storm:
        assert storm.stdout is not None and storm.stdout.readline()
        try:
            for number in range(25):
                result = run(here, tmp_path, f"steps.a.value={number % 3}", f"steps.c.wait_s={number % 2 / 2}")
                assert result.steps["d"].summary["value"] == 2 * (number % 3) + 3
        finally:
            storm.kill()
        deleted = [int(line) for line in storm.stdout.read().splitlines()]
    assert sum(deleted) > 25, deleted
    print(f"{len(deleted)} collections took {sum(deleted)} things beside 25 runs")


# ---- the verb ----------------------------------------------------------------------------------------------------------


def test_the_verb_says_what_it_would_delete_and_deletes_when_told(
    url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    here = machine(url, tmp_path / "here")
    run(here, tmp_path)
    run(here, tmp_path, "steps.b.plus=9")
    options: tuple[Any, ...] = ("gc", "--store", url, "--keep-runs", 1, "--grace-s", 0)
    time.sleep(1.1)  # the bucket's clock counts whole seconds
    code, out, _ = call(capsys, *options)
    assert code == 0
    assert "shards  b of toy" in out
    assert "kept: 4 artifacts for the last 1 runs of toy" in out
    assert f"medley gc --yes --keep-runs 1 --grace-s 0 --store {url}" in out
    assert "note: copies on other machines go when `medley gc` is run there" in out
    _, out, _ = call(capsys, *options, "--yes", "--json")
    document = json.loads(out)
    assert (document["deleted"], document["store"]) == (True, url)
    assert sum(item["what"] == "artifact" for item in document["garbage"]) == 3
    assert document["bytes"] > 0
    assert len(artifacts(here)) == 4
    code, _, err = call(capsys, "gc", "--store", f"{url}-nowhere")
    assert code == 2
    assert f"{url}-nowhere is no store (it has no FORMAT file); give its URL with --store" in err
