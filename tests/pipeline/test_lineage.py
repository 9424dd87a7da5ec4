"""From a version back to its sources, from the store alone: also on another machine, and of what is gone."""

from __future__ import annotations

import csv
import io
import json
import os
import shutil
from pathlib import Path
from typing import Any

import pytest

from pipeline import versions
from pipeline.errors import NotFound
from pipeline.ledgers import ledger
from pipeline.lineage import ancestry
from pipeline.store import LocalStore
from tasks.promotions import Decision, append
from tests.pipeline.people import SECRET, _tasks_of_the_world, built, people, planned
from tests.pipeline.test_cli import call

__all__ = ["_tasks_of_the_world", "built", "people"]


@pytest.fixture
def registered(people: Path) -> LocalStore:
    """Versions 1 and 2 of `people` of the one model; 1 was promoted and rolled back, 2 is in force."""
    store = LocalStore(people / "store")
    keys = keys_of(people)
    tags = {"medley.shards_key": keys["shards"], "medley.corpus_key": keys["corpus"], "medley.run": "r1"}
    for number, model in (("1", "e" * 64), ("2", keys["model"])):
        document = {"model_key": model, "report_key": keys["report"] if number == "2" else "", "tags": tags}
        store.create(f"versions/people/{number}.json", json.dumps(document).encode())
        append(store, "people", Decision(action="promoted", alias="champion", version=number, model_key=model))
    return store


def keys_of(people: Path) -> dict[str, str]:
    return {name: step.key for name, step in planned(people).steps.items()}


def test_every_artifact_behind_a_version_stands_after_what_was_made_from_it(registered: LocalStore, people: Path) -> None:
    keys = keys_of(people)
    found = ancestry(registered, keys["report"], keys["model"])
    assert [origin.key for origin in found] == [keys[step] for step in ("report", "model", "shards", "corpus")]
    report, model, shards, corpus = found
    assert dict(report.inputs) == {"model": model.key, "shards": shards.key}
    assert (shards.kind, shards.step, shards.recipe, shards.task) == ("shards", "shards", "people", "shard")
    assert {"numpy", "pyarrow"} <= set(shards.libraries)
    assert shards.code_revision
    assert shards.made.endswith("+00:00")
    assert corpus.config["source"]["format"] == "folder"
    assert corpus.identity["snapshot"]
    tars = shards.facts["shards"]
    assert sum(tar["samples"] for tar in tars) == 31
    on_disk = {path.name for path in (registered.artifact_path(shards.key) / "shards").iterdir()}
    assert {Path(tar["name"]).name for tar in tars} == on_disk


def test_an_artifact_that_is_gone_is_told_by_the_plan_of_its_run_and_one_without_a_plan_by_its_key(
    registered: LocalStore, people: Path
) -> None:
    keys = keys_of(people)
    before = {origin.key: origin for origin in ancestry(registered, keys["report"])}
    for step in ("model", "shards"):
        shutil.rmtree(registered.artifact_path(keys[step]))
    after = {origin.key: origin for origin in ancestry(registered, keys["report"])}
    assert set(after) == set(before), "the way back to the corpus is not broken"
    assert [after[keys[step]].there for step in ("report", "model", "shards", "corpus")] == [True, False, False, True]
    for step in ("model", "shards"):
        for known in ("kind", "step", "recipe", "run", "config", "identity", "inputs", "task_version"):
            assert getattr(after[keys[step]], known) == getattr(before[keys[step]], known), known
    [lost] = ancestry(registered, "e" * 64)
    assert (lost.kind, lost.there, dict(lost.inputs)) == ("", False, {})


def test_a_name_means_the_version_that_the_log_has_in_force(registered: LocalStore) -> None:
    assert versions.find(registered, "people@champion").number == "2"
    assert versions.find(registered, "models:/people/1").model_key == "e" * 64
    append(
        registered,
        "people",
        Decision(action="rollback", alias="champion", version="2", model_key=versions.find(registered, "people/2").model_key),
    )
    assert versions.find(registered, "people@champion").number == "1"
    assert [entry["action"] for entry in versions.history(registered, versions.find(registered, "people/2"))] == ["promoted", "rollback"]


@pytest.mark.parametrize(
    ("asked", "said"),
    [
        ("people/3", "has no version 3 of 'people'; it has: 1, 2; the newest is people/2"),
        (
            "people@campion",
            "aliases in force: people@best, people@champion, people@previous; did you mean 'champion'?; versions: people/1, people/2",
        ),
        ("peple@champion", "has no registered model 'peple'; it has: people; did you mean 'people'?"),
    ],
)
def test_a_version_that_is_not_there_is_answered_with_what_is(registered: LocalStore, asked: str, said: str) -> None:
    with pytest.raises(NotFound) as caught:
        versions.find(registered, asked)
    assert said in str(caught.value)


def test_an_at_or_a_registered_name_with_a_number_means_a_version_and_all_else_a_sample(registered: LocalStore) -> None:
    asked = {"people@x": True, "people/2": True, "models:/a/1": True, "a/2": False, "a/s6": False, "people": False, "people/x": False}
    assert {each: versions.is_reference(each, registered) for each in asked} == asked


def test_the_ledger_behind_a_version_names_tar_and_digests_of_every_record(registered: LocalStore, people: Path) -> None:
    keys = keys_of(people)
    shards = next(origin for origin in ancestry(registered, keys["model"]) if origin.kind == "shards")
    rows = list(ledger(registered, shards))
    assert len(rows) == 31
    assert {row["status"] for row in rows} == {"written"}
    digests = {tar["name"]: tar["sha256"] for tar in shards.facts["shards"]}
    assert all(row["shard_sha256"] == digests[row["shard"]] for row in rows)
    assert all(set(row["members"]) == {"image", "text"} for row in rows)
    shutil.rmtree(registered.artifact_path(keys["corpus"]))
    assert [row | {"members": None} for row in rows] == list(ledger(registered, shards)), "without the corpus the digests are not known"


# ---- the verb ----------------------------------------------------------------------------------------------------------


def test_trace_prints_the_tree_and_with_json_one_document(registered: LocalStore, people: Path, capsys: pytest.CaptureFixture[str]) -> None:
    keys = keys_of(people)
    code, out, _ = call(capsys, "trace", "people@champion", "--store", registered.root)
    assert code == 0
    assert out.startswith("people/2 @champion\n")
    for told in (
        f"├─ report {keys['report'][:12]}",
        f"shards {keys['shards'][:12]}  (above)",
        "31 samples in",
        "source folder: ",
        "code: revision",
    ):
        assert told in out, told
    code, out, _ = call(capsys, "trace", "people@champion", "--json", "--store", registered.root)
    document = json.loads(out)
    assert document["version"]["uri"] == "models:/people/2"
    assert [each["kind"] for each in document["artifacts"]] == ["report", "model", "shards", "corpus"]
    assert document["log"][0]["action"] == "promoted"


def test_what_a_version_was_only_compared_with_is_told_as_such_and_its_samples_are_not_listed(
    registered: LocalStore, people: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    keys = keys_of(people)
    rival, others = "b" * 64, "d" * 64
    for key, step, inputs in ((others, "shards", {}), (rival, "model", {"shards": others})):
        scratch = registered.scratch()
        scratch.mkdir()
        registered.publish_artifact(scratch, {"kind": step, "key": key, "step": step, "inputs": inputs, "summary": {}})
    place = registered.artifact_path(keys["report"]) / "manifest.json"
    manifest = json.loads(place.read_bytes())
    place.chmod(0o644)
    place.write_text(json.dumps({**manifest, "inputs": {"baseline": rival, **manifest["inputs"]}}))
    _, out, _ = call(capsys, "trace", "people/2", "--store", registered.root)
    assert f"├─ model {keys['model'][:12]}" in out
    assert f"└─ compared with its baseline: model {rival[:12]}" in out
    assert out.index(keys["model"][:12]) < out.index(rival[:12])
    code, out, _ = call(capsys, "trace", "people/2", "--samples", "--store", registered.root)
    assert (code, {row["shards"] for row in csv.DictReader(io.StringIO(out))}) == (0, {keys["shards"]})


def test_samples_are_listed_as_csv_or_json_lines(registered: LocalStore, people: Path, capsys: pytest.CaptureFixture[str]) -> None:
    _, out, _ = call(capsys, "trace", "people/2", "--samples", "--store", registered.root)
    rows = list(csv.DictReader(io.StringIO(out)))
    assert len(rows) == 31
    assert rows[0]["members"].startswith("image:")
    _, out, _ = call(capsys, "trace", "people/2", "--samples", "--json", "--store", registered.root)
    lines = [json.loads(line) for line in out.splitlines()]
    assert [line["key"] for line in lines] == [row["key"] for row in rows]
    shutil.rmtree(registered.artifact_path(keys_of(people)["shards"]))
    code, _, err = call(capsys, "trace", "people/2", "--samples", "--store", registered.root)
    assert code == 2
    assert "its shards are not in the store any more" in err


def test_another_machine_that_sees_the_store_says_the_same(
    registered: LocalStore, people: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The store in another folder, no recipe, another working directory: only where the store is differs in what is said."""
    asked: list[list[Any]] = [["people@champion"], ["people/1"], [SECRET], ["people/2", "--samples"]]
    here = [json_of(call(capsys, "trace", *words, "--json", "--store", registered.root)[1]) for words in asked]
    away = tmp_path / "mounted" / "elsewhere"
    shutil.copytree(registered.root, away)
    shutil.rmtree(registered.root)
    (people / "recipe.yaml").unlink()
    (tmp_path / "cwd").mkdir()
    monkeypatch.chdir(tmp_path / "cwd")
    there = [json_of(call(capsys, "trace", *words, "--json", "--store", away)[1]) for words in asked]
    assert there == here
    assert not os.listdir(tmp_path / "cwd")


def json_of(out: str) -> list[Any]:
    """The document or the lines, without the place of the store."""
    found = json.loads(out) if out.startswith("{\n") else [json.loads(line) for line in out.splitlines()]
    if isinstance(found, dict):
        del found["store"]
    return [found]


def test_what_trace_cannot_do_is_said(registered: LocalStore, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code, _, err = call(capsys, "trace", "people@champion", "--store", tmp_path / "none")
    assert (code, "is no store (it has no FORMAT file)" in err) == (2, True)
    code, _, err = call(capsys, "trace", SECRET, "--samples", "--store", registered.root)
    assert (code, "--samples is for versions, and 'a/s6' reads as the key of a sample" in err) == (2, True)
    (registered.root / "versions/people/2.json").write_text("{")
    code, _, err = call(capsys, "trace", "people/2", "--store", registered.root)
    assert (code, "versions/people/2.json in the store" in err, "restore it from a backup" in err) == (1, True, True)
