"""How many records are other than in a corpus: counted from names, sizes and times, without opening a medium."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from pipeline.store import LocalStore
from tasks.contracts import Locator, SourceRecord
from tasks.ingest import IngestConfig, changed, ingest
from tasks.sources.difference import num_changed
from tasks.sources.normalise import normalise
from tests.tasks.shards.corpora import context


@pytest.fixture
def store(tmp_path: Path) -> LocalStore:
    return LocalStore.open(tmp_path / "store")


@pytest.fixture
def data(tmp_path: Path) -> Path:
    folder = tmp_path / "data"
    for number in range(5):
        (folder / "a").mkdir(parents=True, exist_ok=True)
        (folder / "a" / f"{number}.txt").write_text(f"text {number}")
    return folder


def config(data: Path, limit: int | None = None) -> IngestConfig:
    return IngestConfig.model_validate({"source": {"format": "folder", "path": str(data)}, "limit": limit})


def corpus(data: Path, store: LocalStore, folder: Path, limit: int | None = None) -> Path:
    folder.mkdir()
    ingest(config(data, limit), {}, folder, context(store))
    return folder


def add(data: Path) -> None:
    for number in (7, 8):
        (data / "a" / f"{number}.txt").write_text("new")


def take(data: Path) -> None:
    (data / "a" / "0.txt").unlink()


def alter(data: Path) -> None:
    (data / "a" / "1.txt").write_text("other text")


def touch(data: Path) -> None:
    os.utime(data / "a" / "1.txt", ns=(1, 1))


def move(data: Path) -> None:
    """Another label and another key: one record is gone and one is new."""
    (data / "b").mkdir()
    (data / "a" / "2.txt").rename(data / "b" / "2.txt")


def enrich(data: Path) -> None:
    (data / "a" / "3.wav").write_bytes(b"RIFF")


@pytest.mark.parametrize(("change", "number"), [(lambda _: None, 0), (add, 2), (take, 1), (alter, 1), (touch, 1), (move, 2), (enrich, 1)])
def test_new_altered_and_gone_records_are_counted(
    data: Path, store: LocalStore, tmp_path: Path, change: Callable[[Path], None], number: int
) -> None:
    before = corpus(data, store, tmp_path / "corpus")
    change(data)
    assert changed(config(data), tmp_path, before, store) == number


def test_without_a_corpus_all_records_are_new(data: Path, store: LocalStore, tmp_path: Path) -> None:
    assert changed(config(data), tmp_path, None, store) == 5


def test_a_smoke_run_counts_what_a_smoke_run_takes(data: Path, store: LocalStore, tmp_path: Path) -> None:
    before = corpus(data, store, tmp_path / "corpus", limit=3)
    assert changed(config(data, 3), tmp_path, before, store) == 0


def test_what_lies_in_a_table_itself_is_compared_by_its_bytes(store: LocalStore, tmp_path: Path) -> None:
    table = tmp_path / "t.csv"
    source = {"format": "table", "path": str(table), "columns": {"text": {"column": "text", "inline": True}}, "key": "id", "labels": ["y"]}
    said = IngestConfig.model_validate({"source": source})
    table.write_text("id,text,y\na,one,p\nb,two,q\n")
    (tmp_path / "corpus").mkdir()
    ingest(said, {}, tmp_path / "corpus", context(store))
    assert changed(said, tmp_path, tmp_path / "corpus", store) == 0
    table.write_text("id,text,y\na,one,p\nb,TWO,q\nc,three,p\n")
    assert changed(said, tmp_path, tmp_path / "corpus", store) == 2
    table.write_text("id,text,y\na,one,q\nb,two,q\n")
    assert changed(said, tmp_path, tmp_path / "corpus", store) == 1, "another label"


def test_a_source_that_says_neither_size_nor_time_is_compared_by_place(data: Path, store: LocalStore, tmp_path: Path) -> None:
    before = corpus(data, store, tmp_path / "corpus")
    records = [SourceRecord(f"a/{number}", {"text": Locator(str(data / "a" / f"{number}.txt"))}, {"label": "a"}) for number in range(5)]
    assert num_changed(map(normalise, records), before) == 0
