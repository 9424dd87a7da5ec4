"""The benchmark of teacher and warm start trains every way it compares, in small."""

from __future__ import annotations

from pathlib import Path

import pytest

from benchmarks import transfer
from tasks.shards.read import ShardSet


@pytest.mark.slow
def test_every_way_is_measured_on_test_pictures_that_both_sets_share(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(transfer, "EPOCHS", 2)
    monkeypatch.setattr(transfer, "SHORT", 1)
    half, whole = (transfer.sharded(tmp_path / name, share) for name, share in (("half", 0.5), ("whole", 1.0)))
    one, other = (ShardSet.open(each.path) for each in (half, whole))
    assert (one.num_samples("train"), other.num_samples("train")) == (584, 1168)
    assert one.num_samples("test") == other.num_samples("test") == 450
    assert list(one.labels("test")["digit"]) == list(other.labels("test")["digit"])
    found = transfer.accuracies(tmp_path / "0", half, whole, 0)
    assert found.keys() == {"teacher", "alone", "taught", "half", "cold", "cold_short", "warm", "warm_short"}
    assert all(0 < value < 1 for value in found.values())
