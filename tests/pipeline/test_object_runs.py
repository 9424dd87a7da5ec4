"""Runs whose store is a bucket: the same bytes as in a folder, cached the second time, whatever dies or goes wrong on the way."""

from __future__ import annotations

import json
import multiprocessing
import os
import shutil
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from pipeline import graph, journal, recipe, runner
from pipeline import plan as plans
from pipeline.__main__ import main
from pipeline.catalog import Task
from pipeline.errors import RecipeError
from pipeline.executors import in_process
from pipeline.object_store import ObjectStore
from pipeline.places import Place
from pipeline.shared_runs import pull
from pipeline.shared_work import saved
from pipeline.stores import open_store
from pipeline.tracking import tracking
from tasks.shards import execute
from tests.pipeline.s3 import QUICK, proxy, seeded_faults
from tests.pipeline.toys import RECIPE, TOYS, toys, written

__all__ = ["toys"]

ROOT = Path(__file__).resolve().parents[2]

SHARDS = """\
name: words
store: store
steps:
  corpus: {task: ingest, source: {format: folder, path: data}, split: {by: group, val: 0.0, test: 0.0}}
  shards: {task: shard, corpus: corpus, prepare: {text: {}}, sizes: {min_records: 18, max_records: 22}}
"""


def make_data(folder: Path) -> None:
    for number in range(40):
        path = folder / "data" / ("even" if number % 2 == 0 else "odd") / f"{number}.txt"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(f"the number {number}, " * (number + 1))


def planned(folder: Path, place: Place, text: str, **options: Any) -> plans.Plan:
    loaded = recipe.load(written(folder, text), store=place)
    store = ObjectStore(options.pop("cache"), place, QUICK) if "cache" in options else open_store(loaded.store)
    store.ready()
    return plans.make(graph.build(loaded), store)


def run(folder: Path, place: Place, text: str = RECIPE, **options: Any) -> runner.RunResult:
    return runner.run(planned(folder, place, text, **options), in_process, runner.Options("medley run recipe.yaml"))


def statuses(result: runner.RunResult) -> list[str]:
    return [step.status for step in result.steps.values()]


def tars(place: Place, key: str) -> dict[str, str]:
    store = open_store(place)
    shards = json.loads((store.bring(key) / "shards.json").read_bytes())["shards"]
    return {shard["name"]: shard["sha256"] for shard in shards}


def test_a_recipe_makes_the_same_shards_in_a_folder_and_in_a_bucket_and_finds_them_the_second_time_and_elsewhere(
    s3_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(execute, "_ray_is_up", lambda: False)  # the Ray of other tests does not know this bucket's credentials
    make_data(tmp_path)
    local, bucket = (run(tmp_path, place, SHARDS) for place in (tmp_path / "store", s3_url))
    assert statuses(local) == statuses(bucket) == ["ran", "ran"]
    keys = {name: step.key for name, step in local.steps.items()}
    assert keys == {name: step.key for name, step in bucket.steps.items()}
    made = tars(tmp_path / "store", keys["shards"])
    assert len(made) > 1
    assert made == tars(s3_url, keys["shards"])
    assert statuses(run(tmp_path, s3_url, SHARDS)) == ["cached", "cached"]
    monkeypatch.setenv("MEDLEY_CACHE", str(tmp_path / "another machine"))
    assert planned(tmp_path, s3_url, SHARDS).to_run == []
    assert made == tars(s3_url, keys["shards"])


@pytest.mark.slow
def test_another_machine_copies_members_out_of_shards_that_it_never_had_and_sees_the_run(
    s3_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    make_data(tmp_path)
    first = run(tmp_path, s3_url, SHARDS)
    made = tars(s3_url, first.steps["shards"].key)
    monkeypatch.setenv("MEDLEY_CACHE", str(tmp_path / "another machine"))
    more = SHARDS.replace("min_records: 18", "min_records: 17")
    second = run(tmp_path, s3_url, more)
    assert statuses(second) == ["cached", "ran"]
    assert tars(s3_url, first.steps["shards"].key) == made
    store = open_store(s3_url)
    pull(store, first.run)
    assert journal.runs(store.root) == sorted([first.run, second.run])
    assert journal.state(journal.find(store.root, first.run)).steps["shards"].status == "ran"
    assert journal.find(store.root, first.run).log_file("shards").exists()


@pytest.mark.usefixtures("toys")
def test_status_logs_and_report_read_a_bucket(
    s3_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    result = run(tmp_path, s3_url)
    monkeypatch.setenv("MEDLEY_CACHE", str(tmp_path / "another machine"))
    assert main(["status", "--store", s3_url, "--json"]) == 0
    state = json.loads(capsys.readouterr().out)
    assert (state["run"], state["status"], state["steps"]["d"]["status"]) == (result.run, "done", "ran")
    assert main(["logs", "last", "a", "--store", s3_url]) == 0
    assert "done" in capsys.readouterr().out
    assert main(["report", "--store", s3_url]) == 2
    assert "has no report" in capsys.readouterr().err


@pytest.mark.parametrize("verb", [["gc"], ["shards", "forget", "a"]])
def test_verbs_that_take_away_make_no_store_where_there_is_none(s3_url: str, verb: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert main([*verb, "--store", s3_url]) == 2
    assert f"{s3_url} is no store (it has no FORMAT file); give its URL with --store" in capsys.readouterr().err
    assert ObjectStore(Path("nowhere"), s3_url).bucket.entries("") == {}


def test_a_url_of_no_kind_we_know_is_a_mistake_in_the_recipe_with_its_line(tmp_path: Path) -> None:
    with pytest.raises(RecipeError, match=r"recipe.yaml:2: .*no stores of kind ftp://"):
        recipe.load(written(tmp_path, RECIPE.replace("store: store", "store: ftp://host/x")))


def test_a_recipe_that_registers_says_where_mlflow_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MEDLEY_CACHE", str(tmp_path / "cache"))
    make_data(tmp_path)
    loaded = recipe.load(written(tmp_path, SHARDS.replace("store: store", f"store: memory://{tmp_path}")))
    plan = plans.make(graph.build(loaded), open_store(loaded.store))
    assert tracking(plan).uri.startswith("sqlite:")
    plan = replace(plan, steps={"version": replace(plan.steps["corpus"], task="register")})
    with pytest.raises(RecipeError, match=r"tracking: the store memory://.* is a bucket"):
        tracking(plan)


# ---- what goes wrong ---------------------------------------------------------------------------------------------------


@pytest.mark.slow
@pytest.mark.parametrize("seed", [7, 8, 9])
def test_a_run_survives_a_bucket_where_a_tenth_of_all_requests_go_wrong(
    s3_endpoint: str, s3_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, seed: int
) -> None:
    make_data(tmp_path)
    local = run(tmp_path, tmp_path / "store", SHARDS)
    with proxy(s3_endpoint, seeded_faults(seed, 0.1)) as (endpoint, seen):
        monkeypatch.setenv("AWS_ENDPOINT_URL", endpoint)
        result = run(tmp_path, s3_url, SHARDS, cache=tmp_path / "cache" / "faulty")
    assert statuses(result) == ["ran", "ran"]
    assert sum(number for kind, number in seen.items() if kind != "well") > 5
    monkeypatch.setenv("AWS_ENDPOINT_URL", s3_endpoint)
    assert tars(s3_url, result.steps["shards"].key) == tars(tmp_path / "store", local.steps["shards"].key)


PUBLISH = """
import sys
from dataclasses import replace
from pathlib import Path
from pipeline.object_store import ObjectStore
store = ObjectStore(Path(sys.argv[1]), sys.argv[2])
store.ready()
folder = store.scratch()
folder.mkdir()
for number in range(4):
    (folder / f"{number}.bin").write_bytes(bytes([number]) * 100_000)
print(store.publish_artifact(folder, {"kind": "corpus", "key": sys.argv[3], "step": "s", "summary": {}, "inputs": {}}))
"""


def test_killed_at_any_request_of_an_upload_no_reader_sees_half_and_the_next_run_completes(
    s3_endpoint: str, s3_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    reader = ObjectStore(tmp_path / "reader", s3_url)
    reader.ready()
    whole = {f"{number}.bin" for number in range(4)} | {"manifest.json"}
    killed = {"at": 0, "process": None, "left": 0}

    def kill(method: str, path: str) -> str:
        if method == "PUT" and "artifacts" in path:
            killed["left"] -= 1
            if killed["left"] == 0:
                killed["process"].send_signal(signal.SIGKILL)
                return "cut" if killed["at"] % 2 else "answer lost"
        return ""

    with proxy(s3_endpoint, kill) as (endpoint, _seen):
        for at in (1, 4, 5):  # the first file, the last file, the manifest
            killed |= {"at": at, "left": at}
            key = f"{at:064x}"
            command = [sys.executable, "-c", PUBLISH, str(tmp_path / "writer"), s3_url, key]
            environment = {**os.environ, "AWS_ENDPOINT_URL": endpoint}
            killed["process"] = subprocess.Popen(command, cwd=ROOT, env=environment)
            assert killed["process"].wait(60) == -signal.SIGKILL
            assert reader.manifest(key) is None
            done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=True)
            assert done.stdout == "True\n"
            assert {path.name for path in reader.bring(key).iterdir()} == whole


def _train(config: Any, inputs: Any, output_dir: Path, context: Any) -> dict[str, Any]:
    """Counts to nine with a checkpoint at each number, and dies at six where it is told to."""
    root = context.work_dir / "checkpoints"
    begun = max((int(path.name.removeprefix("step-")) for path in root.glob("step-*")), default=0)
    for number in range(begun + 1, 10):
        scratch = root / ".writing"
        scratch.mkdir(parents=True)
        (scratch / "state").write_text(str(number) * 1000)
        scratch.rename(root / f"step-{number}")
        if number > 2:
            shutil.rmtree(root / f"step-{number - 2}")
        with (context.work_dir / "metrics.jsonl").open("a") as file:
            file.write(f"{number}\n")
        time.sleep(0.15)
        if number == 6 and os.environ.get("DIE"):
            os.kill(os.getpid(), signal.SIGKILL)
    (output_dir / "value.json").write_text("9")
    return {"begun": begun, "lines": (context.work_dir / "metrics.jsonl").read_text().split()}


COUNT = "name: count\nstore: store\nsteps: {a: {task: count}}\n"


def _count(folder: Path, cache: Path, url: str, die: str, outcome: Any) -> None:
    from pipeline import catalog, leases, shared_work

    catalog.CATALOG["count"] = Task("tests.pipeline.toys:MakeConfig", "tests.pipeline.test_object_runs:_train", "corpus", version=1)
    os.environ |= {"MEDLEY_CACHE": str(cache), "DIE": die}
    shared_work.SAVE_S = 0.05
    leases.Pace.__init__.__defaults__ = (0.2, 2.0, 0.1)
    outcome.put(run(folder, url, COUNT).steps["a"].summary)


def test_another_machine_goes_on_from_the_checkpoint_of_one_that_was_killed(s3_url: str, tmp_path: Path) -> None:
    spawn = multiprocessing.get_context("spawn")
    outcome = spawn.Queue()
    for name, die, code in (("one", "yes", -signal.SIGKILL), ("two", "", 0)):
        (tmp_path / name).mkdir()
        process = spawn.Process(target=_count, args=(tmp_path / name, tmp_path / name, s3_url, die, outcome))
        process.start()
        process.join(60)
        assert process.exitcode == code
    summary = outcome.get(timeout=10)
    assert summary["begun"] in (4, 5, 6), "what was saved last may be a checkpoint or two old"
    assert summary["lines"][: summary["begun"]] == [str(number) for number in range(1, summary["begun"] + 1)]
    assert not open_store(s3_url).list("saved"), "what is published needs no checkpoint any more"


def test_what_was_saved_and_is_damaged_is_left_out(s3_url: str, tmp_path: Path) -> None:
    key = "ee" * 32
    here, there = (ObjectStore(tmp_path / name, s3_url) for name in ("here", "there"))
    for number in (1, 2):
        state = here.work_dir(key) / "checkpoints" / f"step-{number}" / "state"
        state.parent.mkdir(parents=True)
        state.write_text(f"state {number}")
    with pytest.raises(KeyError), saved(here, key):
        raise KeyError
    damaged = next(name for name in here.bucket.entries(f"saved/{key}") if name.endswith("step-2/state"))
    here.bucket.replace(damaged, b"state X")
    with saved(there, key):
        pass
    files = {path.name: [each.read_text() for each in path.iterdir()] for path in (there.work_dir(key) / "checkpoints").iterdir()}
    assert files == {"step-1": ["state 1"], "step-2": []}


def _run_toys(folder: Path, cache: Path, url: str, outcome: Any) -> None:
    from pipeline import catalog

    catalog.CATALOG.update(TOYS)
    os.environ["MEDLEY_CACHE"] = str(cache)
    slow = RECIPE.replace("plus: 3", "plus: 3, wait_s: 0.8")
    result = run(folder, url, slow)
    outcome.put({name: (step.status, step.summary.get("value")) for name, step in result.steps.items()})


def test_two_machines_that_run_one_recipe_at_once_both_end_well_and_do_each_step_once(s3_url: str, tmp_path: Path) -> None:
    spawn = multiprocessing.get_context("spawn")
    outcome = spawn.Queue()
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
    processes = [spawn.Process(target=_run_toys, args=(tmp_path / name, tmp_path / name, s3_url, outcome)) for name in ("one", "two")]
    for process in processes:
        process.start()
    ended = [outcome.get(timeout=120) for _ in processes]
    for process in processes:
        process.join()
    assert [{name: value for name, (_, value) in steps.items()} for steps in ended] == [{"a": None, "b": 5, "c": 7, "d": 7}] * 2
    assert sorted(steps["b"][0] for steps in ended) == ["cached", "ran"], "one waited for the other"
