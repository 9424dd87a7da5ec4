"""Verification names what is wrong, and nothing else."""

from __future__ import annotations

import hashlib
import io
import json
import tarfile
from collections.abc import Callable
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from pipeline.store import LocalStore
from tasks.errors import CorruptArtifact
from tasks.shards.tar_check import NUM_SHOWN
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
    table = pq.read_table(own / "index.parquet")
    moved = pa.array([offset + 512 for offset in table["text.offset"].to_pylist()], pa.int64())
    pq.write_table(table.set_column(table.column_names.index("text.offset"), "text.offset", moved), own / "index.parquet")
    files = json.loads((own / "shards.json").read_text())["files"]
    edit(own / "shards.json", "files", files | {"index.parquet": hashlib.sha256((own / "index.parquet").read_bytes()).hexdigest()})
    assert any("the index is wrong about" in problem for problem in verify(own))


# ---- tars that are whole but not what was written ----------------------------------------------------------------------

Members = list[tuple[str, bytes]]


def rewrite(path: Path, change: Callable[[Members], Members]) -> None:
    """Write a tar anew with other members, and its new hash into shards.json, so that only the index can tell."""
    with tarfile.open(path) as tar:
        members = [(entry.name, tar.extractfile(entry).read()) for entry in tar]  # type: ignore[union-attr]
    with tarfile.open(path, "w", format=tarfile.USTAR_FORMAT) as tar:
        for name, data in change(members):
            entry = tarfile.TarInfo(name)
            entry.size = len(data)
            tar.addfile(entry, io.BytesIO(data))
    meta = path.parent.parent / "shards.json"
    shards = json.loads(meta.read_text())["shards"]
    for shard in shards:
        if shard["name"] == f"shards/{path.name}":
            shard["sha256"] = hashlib.sha256(path.read_bytes()).hexdigest()
    edit(meta, "shards", shards)


def other(data: bytes) -> bytes:
    return bytes([data[0] ^ 1]) + data[1:]


CHANGES: dict[str, tuple[Callable[[Members], Members], str]] = {
    "one missing": (lambda members: members[:3] + members[4:], "1 member is missing, such as {3}"),
    "three missing": (lambda members: members[3:], "3 members are missing, such as {0}"),
    "an extra one": (lambda members: [*members, ("x.txt", b"more")], "1 member is not in the index, such as x.txt"),
    "an extra label": (lambda members: [*members, ("{key}.json", b"{}")], "1 member is not in the index, such as {key}.json"),
    "two in another order": (
        lambda members: [members[1], members[0], *members[2:]],
        "its members are in another order than in the index: {1} stands where {0} belongs",
    ),
    "one twice": (lambda members: [*members, members[0]], "the member {0} is there 2 times"),
    "one with other bytes": (
        lambda members: [*members[:2], (members[2][0], other(members[2][1])), *members[3:]],
        "the {modality2} of {key2!r} has other bytes than were written",
    ),
}


@pytest.mark.parametrize(("change", "message"), CHANGES.values(), ids=CHANGES.keys())
def test_members_that_are_not_what_the_index_says_are_named_and_nothing_else(
    own: Path, change: Callable[[Members], Members], message: str
) -> None:
    path = own / "shards" / "train-000000.tar"
    with tarfile.open(path) as tar:
        names = tar.getnames()
    key = names[0].partition(".")[0]
    facts = {"key": key, "key2": names[2].partition(".")[0], "modality2": {"txt": "text", "png": "image"}[names[2].rpartition(".")[2]]}
    rewrite(path, lambda members: [(name.replace("{key}", key), data) for name, data in change(members)])
    assert verify(own) == [f"shards/train-000000.tar: {message.format(*names, **facts)}"]


def test_many_members_of_other_bytes_are_counted_after_the_first(own: Path) -> None:
    path = own / "shards" / "train-000000.tar"
    rewrite(path, lambda members: [(name, other(data)) for name, data in members])
    with tarfile.open(path) as tar:
        num_members = len(tar.getnames())
    problems = verify(own)
    assert len(problems) == NUM_SHOWN + 1
    assert problems[-1] == f"shards/train-000000.tar: {num_members - NUM_SHOWN} more members have other bytes than were written"


def test_a_damaged_member_is_named_beside_the_hash_of_its_tar(own: Path) -> None:
    path = own / "shards" / "train-000000.tar"
    row = next(row for row in pq.read_table(own / "index.parquet").to_pylist() if row["shard"] == 0)
    flip(path, row["text.offset"])
    first, second = verify(own)
    assert first.startswith("shards/train-000000.tar: its SHA-256 is")
    assert second == f"shards/train-000000.tar: the text of {row['key']!r} has other bytes than were written"


def test_labels_inside_the_tars_belong_there(tmp_path: Path) -> None:
    corpus = write_corpus(tmp_path / "corpus", texts(20, split="train"))
    make_shards(tmp_path / "out", corpus, LocalStore.open(tmp_path / "store"), embed_labels=True)
    assert verify(tmp_path / "out") == []


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
