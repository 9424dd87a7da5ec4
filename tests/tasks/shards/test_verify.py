"""Verification names what is wrong, and nothing else."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from pipeline.store import LocalStore
from tasks.errors import CorruptArtifact
from tasks.shards.verify import inspect, repair, verify
from tests.tasks.shards.corpora import make_shards, texts, write_corpus


def flip(path: Path, at: int = 1000) -> None:
    data = bytearray(path.read_bytes())
    data[at] ^= 1
    path.write_bytes(data)


def edit(path: Path, name: str, value: object) -> None:
    meta = json.loads(path.read_text())
    meta[name] = value
    path.write_text(json.dumps(meta))


DAMAGES: dict[str, tuple[Callable[[Path], object], str]] = {
    "one bit of a shard": (lambda path: flip(path / "shards" / "train-000000.tar"), "shards/train-000000.tar: its SHA-256 is"),
    "a shard cut short": (lambda path: (path / "shards" / "val-000000.tar").write_bytes(b""), "shards/val-000000.tar: its SHA-256 is"),
    "a shard gone": (lambda path: (path / "shards" / "val-000000.tar").unlink(), "shards/val-000000.tar: is missing"),
    "one bit of the index": (lambda path: flip(path / "index.parquet"), "index.parquet: its SHA-256 is"),
    "labels gone": (lambda path: (path / "labels.parquet").unlink(), "labels.parquet: is missing"),
    "a fit changed": (lambda path: (path / "fits" / "text.json").write_text("{}"), "fits/text.json: its SHA-256 is"),
    "a foreign file": (lambda path: (path / "shards" / "more.tar").touch(), "shards/more.tar: does not belong"),
    "a ledger that does not add up": (
        lambda path: edit(path / "shards.json", "ledger", {"in": 110, "written": 109}),
        "ledger.parquet: counts are",
    ),
    "no artifact": (lambda path: (path / "shards.json").unlink(), "not a whole shards artifact"),
}


def test_a_whole_artifact_has_nothing_wrong(made: Path) -> None:
    assert verify(made) == []
    assert verify(made) == []


@pytest.mark.parametrize(("damage", "message"), DAMAGES.values(), ids=DAMAGES.keys())
def test_each_damage_is_named(own: Path, damage: Callable[[Path], object], message: str) -> None:
    damage(own)
    assert any(message in problem for problem in verify(own)), verify(own)


def test_an_index_that_points_elsewhere_is_noticed_even_when_its_hash_fits(own: Path) -> None:
    import hashlib

    import pyarrow as pa
    import pyarrow.parquet as pq

    table = pq.read_table(own / "index.parquet")
    moved = pa.array([offset + 512 for offset in table["text.offset"].to_pylist()], pa.int64())
    pq.write_table(table.set_column(table.column_names.index("text.offset"), "text.offset", moved), own / "index.parquet")
    files = json.loads((own / "shards.json").read_text())["files"]
    edit(own / "shards.json", "files", files | {"index.parquet": hashlib.sha256((own / "index.parquet").read_bytes()).hexdigest()})
    assert any("the index is wrong about" in problem for problem in verify(own))


def test_a_damaged_shard_can_be_taken_out_of_the_pool_and_is_then_built_anew(tmp_path: Path) -> None:
    store = LocalStore.open(tmp_path / "store")
    corpus = write_corpus(tmp_path / "corpus", texts(20, split="train"))
    make_shards(tmp_path / "a", corpus, store)
    (tar,) = (tmp_path / "a" / "shards").iterdir()
    whole = tar.read_bytes()
    tar.chmod(0o644)
    flip(tar)
    assert repair(store, tmp_path / "a") == ["shards/train-000000.tar"]
    assert make_shards(tmp_path / "b", corpus, store)["units"] == {"built": 1, "reused": 0}
    assert (tmp_path / "b" / "shards" / tar.name).read_bytes() == whole
    assert repair(store, tmp_path / "b") == []


def test_a_shard_cut_short_in_the_pool_is_not_linked_again(tmp_path: Path) -> None:
    store = LocalStore.open(tmp_path / "store")
    corpus = write_corpus(tmp_path / "corpus", texts(5, split="train"))
    make_shards(tmp_path / "a", corpus, store)
    (tar,) = (tmp_path / "a" / "shards").iterdir()
    tar.chmod(0o644)
    tar.write_bytes(tar.read_bytes()[:1024])
    with pytest.raises(CorruptArtifact, match="has 1024 bytes, not"):
        make_shards(tmp_path / "b", corpus, store)


def test_inspection_lists_shards_and_ledger(made: Path, tmp_path: Path) -> None:
    facts = inspect(made)
    assert {"name", "sha256", "samples", "bytes"} <= facts["shards"][0].keys()
    assert sum(shard["samples"] for shard in facts["shards"]) == 110
    assert facts["ledger"] == {"in": 110, "written": 110, "filtered": 0, "duplicate": 0, "quarantined": 0, "forgotten": 0}
    assert facts["quarantined"] == {}
    with pytest.raises(CorruptArtifact):
        inspect(tmp_path)
