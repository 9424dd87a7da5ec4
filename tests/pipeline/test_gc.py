"""What `gc` keeps, what it deletes, and that nothing is lost beside a run or when it is killed."""

from __future__ import annotations

import fcntl
import json
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

import pytest

from pipeline import gc, pins, plan, runner
from pipeline.code import ROOT
from pipeline.errors import StoreError
from pipeline.executors import in_process
from pipeline.store import LocalStore
from tasks.promotions import Decision, Reference, append
from tasks.shards.attempts import store_verdict
from tasks.shards.identity import Verdict
from tests.pipeline.test_cli import call
from tests.pipeline.test_families import FAMILY
from tests.pipeline.test_runner import planned, run, statuses
from tests.pipeline.toys import RECIPE, toys, written

__all__ = ["toys"]

pytestmark = pytest.mark.usefixtures("toys")


def kinds(found: gc.Survey) -> dict[str, int]:
    counts: dict[str, int] = {}
    for item in found.garbage:
        counts[item.what] = counts.get(item.what, 0) + 1
    return counts


def artifacts(store: LocalStore) -> set[str]:
    return {path.name for path in store.local_path("artifacts").glob("*/*")}


def store_of(folder: Path) -> LocalStore:
    return LocalStore(folder / "store")


def test_what_the_last_runs_made_stays_and_older_outputs_go(tmp_path: Path) -> None:
    for plus in range(4):
        run(tmp_path, RECIPE, f"steps.b.plus={plus}")
    store = store_of(tmp_path)
    assert len(artifacts(store)) == 13
    assert kinds(gc.survey(store, 5, grace_s=0)) == {"work": 13}
    found = gc.collect(store, 2, grace_s=0)
    assert kinds(found)["artifact"] == 6
    assert found.kept == {"the last 2 runs of toy": 7}
    assert set(statuses(run(tmp_path, RECIPE, "steps.b.plus=2")).values()) == {"cached"}
    assert statuses(run(tmp_path, RECIPE, "steps.b.plus=0")) == {"a": "cached", "b": "ran", "c": "ran", "d": "ran"}


def test_runs_of_another_recipe_push_nothing_out(tmp_path: Path) -> None:
    run(tmp_path)
    for plus in range(3):
        run(tmp_path, RECIPE.replace("name: toy", "name: other"), f"steps.b.plus={plus + 10}")
    gc.collect(store_of(tmp_path), 1, grace_s=0)
    assert set(statuses(run(tmp_path)).values()) == {"cached"}


def test_what_is_young_stays(tmp_path: Path) -> None:
    run(tmp_path)
    run(tmp_path, RECIPE, "steps.b.plus=9")
    found = gc.survey(store_of(tmp_path), 1, grace_s=3600)
    assert found.garbage == ()
    assert "3 artifacts that nothing reaches are younger than the grace period" in found.notes


def test_the_alias_its_fallback_and_what_they_were_made_from_stay(tmp_path: Path) -> None:
    store = LocalStore.open(tmp_path / "store")
    keys = []
    for plus in range(4):
        result = run(tmp_path, RECIPE, f"steps.b.plus={plus}")
        keys.append({name: step.key for name, step in result.steps.items()})
    for number in (0, 1, 2):
        append(store, "toy", Decision(action="promoted", alias="champion", version=str(number), model_key=keys[number]["c"]))
    found = gc.collect(store, 0, grace_s=0)
    assert found.kept == {"toy@champion": 5}
    assert artifacts(store) == {keys[number][name] for number in (1, 2) for name in "abc"}


def test_what_waits_for_approval_and_the_best_champion_stay_where_decisions_ask_for_them(tmp_path: Path) -> None:
    store = LocalStore.open(tmp_path / "store")
    keys = []
    for plus in range(4):
        result = run(tmp_path, RECIPE, f"steps.b.plus={plus}")
        keys.append(result.steps["c"].key)
    first = Reference("0", keys[0])
    for number, best in ((0, None), (1, first), (2, first)):
        append(store, "toy", Decision(action="promoted", alias="champion", version=str(number), model_key=keys[number], best=best))
    append(store, "toy", Decision(action="pending", alias="champion", version="3", model_key=keys[3], best=first))
    gc.collect(store, 0, grace_s=0)
    assert set(keys) <= artifacts(store)


def test_a_selection_that_is_reached_keeps_all_its_variants_and_a_champion_only_its_own(tmp_path: Path) -> None:
    result = run(tmp_path, FAMILY)
    store = store_of(tmp_path)
    assert "artifact" not in kinds(gc.survey(store, 1, grace_s=0))
    chosen = result.steps["best"].summary["key"]
    append(store, "toy", Decision(action="promoted", alias="champion", version="1", model_key=chosen, report_key=result.steps["d"].key))
    gc.collect(store, 0, grace_s=0)
    winner = result.steps["best"].summary["chosen"]
    assert artifacts(store) == {result.steps[name].key for name in ("a", f"b[{winner}]", f"c[{winner}]", "d")}


def test_verdicts_logs_promotions_and_versions_stay(tmp_path: Path) -> None:
    result = run(tmp_path)
    store = store_of(tmp_path)
    store_verdict(store, "ab" * 32, "sample", Verdict("image", "decoder/hung", "it took too long"))
    store.create("versions/toy/1.json", b"{}")
    store.create("retries/1.json", b"{}")
    gc.collect(store, 0, grace_s=0)
    assert artifacts(store) == set()
    assert store.exists(f"verdicts/{'ab' * 32}.json")
    assert store.exists("versions/toy/1.json")
    assert store.exists("retries/1.json")
    assert store.exists(f"runs/{result.run}/steps/b.log")


def test_leftovers_go_after_the_grace_period_and_what_goes_on_stays(tmp_path: Path) -> None:
    failed = run(tmp_path, RECIPE, "steps.b.fail=no luck")
    store = store_of(tmp_path)
    (store.work_dir("ff" * 32) / "checkpoint").write_text("x" * 100)
    (store.root / "tmp" / "leftover").write_text("y" * 10)
    assert not kinds(gc.survey(store, 1, grace_s=3600))
    found = gc.collect(store, 1, grace_s=0)
    assert {(item.name.partition("/")[0], item.num_bytes) for item in found.garbage if item.num_bytes} == {("work", 100), ("tmp", 10)}
    assert [path.name for path in store.local_path("work").iterdir()] == [failed.steps["b"].key]
    assert not store.local_path("trash").exists()


def test_a_file_with_a_link_that_stays_frees_nothing(tmp_path: Path) -> None:
    store = LocalStore.open(tmp_path / "store")
    (store.root / "pool" / "ab").mkdir(parents=True)
    pool = store.root / "pool" / "ab" / f"{'ab' * 32}.tar"
    pool.write_bytes(b"z" * 1000)
    pool.with_suffix(".parquet").write_bytes(b"rows")
    for number, units in enumerate((["ab" * 32], ["ab" * 32])):
        folder = store.scratch()
        folder.mkdir()
        os.link(pool, folder / "shard.tar")
        (folder / "shards.json").write_text(json.dumps({"units": units}))
        key = f"{number}" * 64
        store.publish_artifact(folder, {"key": key, "kind": "shards", "inputs": {}, "summary": {}, "step": "s", "recipe": "r"})
    append(store, "x", Decision(action="promoted", alias="champion", version="1", model_key="0" * 64))
    found = gc.survey(store, 0, grace_s=0)
    (gone,) = found.garbage
    assert gone.name.endswith("1" * 64)
    assert gone.num_bytes < 1000
    append(store, "x", Decision(action="rollback", alias="champion", version="1", model_key="0" * 64))
    found = gc.collect(store, 0, grace_s=0)
    assert [item.name.rpartition(".")[2] for item in found.garbage if item.what == "pool"] == ["parquet", "tar"]
    assert 1004 < found.num_bytes < 3000
    assert not pool.exists()


def test_the_pool_stays_while_a_kept_run_has_not_finished_its_shards(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import dataclasses

    from pipeline import catalog

    monkeypatch.setitem(catalog.CATALOG, "add", dataclasses.replace(catalog.CATALOG["add"], verdicts=True))
    run(tmp_path, RECIPE, "steps.b.fail=killed")
    store = store_of(tmp_path)
    store.create(f"pool/ab/{'ab' * 32}.tar", b"half of the work")
    found = gc.survey(store, 1, grace_s=0)
    assert "pool" not in kinds(found)
    assert (
        "the pool of finished shards stays as it is: step 'c' of a kept run has not finished and goes on with what is in it" in found.notes
    )
    assert kinds(gc.survey(store, 0, grace_s=0))["pool"] == 1


# ---- beside a run ------------------------------------------------------------------------------------------------------


def test_what_vanished_between_planning_and_running_is_made_again(tmp_path: Path) -> None:
    run(tmp_path)
    late = planned(tmp_path)
    assert late.to_run == []
    gc.collect(store_of(tmp_path), 0, grace_s=0)
    result = runner.run(late, in_process, runner.Options())
    assert statuses(result) == dict.fromkeys("abcd", "ran")
    assert plan.look_again(planned(tmp_path)).to_run == []


def test_a_run_at_work_keeps_what_it_planned_with(tmp_path: Path) -> None:
    run(tmp_path)
    made = planned(tmp_path, RECIPE, "steps.c.wait_s=1.5")
    store, results = store_of(tmp_path), []
    thread = threading.Thread(target=lambda: results.append(runner.run(made, in_process, runner.Options())))
    thread.start()
    while not list(store.local_path("pins").glob("*.json")):
        time.sleep(0.01)
    (store.root / "tmp" / "of someone").touch()
    found = gc.collect(store, 0, grace_s=0)
    thread.join()
    assert statuses(results[0]) == {"a": "cached", "b": "cached", "c": "ran", "d": "ran"}
    assert kinds(found)["artifact"] == 2
    assert "tmp" not in kinds(found)
    assert any("is at work" in note for note in found.notes)
    assert not list(store.local_path("pins").iterdir())


def test_a_pin_counts_while_its_process_or_its_heartbeat_does(tmp_path: Path) -> None:
    store = LocalStore.open(tmp_path / "store")

    def pin(age_s: float, **process: Any) -> bool:
        content = {"format": 1, "run": "r", "keys": ["k"], **pins._process(), **process}
        path = store.local_path("pins/r.json")
        path.parent.mkdir(exist_ok=True)
        path.write_text(json.dumps(content))
        os.utime(path, (time.time() - age_s, time.time() - age_s))
        (found,) = pins.read(store)
        return found.is_live(3600)

    assert pin(10_000)
    assert pin(10, pid=2**22 - 1)
    assert not pin(100, pid=2**22 - 1)
    assert not pin(100, born="1")
    assert pin(3000, host="elsewhere")
    assert not pin(4000, host="elsewhere")
    found = gc.collect(store, grace_s=3600)
    assert kinds(found) == {"pin": 1}
    assert pins.read(store) == []


def test_gc_waits_for_a_run_that_is_writing_its_pin(tmp_path: Path) -> None:
    run(tmp_path)
    store = store_of(tmp_path)
    done = threading.Event()
    with pins.locked(store, alone=False):
        thread = threading.Thread(target=lambda: (gc.collect(store, 0, grace_s=0), done.set()))
        thread.start()
        assert not done.wait(0.3)
        assert len(artifacts(store)) == 4
    thread.join()
    assert artifacts(store) == set()


STORM = """
import sys, time
from pathlib import Path
from pipeline import catalog, gc
from pipeline.store import LocalStore
from tests.pipeline.toys import TOYS
catalog.CATALOG.update(TOYS)
store = LocalStore(Path(sys.argv[1]))
print("ready", flush=True)
while True:
    gc.collect(store, 0, grace_s=0)
"""


def test_runs_beside_a_gc_that_deletes_all_it_may_end_well(tmp_path: Path) -> None:
    """Another process deletes whatever nothing pins, without a pause; every run still ends, with the right result."""
    store = LocalStore.open(tmp_path / "store")
    command = [sys.executable, "-c", STORM, str(store.root)]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True) as storm:
        assert storm.stdout is not None and storm.stdout.readline() == "ready\n"
        try:
            for number in range(25):
                result = run(tmp_path, FAMILY, f"steps.a.value={number % 3}")
                assert result.status == "done", [step.message for step in result.steps.values() if step.message]
                assert result.steps["d"].summary == {"value": 2 * (number % 3) + 3}
        finally:
            storm.kill()


def test_a_gc_that_is_killed_leaves_whole_artifacts_and_the_next_one_ends_its_work(tmp_path: Path) -> None:
    for plus in range(12):
        run(tmp_path, RECIPE, f"steps.b.plus={plus}")
    store = store_of(tmp_path)
    slow = STORM.replace(
        'print("ready", flush=True)',
        "move = gc._move\ngc._move = lambda *paths: (move(*paths), print('ready', flush=True), time.sleep(0.02))",
    )
    with subprocess.Popen([sys.executable, "-c", slow, str(store.root)], cwd=ROOT, stdout=subprocess.PIPE, text=True) as killed:
        assert killed.stdout is not None
        for _ in range(10):
            killed.stdout.readline()
        killed.send_signal(signal.SIGKILL)
    left = artifacts(store)
    assert 0 < len(left) < 37
    assert all(store.manifest(key) for key in left)
    assert list(store.local_path("trash").iterdir())
    assert run(tmp_path, RECIPE, "steps.b.plus=0").status == "done"
    assert kinds(gc.collect(store, 1, grace_s=0))["trash"] == 1
    assert not store.local_path("trash").exists()
    assert set(statuses(run(tmp_path, RECIPE, "steps.b.plus=0")).values()) == {"cached"}


def test_a_lock_that_is_held_stays(tmp_path: Path) -> None:
    run(tmp_path)
    store = store_of(tmp_path)
    lock = next(store.local_path("work").glob("*.lock"))
    with lock.open() as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        gc.collect(store, 5, grace_s=0)
        assert [path.name for path in store.local_path("work").iterdir()] == [lock.name]


def test_a_damaged_manifest_stops_gc_before_anything_is_deleted(tmp_path: Path) -> None:
    result = run(tmp_path)
    (Path(result.steps["b"].artifact) / "manifest.json").write_text("{")
    with pytest.raises(StoreError, match="is damaged; remove the folder"):
        gc.collect(store_of(tmp_path), 0, grace_s=0)
    assert len(artifacts(store_of(tmp_path))) == 4


# ---- the verb ----------------------------------------------------------------------------------------------------------


def test_gc_says_what_it_would_delete_and_deletes_when_told(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run(tmp_path)
    run(tmp_path, RECIPE, "steps.b.plus=9")
    store = store_of(tmp_path)
    options = ("gc", "--store", store.root, "--keep-runs", 1, "--grace-s", 0)
    code, out, _ = call(capsys, *options)
    assert code == 0
    assert "shards  b of toy" in out
    assert "kept: 4 artifacts for the last 1 runs of toy" in out
    assert f"medley gc --yes --keep-runs 1 --grace-s 0 --store {store.root}" in out
    assert len(artifacts(store)) == 7
    _, out, _ = call(capsys, *options, "--yes", "--json")
    document = json.loads(out)
    assert document["deleted"] is True
    assert sum(item["what"] == "artifact" for item in document["garbage"]) == 3
    assert document["bytes"] == sum(item["num_bytes"] for item in document["garbage"]) > 0
    assert len(artifacts(store)) == 4
    _, out, _ = call(capsys, *options, "--yes")
    assert "nothing to delete" in out


def test_gc_of_what_is_no_store_makes_none(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code, _, err = call(capsys, "gc", "--store", tmp_path / "nowhere")
    assert code == 2
    assert "is no store (it has no FORMAT file); give its folder with --store" in err
    assert not (tmp_path / "nowhere").exists()
    written(tmp_path)
    code, _, err = call(capsys, "gc", "--store", tmp_path, "--keep-runs", -1)
    assert (code, "need 0 or more" in err) == (2, True)
