from __future__ import annotations

from tasks.shards.amounts import amount


def test_a_split_has_its_share_of_records_and_bytes() -> None:
    shards = {"samples": 8, "bytes": 800, "splits": {"train": 6, "test": 2}}
    assert amount(shards, ["test"]) == {"records": 2, "bytes": 200}
    assert amount(shards, ["train", "val"]) == {"records": 6, "bytes": 600}
    assert amount(shards, ["val"]) == {"records": 0, "bytes": 0}


def test_what_is_not_known_is_not_said() -> None:
    assert amount({}, ["test"]) == {}
    assert amount({"records": 8, "bytes": 800}, ["test"]) == {}
    assert amount({"splits": {"test": 2}}, ["test"]) == {"records": 2}
