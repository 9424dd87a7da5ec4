"""From a sample on to every model, version, alias and run that it reached."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from pipeline import forget, journal, rows
from pipeline.errors import NotFound
from pipeline.sample_lineage import trace
from pipeline.store import LocalStore
from tests.pipeline.people import SECRET, _tasks_of_the_world, built, people
from tests.pipeline.test_cli import call
from tests.pipeline.test_lineage import keys_of, registered

__all__ = ["_tasks_of_the_world", "built", "people", "registered"]


def in_split(store: LocalStore, people: Path, split: str) -> str:
    """Key of some sample of a split."""
    table = pq.read_table(store.artifact_path(keys_of(people)["shards"]) / "ledger.parquet")
    return str(next(row["key"] for row in table.to_pylist() if row["split"] == split))


def test_a_training_sample_leads_to_its_bytes_its_tar_the_model_and_the_alias(registered: LocalStore, people: Path) -> None:
    keys = keys_of(people)
    found = trace(registered, SECRET)
    assert {place.kind: place.key for place in found.places} == {"corpus": keys["corpus"], "shards": keys["shards"]}
    corpus = next(place for place in found.places if place.kind == "corpus")
    assert [(member.modality, Path(member.uri).name) for member in corpus.members] == [("image", "s6.png"), ("text", "s6.txt")]
    shards = next(place for place in found.places if place.kind == "shards")
    assert (shards.status, shards.split) == ("written", "train")
    index = pq.read_table(registered.artifact_path(keys["shards"]) / "index.parquet").to_pylist()
    number = next(row["shard"] for row in index if row["key"] == SECRET)
    tars = json.loads((registered.artifact_path(keys["shards"]) / "shards.json").read_bytes())["shards"]
    assert (shards.shard, shards.sha256) == (tars[number]["name"], tars[number]["sha256"])
    known = {model.key: model for model in found.models}
    assert known[keys["model"]].versions == ("people/2",)
    assert known[keys["model"]].aliases == ("people@champion",)
    assert known["e" * 64].versions == ("people/1",), "its model is gone, its tags say what it was made from"
    assert not known["e" * 64].there
    assert all(model.saw for model in found.models)
    assert list(found.runs) == journal.runs(registered.root)


def test_a_test_sample_was_never_looked_at_while_training_and_is_in_the_report(registered: LocalStore, people: Path) -> None:
    found = trace(registered, in_split(registered, people, "test"))
    assert {place.kind for place in found.places} == {"corpus", "shards", "report"}
    assert all(model.splits == ("test",) and not model.saw for model in found.models)


def test_a_forgotten_sample_is_told_by_its_mark_and_by_the_models_that_saw_it(
    registered: LocalStore, people: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    forget.forget(registered, [SECRET], "they asked")
    found = trace(registered, SECRET)
    assert found.forgotten["reason"] == "they asked"
    assert found.places == ()
    assert {model.versions for model in found.models} == {("people/1",), ("people/2",)}
    code, out, _ = call(capsys, "trace", SECRET, "--store", registered.root)
    assert code == 0
    assert "forgotten 20" in out
    assert "saw it (train); people/2, people@champion" in out


def test_a_model_whose_shards_are_gone_is_named_as_one_that_may_have_seen_it(registered: LocalStore, people: Path) -> None:
    keys = keys_of(people)
    shutil.rmtree(registered.artifact_path(keys["shards"]))
    found = trace(registered, SECRET)
    assert {place.kind for place in found.places} == {"corpus"}
    assert [note for note in found.notes if keys["model"][:12] in note and "may have seen it" in note]


def test_a_table_that_cannot_be_read_is_named(registered: LocalStore, people: Path) -> None:
    ledger = registered.artifact_path(keys_of(people)["shards"]) / "ledger.parquet"
    ledger.write_bytes(ledger.read_bytes()[:-20])
    [note] = [note for note in trace(registered, SECRET).notes if "ledger.parquet" in note]
    assert "cannot be read, so it may hold it" in note


@pytest.mark.parametrize(
    ("asked", "said"), [("a/s66", "did you mean 'a/s6'?"), ("people", "give people@champion or people/1"), ("zzz", "holds a sample 'zzz'")]
)
def test_a_key_that_never_was_is_answered_with_the_closest(registered: LocalStore, asked: str, said: str) -> None:
    with pytest.raises(NotFound) as caught:
        trace(registered, asked)
    assert said in str(caught.value)


def test_the_flag_key_takes_a_sample_whose_key_reads_as_a_version(registered: LocalStore, capsys: pytest.CaptureFixture[str]) -> None:
    code, out, _ = call(capsys, "trace", "people/2", "--store", registered.root)
    assert (code, out.splitlines()[0]) == (0, "people/2 @champion")
    code, _, err = call(capsys, "trace", "people/2", "--key", "--store", registered.root)
    assert code == 2
    assert "no artifact in" in err


def test_a_sorted_table_gives_a_row_without_reading_the_others(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    keys = [f"k{number:04d}" for number in range(1000)]
    pq.write_table(pa.table({"key": keys, "value": range(1000), "wide": keys}), tmp_path / "t.parquet", row_group_size=100)
    read = []
    real = pq.ParquetFile.read_row_group
    monkeypatch.setattr(
        pq.ParquetFile, "read_row_group", lambda self, group, columns: read.append((group, *columns)) or real(self, group, columns)
    )
    with pq.ParquetFile(tmp_path / "t.parquet") as file:
        assert rows.find(file, "k0555", ["value", "absent"]) == [{"key": "k0555", "value": 555}]
        assert rows.find(file, "k05555", ["value"]) == []
        assert rows.find(file, "z", ["value"]) == []
        assert set(read) == {(5, "key"), (5, "key", "value")}
        assert [row["value"] for row in rows.every(file, ["value"])] == list(range(1000))
