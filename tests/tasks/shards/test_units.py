from __future__ import annotations

import json
from pathlib import Path

import pytest

from pipeline.store import LocalStore
from tasks.errors import CorruptArtifact
from tasks.shard import ShardConfig
from tasks.shards import writeback
from tasks.shards.corpus import Corpus, Source, read_member
from tasks.shards.pool import Place, read_unit, rows_name
from tasks.shards.prepare import prepare_plan
from tasks.shards.tables import ledger_table
from tasks.shards.units import read_records, write_units
from tests.tasks.shards.corpora import Record, context, make_shards, texts, write_corpus


@pytest.mark.parametrize("inline", [False, True])
def test_a_unit_is_read_as_it_was_planned(tmp_path: Path, *, inline: bool) -> None:
    records = [*texts(9), Record("nothing", {}, labels={"digit": "9"}), Record("unreadable", {"text": None}, labels={"digit": "8"})]
    artifact = write_corpus(tmp_path / "corpus", records, inline=inline)
    corpus = Corpus.open(artifact.path)
    config = ShardConfig.model_validate({"prepare": {"text": {}, "image": {}}, "sizes": {"min_records": 3, "max_records": 5}})
    planned = prepare_plan(config, corpus, context(LocalStore.open(tmp_path / "store")))
    first = planned.units[0]
    copied = planned.identities.members["text"][first.rows[0]]
    path = tmp_path / "units.arrow"
    write_units(path, corpus, planned.units, planned.identities, {"text": {copied or "": Place("u", 7)}, "image": {}}, embed_labels=True)

    for number, unit in enumerate(planned.units):
        read = read_records(path, number, ["image", "text"])
        assert read.keys == [corpus.keys[row] for row in unit.rows]
        assert read.digests == [planned.identities.digests[row] for row in unit.rows]
        assert read.encoded == [planned.identities.keys[row] for row in unit.rows]
        labels = {name: corpus.column(f"label.{name}") for name in corpus.labels}
        assert [json.loads(text or "") for text in read.labels] == [{name: labels[name][row] for name in labels} for row in unit.rows]
        assert read.members["image"].sources == [Source(None, None, None, None, None)] * len(unit.rows)
        assert read.members["text"].keys == [planned.identities.members["text"][row] for row in unit.rows]
        assert [source.sha256 for source in read.members["text"].sources] == [corpus.digests("text")[row] for row in unit.rows]
        for row, source in zip(unit.rows, read.members["text"].sources, strict=True):
            if source.sha256:
                data = read_member(str(corpus.path), corpus.keys[row], "text", source)
                assert data == next(record.members["text"] for record in records if record.key == corpus.keys[row])
    copies = read_records(path, 0, ["text"]).members["text"].copies
    assert copies == [Place("u", 7) if planned.identities.members["text"][row] == copied else None for row in first.rows]


def test_rows_without_a_column_that_is_asked_for_are_damaged(tmp_path: Path) -> None:
    store = LocalStore.open(tmp_path / "store")
    make_shards(tmp_path / "made", write_corpus(tmp_path / "corpus", texts(3)), store, prepare={"text": {}})
    unit = json.loads((tmp_path / "made" / "shards.json").read_text())["units"][0]
    assert read_unit(store, unit, ["text.size"]).table.column_names == ["text.size"]
    with pytest.raises(CorruptArtifact, match=r"remove it and run again"):
        read_unit(store, unit, ["image.size"])
    path = store.local_path(rows_name(unit))
    path.chmod(0o644)
    path.write_bytes(path.read_bytes()[:-9])
    with pytest.raises(CorruptArtifact, match=r"remove it and run again"):
        read_unit(store, unit)


def test_a_ledger_without_units_has_the_records_that_were_left_out(tmp_path: Path) -> None:
    corpus = Corpus.open(write_corpus(tmp_path / "corpus", texts(2)).path)
    assert len(ledger_table(corpus, [], {})) == 0


def test_a_file_that_begins_to_be_written_early_is_the_same(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("with", "without"):
        with (tmp_path / name).open("wb", buffering=1 << 16) as file:
            for part in (b"a" * 100_000, b"b" * 10):
                file.write(part)
                writeback.begin_writing(file)
        monkeypatch.setattr(writeback, "_system_call", lambda: None)  # as on a system that has none
    assert (tmp_path / "with").read_bytes() == (tmp_path / "without").read_bytes() == b"a" * 100_000 + b"b" * 10
