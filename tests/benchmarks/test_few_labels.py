"""The benchmark of the policies for few labels trains every way it compares, in small."""

from __future__ import annotations

from pathlib import Path

import pytest

from benchmarks import few_labels
from tasks.shards.read import ShardSet
from tests.conftest import ROOT

FSDD = ROOT.parent / "shared" / "data" / "fsdd.zip"


@pytest.mark.slow
def test_a_tenth_of_the_labels_is_kept_and_every_way_is_measured(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(few_labels, "PICTURE_EPOCHS", 1)
    found = few_labels.handwriting(1)
    assert found.keys() == {"labels_weak", "labels_strong", "pseudo_labels", "all_labels", "pseudo_labels_minus_labels"}
    assert all(len(values) == 1 for values in found.values())
    assert found["pseudo_labels_minus_labels"][0] == found["pseudo_labels"][0] - max(found["labels_weak"][0], found["labels_strong"][0])


@pytest.mark.slow
@pytest.mark.skipif(not FSDD.is_file(), reason="needs the Free Spoken Digit Dataset as ../shared/data/fsdd.zip beside the repository")
def test_the_speaker_who_is_asked_about_was_never_heard(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(few_labels, "RECORDING_EPOCHS", 1)
    monkeypatch.setattr(few_labels, "TAKES", 6)
    assert few_labels.names(FSDD) == ["george", "jackson", "lucas", "nicolas", "theo", "yweweler"]
    shards = few_labels.recordings(FSDD, tmp_path, "theo")
    model, batch = few_labels.trained(few_labels.of_recordings({"batch_size": 50}), shards, tmp_path / "work", 0)
    heard = set(ShardSet.open(shards.path).labels("train")["speaker"])
    assert heard == {"george", "jackson", "lucas", "nicolas", "yweweler"}
    assert len(batch.keys) == 60
    before = few_labels.accuracy(model, batch)
    assert few_labels.adapted(model, batch, 5, 50, 0) > before
