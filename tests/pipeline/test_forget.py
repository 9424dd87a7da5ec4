"""Forgetting a sample: nothing of it is left, nothing else is lost, and no later ingest brings it back."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from pipeline import forget, pins
from pipeline.errors import NotFound, RecipeError, StoreError
from pipeline.plan import look_again
from pipeline.runner import RunResult
from pipeline.store import LocalStore
from tasks import forgotten
from tasks.errors import CorruptArtifact
from tasks.promotions import Decision, append, current, read_log
from tasks.shards.attempts import store_verdict
from tasks.shards.identity import Verdict
from tasks.shards.verify import verify
from tests.pipeline.people import OF, RECIPE, SECRET, TWIN, _tasks_of_the_world, built, people, picture, planned, run, write, written
from tests.pipeline.test_cli import call

__all__ = ["_tasks_of_the_world", "built", "people"]


def files(artifact: str) -> dict[str, bytes]:
    """Everything but what the runner writes beside it."""
    root = Path(artifact)
    return {
        path.relative_to(root).as_posix(): path.read_bytes()
        for path in sorted(root.rglob("*"))
        if path.is_file() and path.name != "manifest.json"
    }


def places_with(store: Path, needles: list[bytes]) -> Iterator[str]:
    """Files of a store that hold one of these, Parquet files by the values in their cells."""
    for path in sorted(store.rglob("*")):
        if not path.is_file():
            continue
        data = path.read_bytes()
        if path.suffix == ".parquet":
            data = repr(pq.read_table(path, partitioning=None).to_pylist()).encode()
        if any(needle in data for needle in needles):
            yield path.relative_to(store).as_posix()


def pixels_of(seed: int) -> bytes:
    """Bytes that only the stored picture of this seed has: sharding keeps a PNG as it is."""
    return picture(seed)[60:120]


NEEDLES = [SECRET.encode(), b"number 6", picture(6)[60:120]]
"""Its key, its text, and bytes that only its picture has: sharding keeps a PNG as it is."""


def test_a_forgotten_sample_is_gone_everywhere_and_the_next_run_equals_a_build_from_nothing(built: Path, people: Path) -> None:
    store = LocalStore(people / "store")
    before = {name: step.key for name, step in planned(people).steps.items()}
    assert {name.split("/")[0] for name in places_with(store.root, NEEDLES)} == {"artifacts", "pool"}

    found = forget.forget(store, [SECRET], "they asked")

    assert list(places_with(store.root, NEEDLES)) == []
    assert {holder.kind for holder in found.holders} == {"corpus", "shards"}
    assert store.artifact(before["report"]), "the sample was in train: the report has nothing of it"
    assert found.sources == tuple(str(built / "data" / f"{SECRET}.{extension}") for extension in ("png", "txt"))
    assert all(Path(path).exists() for path in found.sources)

    second = run(people)
    assert list(places_with(store.root, NEEDLES)) == []
    assert {name: step.status for name, step in second.steps.items()} == dict.fromkeys(before, "ran")
    assert not set(before.values()) & {step.key for step in second.steps.values()}
    summary = second.steps["shards"].summary
    assert summary["ledger"] == {"in": 31, "written": 30, "filtered": 0, "duplicate": 0, "quarantined": 0, "forgotten": 1}
    assert summary["members"]["encoded"] == 0, "the others are copied"
    assert summary["members"]["copied"] > 0
    assert second.steps["corpus"].summary["forgotten"] == 1
    assert verify(Path(second.steps["shards"].artifact)) == []

    fresh = LocalStore.open(people / "fresh")
    for folder in ("forgotten", "superseded"):
        shutil.copytree(store.root / folder, fresh.root / folder)
    nothing = run(people, fresh.root)
    assert nothing.steps["shards"].summary["members"]["copied"] == 0
    for step in ("corpus", "shards"):
        assert files(second.steps[step].artifact) == files(nothing.steps[step].artifact)
    assert {step.status for step in run(people).steps.values()} == {"cached"}


def test_without_the_sample_in_the_source_the_tars_are_the_same_bytes(tmp_path: Path, people: Path) -> None:
    forget.forget(LocalStore(people / "store"), [SECRET])
    marked = files(run(people, until="shards").steps["shards"].artifact)
    folder = written(tmp_path / "other")
    for extension in ("png", "txt"):
        (folder / "data" / f"{SECRET}.{extension}").unlink()
    never = files(run(folder, until="shards").steps["shards"].artifact)
    for name in sorted(set(marked) - {"ledger.parquet", "shards.json", "README.md", "croissant.json"}):  # these count it, or hold a key
        assert marked[name] == never[name], name
    assert set(marked) == set(never)


def test_models_that_saw_it_are_named_with_versions_and_aliases_also_when_asked_again(people: Path) -> None:
    store, key = LocalStore(people / "store"), planned(people).steps["model"].key
    store.create("versions/people/1.json", json.dumps({"model_key": key, "tags": {}}).encode())
    append(store, "people", Decision(action="promoted", alias="champion", version="1", model_key=key))
    (model,) = forget.forget(store, [SECRET]).models
    assert (model.key, model.splits) == (key, ("train",))
    assert (model.versions, model.aliases) == (("people version 1",), ("people@best", "people@champion"))
    assert store.artifact(key)
    run(people)
    again = forget.survey(store, [SECRET])
    assert again.models == (model,)
    assert (again.marked, again.holders) == ((SECRET,), ())
    assert forget.survey(store, [OF]).models == (), "a model is measured on test, it does not learn from it"


def test_versions_whose_model_saw_it_are_marked_once_and_stay_in_force(people: Path, capsys: pytest.CaptureFixture[str]) -> None:
    store = LocalStore(people / "store")
    model = planned(people).steps["model"].key
    for number, key in (("1", model), ("2", "e" * 64)):
        store.create(f"versions/people/{number}.json", json.dumps({"model_key": key, "tags": {}}).encode())
        append(store, "people", Decision(action="promoted", alias="champion", version=number, model_key=key))
    assert forget.survey(store, [SECRET]).marks == ()
    code, out, _ = call(capsys, "shards", "forget", SECRET, "--yes", "--store", store.root)
    assert code == 0
    assert "marked as having seen forgotten samples:\n  people/1  entry 3 of its log" in out
    entry = read_log(store, "people")[2]
    assert (entry.action, entry.version, entry.alias) == ("marked", "1", "")
    assert entry.numbers["samples"] == {forgotten.sample_of(SECRET): "train"}
    assert SECRET not in entry.reasons[0]
    assert current(read_log(store, "people"), "champion").version == "2"  # type: ignore[union-attr]
    call(capsys, "shards", "forget", SECRET, "--yes", "--store", store.root)
    assert len(read_log(store, "people")) == 3, "marked once"
    code, out, _ = call(capsys, "trace", "people/1", "--store", store.root)
    assert "marked  (entry 3 of the log): its model saw a sample that was forgotten since (train)" in out
    assert "it saw 1 sample that was forgotten since" in out


def test_with_a_damaged_promotion_log_nothing_is_begun(people: Path) -> None:
    store = LocalStore(people / "store")
    store.create("promotions/people/1.json", b"{")
    with pytest.raises(CorruptArtifact, match=r"promotions/people/1\.json in the store is damaged"):
        forget.forget(store, [SECRET])
    assert forgotten.marks(store) == frozenset()


def test_a_version_whose_model_left_the_store_is_named_by_its_tags(people: Path) -> None:
    store = LocalStore(people / "store")
    tags = {"medley.shards_key": planned(people).steps["shards"].key}
    store.create("versions/people/7.json", json.dumps({"model_key": "e" * 64, "tags": tags}).encode())
    assert "people version 7" in [version for model in forget.survey(store, [SECRET]).models for version in model.versions]


def ledger(result: RunResult) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = pq.read_table(Path(result.steps["shards"].artifact) / "ledger.parquet").to_pylist()
    return rows


def test_the_ledger_knows_a_forgotten_sample_by_the_digest_of_its_key_alone(people: Path) -> None:
    forget.forget(LocalStore(people / "store"), [SECRET])
    (row,) = [row for row in ledger(run(people, until="shards")) if row["status"] == "forgotten"]
    assert row["key"] == f"sha256:{forgotten.sample_of(SECRET)}"
    assert {value for name, value in row.items() if name not in ("key", "status", "members")} == {None}


def test_a_report_on_the_sample_goes(people: Path) -> None:
    store, keys = LocalStore(people / "store"), {name: step.key for name, step in planned(people).steps.items()}
    found = forget.forget(store, [OF])
    assert {holder.kind for holder in found.holders} == {"corpus", "shards", "report"}
    assert store.artifact(keys["report"]) is None
    assert store.artifact(keys["model"])


def test_another_corpus_keeps_its_key_and_a_copy_of_the_source_is_ingested_without_the_sample(built: Path, people: Path) -> None:
    store = LocalStore(people / "store")
    other = people / "other"
    (other / "data" / "a").mkdir(parents=True)
    for number in range(3):
        write(other, f"a/other{number}", picture(100 + number), f"somebody else, {number}")
    (other / "recipe.yaml").write_text(RECIPE.replace("DATA", "data"))
    before = run(other, store.root, until="shards").steps["shards"].key
    forget.forget(store, [SECRET])
    assert run(other, store.root, until="shards").steps["shards"].status == "cached"
    assert planned(other, store.root).steps["shards"].key == before
    shutil.copytree(built / "data", people / "moved")
    (people / "recipe.yaml").write_text(RECIPE.replace("DATA", "moved"))
    counts = run(people, until="shards").steps["shards"].summary["ledger"]
    assert (counts["in"], counts["forgotten"]) == (31, 1)


def test_a_sample_with_the_same_bytes_under_another_key_is_named_and_stays(people: Path) -> None:
    found = forget.forget(LocalStore(people / "store"), [OF])
    assert [(twin.key, twin.modality, twin.of) for twin in found.twins] == [(TWIN, "image", OF)]
    assert TWIN in [row["key"] for row in ledger(run(people, until="shards")) if row["status"] == "written"]


def test_an_unknown_key_is_an_error_with_the_closest_and_can_be_marked_ahead(people: Path) -> None:
    store = LocalStore(people / "store")
    with pytest.raises(NotFound, match="holds 'a/s66'; did you mean 'a/s6'"):
        forget.forget(store, ["a/s66"])
    assert not store.list("forgotten")
    forget.forget(store, ["a/s66"], unseen=True)
    folder = people / "later"
    (folder / "data" / "a").mkdir(parents=True)
    for key in ("a/s66", "a/s67"):
        write(folder, key, picture(66), f"late, {key}")
    (folder / "recipe.yaml").write_text(RECIPE.replace("DATA", "data"))
    counts = run(folder, store.root, until="shards").steps["shards"].summary["ledger"]
    assert (counts["written"], counts["forgotten"]) == (1, 1)


def test_a_second_sample_of_a_corpus_that_is_not_made_again_yet_is_marked_ahead(people: Path) -> None:
    store = LocalStore(people / "store")
    forget.forget(store, [SECRET])
    with pytest.raises(NotFound, match="--unseen marks it"):
        forget.forget(store, ["a/s8"])
    forget.forget(store, ["a/s8"], unseen=True)
    summary = run(people, until="shards").steps["shards"].summary
    assert summary["ledger"] == {"in": 31, "written": 29, "filtered": 0, "duplicate": 0, "quarantined": 0, "forgotten": 2}
    assert forget.survey(store, [SECRET, "a/s8"]).holders == ()


def test_looking_changes_nothing(people: Path) -> None:
    root = people / "store"
    before = {path: path.stat().st_mtime_ns for path in root.rglob("*") if path.is_file()}
    assert forget.survey(LocalStore(root), [SECRET]).holders
    assert {path: path.stat().st_mtime_ns for path in root.rglob("*") if path.is_file()} == before


def test_running_work_is_refused_and_a_run_that_was_planned_before_asks_to_be_started_again(people: Path) -> None:
    store, plan = LocalStore(people / "store"), planned(people)
    with pins.pinned(store, "20260101-000000-abcd", plan.stands_on), pytest.raises(StoreError, match="20260101-000000-abcd is at work"):
        forget.forget(store, [SECRET])
    assert not store.list("forgotten")
    forget.forget(store, [SECRET])
    with pytest.raises(RecipeError, match="run the same command again"):
        look_again(plan)


def test_killed_at_any_step_the_same_command_ends_it(built: Path, people: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each link, rename and deletion on the disk is once the one that does not happen any more."""
    num_steps = len(operations(LocalStore(people / "store")))
    assert num_steps > 20
    for last in range(num_steps):
        store = LocalStore(people / f"store{last}")
        subprocess.run(["cp", "-a", built / "store", store.root], check=True)
        with pytest.raises(Killed):
            operations(store, last)
        again = forget.forget(store, [SECRET])
        assert again.sources or not again.holders, f"{last}: corpora, which know the sources, go last"
        assert list(places_with(store.root, NEEDLES)) == [], last
        assert planned(people, store.root).to_run == ["corpus", "shards", "model", "report"], last
        assert forget.survey(store, [SECRET]).models, last
        shutil.rmtree(store.root)


class Killed(BaseException):
    pass


def operations(store: LocalStore, last: int = 1 << 30) -> list[str]:
    """Forget with only the first `last` operations that change a folder. Returns those that happened."""
    done: list[str] = []

    def limited(name: str) -> Callable[..., Any]:
        real = getattr(os, name)

        def operation(*args: Any, **options: Any) -> Any:
            if len(done) >= last:
                raise Killed
            done.append(name)
            return real(*args, **options)

        return operation

    with pytest.MonkeyPatch.context() as patch:
        for name in ("link", "rename", "replace", "unlink", "rmdir"):
            patch.setattr(os, name, limited(name))
        forget.forget(store, [SECRET])
    return done


def test_leftovers_verdicts_logs_and_other_names_of_the_bytes_are_dealt_with(built: Path, people: Path) -> None:
    result, store = run(people), LocalStore(people / "store")
    store_verdict(store, "ab" * 32, SECRET, Verdict("image", "decoder/hung", "it took too long"))
    store.create("retries/1.json", json.dumps({"format": 1, "keys": [SECRET, "b/s1"]}).encode())
    (store.work_dir("c" * 64) / "units-1.arrow").write_bytes(SECRET.encode())
    (store.root / "tmp" / "unfinished").mkdir()
    (store.root / "tmp" / "unfinished" / "records.parquet").write_bytes(SECRET.encode())
    log = store.root / "runs" / result.run / "steps" / "shards.log"
    log.write_text(f"damaged: the image of '{SECRET}'\n  {SECRET}: image/truncated\nread {built}/data/{SECRET}.png, 'a/s66' and 'a/s6x'\n")
    tar = next(name for name in places_with(store.root, NEEDLES[2:]) if name.startswith("pool/"))
    os.link(store.root / tar, people / "kept.tar")
    found = forget.forget(store, [SECRET])
    assert any("1 more names (hard links)" in note for note in found.notes)
    assert [name for name in places_with(store.root, NEEDLES) if not name.endswith("shards.log")] == []
    assert log.read_text() == "damaged: the image of '[forgotten]'\n  [forgotten]: image/truncated\nread [forgotten], 'a/s66' and 'a/s6x'\n"
    assert json.loads(store.read("retries/1.json"))["keys"] == ["[forgotten]", "b/s1"]
    assert store.list("verdicts") == []
    assert store.list("work") == [name for name in store.list("work") if name.endswith(".lock")]
    assert list((store.root / "tmp").iterdir()) == []


def test_the_verb_says_what_it_would_do_and_does_it_with_yes(built: Path, people: Path, capsys: pytest.CaptureFixture[str]) -> None:
    store = people / "store"
    code, out, _ = call(capsys, "shards", "forget", SECRET, "--store", store, "--reason", "they asked")
    assert code == 0
    for words in ("corpus of people", "the sources are never touched", f"{built}/data/{SECRET}.png", "nothing was changed", "--yes"):
        assert words in out
    assert not LocalStore(store).list("forgotten")
    code, out, _ = call(capsys, "shards", "forget", SECRET, "--store", store, "--reason", "they asked", "--yes", "--json")
    document = json.loads(out)
    assert (code, document["forgotten"], document["keys"]) == (0, True, [SECRET])
    assert document["models"][0]["splits"] == ["train"]
    mark = json.loads(LocalStore(store).read(f"forgotten/{forgotten.sample_of(SECRET)}.json"))
    assert (mark["reason"], SECRET in json.dumps(mark)) == ("they asked", False)
    code, out, _ = call(capsys, "shards", "forget", SECRET, "--store", store, "--yes")
    assert "forgotten before; nothing of it was left" in out
    code, _, err = call(capsys, "shards", "forget", "a/s6666", "--store", store)
    assert code == 2
    assert "--unseen" in err
    assert call(capsys, "shards", "forget", "a", "--store", people / "data")[0] == 2


def test_models_made_from_shards_that_are_gone_are_named_as_unknown(people: Path) -> None:
    store, plan = LocalStore(people / "store"), planned(people)
    store.remove_artifact(plan.steps["shards"].key)
    found = forget.survey(store, [SECRET])
    assert [model.key for model in found.unknown] == [plan.steps["model"].key]


def test_a_corpus_that_is_gone_is_superseded_by_what_its_shards_say(people: Path) -> None:
    store, plan = LocalStore(people / "store"), planned(people)
    store.remove_artifact(plan.steps["corpus"].key)
    forget.forget(store, [SECRET])
    assert forgotten.is_superseded(store, plan.steps["corpus"].key)
    assert planned(people).to_run == ["corpus", "shards", "model", "report"]
