"""Plan and run with toy steps, in process."""

from __future__ import annotations

import dataclasses
import json
import os
import shutil
import threading
import time
from pathlib import Path
from typing import Any

import pytest

from pipeline import aftermath, catalog, graph, journal, recipe, runner
from pipeline import plan as plans
from pipeline.errors import RecipeError
from pipeline.executors import in_process
from pipeline.store import LocalStore
from tasks.shards.attempts import retry, store_verdict
from tasks.shards.identity import Verdict
from tests.pipeline.toys import RECIPE, toys, written

__all__ = ["toys"]

pytestmark = pytest.mark.usefixtures("toys")


def planned(folder: Path, text: str = RECIPE, *overrides: str, **options: Any) -> plans.Plan:
    loaded = recipe.load(written(folder, text), overrides)
    store = LocalStore.open(loaded.store)
    return plans.make(graph.build(loaded), store, previous=journal.last_parts(store.root, loaded.name), **options)


def run(folder: Path, text: str = RECIPE, *overrides: str, **options: Any) -> runner.RunResult:
    return runner.run(planned(folder, text, *overrides, **options), in_process, runner.Options("medley run recipe.yaml"))


def statuses(result: runner.RunResult) -> dict[str, str]:
    return {name: step.status for name, step in result.steps.items()}


def test_a_run_makes_every_output_and_the_next_one_finds_them(tmp_path: Path) -> None:
    first = run(tmp_path)
    assert statuses(first) == {"a": "ran", "b": "ran", "c": "ran", "d": "ran"}
    assert first.steps["d"].summary == {"value": 7}
    second = run(tmp_path)
    assert statuses(second) == dict.fromkeys("abcd", "cached")
    assert {name: step.key for name, step in first.steps.items()} == {name: step.key for name, step in second.steps.items()}
    assert second.steps["d"].summary == {"value": 7}


def test_a_change_runs_exactly_what_depends_on_it_and_the_plan_says_why(tmp_path: Path) -> None:
    run(tmp_path)
    plan = planned(tmp_path, RECIPE, "steps.b.plus=4")
    assert plan.to_run == ["b", "c", "d"]
    assert plan.steps["b"].why == "plus: 3 → 4"
    assert plan.steps["c"].why == "takes from b, which runs"


def test_the_seed_enters_the_keys_of_seeded_steps_only(tmp_path: Path) -> None:
    run(tmp_path)
    assert planned(tmp_path, RECIPE, "seed=1").to_run == ["b", "c", "d"]
    assert planned(tmp_path, RECIPE, "seed=1").steps["b"].why == "seed: 0 → 1"


def test_the_place_of_the_recipe_and_how_wide_it_runs_do_not_enter_the_keys(tmp_path: Path) -> None:
    before = {name: step.key for name, step in planned(tmp_path).steps.items()}
    (tmp_path / "elsewhere").mkdir()
    after = planned(tmp_path / "elsewhere", RECIPE, "steps.b.resources={cpus: 8, retries: 0}")
    assert {name: step.key for name, step in after.steps.items()} == before


def test_strict_code_puts_code_and_libraries_into_the_keys(tmp_path: Path) -> None:
    run(tmp_path)
    assert planned(tmp_path, strict_code=True).to_run == ["a", "b", "c", "d"]


def test_until_runs_no_further(tmp_path: Path) -> None:
    assert statuses(run(tmp_path, until="b")) == {"a": "ran", "b": "ran"}


def test_a_failed_step_names_itself_and_what_waits_behind_it(tmp_path: Path) -> None:
    text = RECIPE + "  e: {task: add, left: a, plus: 100}\n"
    plan = planned(tmp_path, text, "steps.b.fail=no luck")
    result = runner.run(plan, in_process, runner.Options())
    assert statuses(result) == {"a": "ran", "b": "failed", "c": "skipped", "d": "skipped", "e": "ran"}
    assert result.status == "failed"
    report = aftermath.failure_report(plan, result, ["medley", "run", "my recipe.yaml"])
    assert "step 'b' (add) failed: ValueError: no luck" in report
    assert "skipped behind it: c, d" in report
    assert "finished and kept: a, e" in report
    assert "to go on from there: medley run 'my recipe.yaml'" in report
    log = journal.RunDir(plan.store.root / "runs" / result.run).log_file("b").read_text()
    assert "Traceback" in log
    assert "no luck" in log
    assert not list((plan.store.root / "tmp").iterdir())


def test_after_the_cause_is_mended_only_the_rest_runs(tmp_path: Path) -> None:
    run(tmp_path, RECIPE, "steps.c.fail=once")
    assert statuses(run(tmp_path)) == {"a": "cached", "b": "cached", "c": "ran", "d": "ran"}


def test_a_stop_ends_the_running_step_and_starts_no_other(tmp_path: Path) -> None:
    plan = planned(tmp_path, RECIPE, "steps.b.wait_s=30")

    def stop_soon() -> None:
        while not (found := journal.runs(plan.store.root)):
            time.sleep(0.01)
        folder = plan.store.root / "runs" / found[-1]
        while "step_started" not in (folder / "journal.jsonl").read_text() or '"step": "b"' not in (folder / "journal.jsonl").read_text():
            time.sleep(0.01)
        (folder / "stop").touch()

    thread = threading.Thread(target=stop_soon)
    thread.start()
    result = runner.run(plan, in_process, runner.Options())
    thread.join()
    assert result.status == "stopped"
    assert statuses(result) == {"a": "ran", "b": "stopped", "c": "skipped", "d": "skipped"}
    assert statuses(run(tmp_path))["a"] == "cached"


def test_an_input_problem_is_found_when_planning(tmp_path: Path) -> None:
    with pytest.raises(RecipeError, match=r"steps.a: .*none does not exist; give the path of a file"):
        planned(tmp_path, RECIPE, "steps.a.path=none")


def test_a_changed_source_runs_again(tmp_path: Path) -> None:
    (tmp_path / "data").write_text("1")
    run(tmp_path, RECIPE, "steps.a.path=data")
    (tmp_path / "data").write_text("22")
    plan = planned(tmp_path, RECIPE, "steps.a.path=data")
    assert plan.to_run == ["a", "b", "c", "d"]
    assert plan.steps["a"].why == "identity.size: 1 → 2"


def test_what_was_made_of_a_source_that_changed_meanwhile_is_not_kept(tmp_path: Path) -> None:
    (tmp_path / "data").write_text("1")
    plan = planned(tmp_path, RECIPE, "steps.a.path=data")
    (tmp_path / "data").write_text("22")
    result = runner.run(plan, in_process, runner.Options("medley run recipe.yaml"))
    assert statuses(result) == {"a": "failed", "b": "skipped", "c": "skipped", "d": "skipped"}
    assert "changed while it ran" in result.steps["a"].message
    assert plan.store.manifest(plan.steps["a"].key) is None
    assert statuses(run(tmp_path, RECIPE, "steps.a.path=data"))["a"] == "ran"


def test_a_lost_output_is_made_again(tmp_path: Path) -> None:
    result = run(tmp_path)
    shutil.rmtree(result.steps["c"].artifact)
    assert statuses(run(tmp_path)) == {"a": "cached", "b": "cached", "c": "ran", "d": "cached"}


def test_the_journal_tells_how_a_run_stands_even_after_a_kill(tmp_path: Path) -> None:
    result = run(tmp_path)
    run_dir = journal.find(tmp_path / "store", result.run[:-1])
    state = journal.state(run_dir)
    assert (state.status, state.steps["d"].status) == ("done", "ran")
    story = (run_dir.path / "journal.jsonl").read_text().splitlines(keepends=True)
    first = json.loads(story[0]) | {"pid": 2**22 - 1}
    (run_dir.path / "journal.jsonl").write_text(json.dumps(first) + "\n" + "".join(story[1:-2]) + '{"event": "torn')
    state = journal.state(run_dir)
    assert state.status == "killed"
    assert state.steps["d"].status == "killed"
    first["pid"] = os.getpid()
    (run_dir.path / "journal.jsonl").write_text(json.dumps(first) + "\n" + "".join(story[1:-2]))
    assert journal.state(run_dir).status == "running"


def test_two_runs_for_one_key_both_end_well(tmp_path: Path) -> None:
    plan = planned(tmp_path, RECIPE, "steps.b.wait_s=0.5")
    results: list[runner.RunResult] = []
    threads = [threading.Thread(target=lambda: results.append(runner.run(plan, in_process, runner.Options()))) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [result.status for result in results] == ["done", "done"]
    assert sorted(statuses(result)["b"] for result in results) == ["cached", "ran"]
    assert results[0].steps["d"].summary == results[1].steps["d"].summary


def test_cleared_verdicts_plan_the_shards_anew(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(catalog.CATALOG, "add", dataclasses.replace(catalog.CATALOG["add"], verdicts=True))
    run(tmp_path)
    store = LocalStore(tmp_path / "store")
    assert retry(store) == []
    assert planned(tmp_path).to_run == []
    store_verdict(store, "ab" * 32, "sample", Verdict("image", "decoder/hung", "it took too long"))
    assert retry(store) == ["sample"]
    assert planned(tmp_path).to_run == ["b", "c", "d"]
    assert planned(tmp_path).steps["b"].why == "retries: null → 1"
    assert statuses(run(tmp_path))["a"] == "cached"
    assert planned(tmp_path).to_run == []
