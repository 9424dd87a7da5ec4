"""The pool without some samples: the others can still be copied, and only from where it is true."""

from __future__ import annotations

import subprocess
import zlib
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from pipeline.store import LocalStore
from tasks.shards.pool import read_unit, rows_name, tar_name, units_of_index
from tasks.shards.without import held, take_away
from tests.tasks.shards.corpora import Record, hashes, make_shards, picture, texts, write_corpus

KEY = "t00003"
SETTINGS = {"prepare": {"text": {}, "image": {}}, "sizes": {"min_records": 8, "max_records": 12}}


def records(count: int = 24) -> list[Record]:
    """Texts in train, every second with a picture."""
    made = texts(count, split="train")
    for number, record in enumerate(made[::2]):
        record.members = {**record.members, "image": picture(number)}
    return made


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A store with the shards of the records in its pool; not to be changed."""
    folder = tmp_path_factory.mktemp("built")
    make_shards(folder / "a", write_corpus(folder / "corpus", records()), LocalStore.open(folder / "store"), **SETTINGS)
    return folder


@pytest.fixture
def store(tmp_path: Path, built: Path) -> LocalStore:
    """A copy of it, hard links and all."""
    subprocess.run(["cp", "-a", built / "store", tmp_path / "store"], check=True)
    return LocalStore(tmp_path / "store")


def test_the_units_with_the_samples_are_found_and_no_others(store: LocalStore) -> None:
    (unit,) = held(store, [KEY]).units
    assert KEY in read_unit(store, unit).table["key"].to_pylist()
    assert held(store, ["another"]).units == ()


def test_the_next_build_copies_every_other_member_and_makes_the_bytes_of_a_build_from_nothing(tmp_path: Path, store: LocalStore) -> None:
    take_away(store, held(store, [KEY]), [KEY])
    others = write_corpus(tmp_path / "others", [record for record in records() if record.key != KEY])
    summary = make_shards(tmp_path / "b", others, store, **SETTINGS)
    assert summary["members"]["encoded"] == 0
    make_shards(tmp_path / "c", others, LocalStore.open(tmp_path / "fresh"), **SETTINGS)
    assert hashes(tmp_path / "b") == hashes(tmp_path / "c")


def test_nothing_of_the_sample_is_left_in_tars_rows_and_index(store: LocalStore) -> None:
    (unit,) = held(store, [KEY]).units
    row = next(row for row in read_unit(store, unit).table.to_pylist() if row["key"] == KEY)
    members = {bytes.fromhex(row[f"{each}.member"])[:16] for each in ("text", "image") if row[f"{each}.member"]}
    take_away(store, held(store, [KEY]), [KEY])
    assert held(store, [KEY]).units == ()
    assert not store.exists(tar_name(unit))
    for name in store.list("pool"):
        data = store.read(name)
        assert b"Text number 3" not in data
        assert KEY.encode() not in data
        if name.startswith("pool/members/"):
            assert unit not in units_of_index(store.local_path(name))
            assert not members & set(pq.read_table(store.local_path(name))["member"].to_pylist())


def test_a_copy_has_the_members_where_its_rows_say(store: LocalStore) -> None:
    before = {name.rpartition("/")[2] for name in store.list("pool") if "members" not in name}
    take_away(store, held(store, [KEY]), [KEY])
    (tar,) = [name for name in store.list("pool") if name.rpartition("/")[2] not in before and name.endswith(".tar")]
    data = store.read(tar)
    rows = read_unit(store, Path(tar).stem).table.to_pylist()
    assert rows
    for row in rows:
        for each in ("text", "image"):
            if row[f"{each}.offset"] is not None:
                start = row[f"{each}.offset"]
                assert zlib.crc32(data[start : start + row[f"{each}.size"]]) == row[f"{each}.crc32"]


def test_a_damaged_member_is_not_copied_on_and_a_unit_that_cannot_be_read_goes(tmp_path: Path, store: LocalStore) -> None:
    (unit,) = held(store, [KEY]).units
    row = next(row for row in read_unit(store, unit).table.to_pylist() if row["key"] != KEY)
    path = store.local_path(tar_name(unit))
    path.chmod(0o644)
    data = bytearray(path.read_bytes())
    data[row["text.offset"]] ^= 1
    path.write_bytes(data)
    other = min({Path(name).stem for name in store.list("pool") if name.endswith(".tar")} - {unit})
    store.local_path(rows_name(other)).write_bytes(b"torn")
    (store.local_path("pool") / "ff").mkdir(exist_ok=True)
    store.local_path(tar_name("ff" * 32)).write_bytes(b"a build was killed here")
    found = held(store, [KEY])
    assert set(found.units) == {unit, other}
    assert found.unfinished == ("ff" * 32,)
    take_away(store, found, [KEY])
    assert held(store, [KEY]) == held(store, ["none"])
    assert not store.exists(tar_name("ff" * 32))
    others = write_corpus(tmp_path / "others", [record for record in records() if record.key != KEY])
    make_shards(tmp_path / "b", others, store, **SETTINGS)
    make_shards(tmp_path / "c", others, LocalStore.open(tmp_path / "fresh"), **SETTINGS)
    assert hashes(tmp_path / "b") == hashes(tmp_path / "c")


def test_a_damaged_index_costs_copies_and_nothing_else(tmp_path: Path, store: LocalStore) -> None:
    for name in store.list("pool/members"):
        store.local_path(name).write_bytes(b"torn")
    take_away(store, held(store, [KEY]), [KEY])
    assert store.list("pool/members") == []
    others = write_corpus(tmp_path / "others", [record for record in records() if record.key != KEY])
    assert make_shards(tmp_path / "b", others, store, **SETTINGS)["ledger"]["written"] == 23
