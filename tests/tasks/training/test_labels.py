"""What a training is told of labels with parts before it starts: counts of classes, samples whose text is bad, sets that go together."""

from __future__ import annotations

from collections import Counter
from typing import Any

import numpy as np
import pytest

from tasks.contracts import Artifact
from tasks.errors import LabelError
from tasks.shards.joined import Joined
from tasks.shards.read import ShardSet
from tasks.shards.shares import Share
from tasks.training.agreement import check_agreement
from tasks.training.checks import probe_model
from tasks.training.config import TrainConfig
from tasks.training.sources import Sources
from tests.tasks.training.example import config, records

EVENTS = {"kind": "localisation", "of": "audio"}


def with_heads(**heads: Any) -> TrainConfig:
    return config(model={"heads": heads})


def test_balanced_classes_are_counted_in_the_training_split(shards: Artifact) -> None:
    seen = {"kind": "multi_label", "positive_weights": "balanced"}
    chosen = with_heads(seen=seen, shade={"kind": "classification", "class_weights": "balanced"}, events=EVENTS)
    _, labels, _ = probe_model(chosen, ShardSet.open(shards.path), Sources(), [].append)
    train = [record.labels for record in records() if record.split == "train"]
    shades = Counter(each["shade"] for each in train if each["shade"] is not None)
    assert labels["shade"]["counts"] == dict(shades)
    sets = [str(each["seen"]).split(";") for each in train if each["seen"] is not None]
    counts = Counter(name for names in sets for name in names)
    how = {"kind": "set", "separator": ";", "classes": sorted(counts)}
    assert labels["seen"] == {**how, "counts": dict(counts), "samples": len(sets)}
    assert labels["events"] == {"kind": "spans", "token_s": None, "classes": ["high", "low"]}


def test_of_labels_that_nothing_is_counted_of_the_model_keeps_what_it_kept(shards: Artifact) -> None:
    _, labels, _ = probe_model(config(), ShardSet.open(shards.path), Sources(), [].append)
    assert labels["shade"] == ShardSet.open(shards.path).meta["labels"]["shade"]


def test_a_number_that_training_never_has_is_refused_and_one_class_alone_is_noted(
    shards: Artifact, monkeypatch: pytest.MonkeyPatch
) -> None:
    shard_set, notes = ShardSet.open(shards.path), list[str]()
    stored = shard_set.labels
    empty = np.full(shard_set.num_samples("train"), np.nan)
    monkeypatch.setattr(shard_set, "labels", lambda of: {**stored(of), "height": empty} if of == "train" else stored(of))
    expected = "head 'tall': no sample of the split 'train' carries this label; leave the head out, or split the corpus otherwise"
    with pytest.raises(LabelError, match=expected):
        probe_model(with_heads(tall={"kind": "regression", "label": "height"}), shard_set, Sources(), notes.append)
    shade = {**shard_set.meta["labels"]["shade"], "classes": ["dark"]}
    monkeypatch.setitem(shard_set.meta["labels"], "shade", shade)
    probe_model(with_heads(shade="classification"), shard_set, Sources(), notes.append)
    assert notes == ["head 'shade': all labels of the split 'train' are 'dark', so that there is nothing to tell apart"]


def test_epochs_are_not_chosen_by_what_validation_cannot_measure(shards: Artifact, monkeypatch: pytest.MonkeyPatch) -> None:
    shard_set, notes = ShardSet.open(shards.path), list[str]()
    stored = shard_set.labels
    empty = np.full(shard_set.num_samples("val"), None)
    monkeypatch.setattr(shard_set, "labels", lambda of: {**stored(of), "shade": empty} if of == "val" else stored(of))
    with pytest.raises(
        LabelError,
        match="no sample of the split 'val' carries the label of 'shade', and `select: best` chooses by nothing else; label some",
    ):
        probe_model(with_heads(shade="classification"), shard_set, Sources(), notes.append)
    probe_model(config(model={"heads": {"shade": "classification"}}, select="last"), shard_set, Sources(), notes.append)
    probe_model(with_heads(shade="classification", height="regression"), shard_set, Sources(), notes.append)
    told = "no sample of the split 'val' carries the label of 'shade': its validation says 0 and chooses no epoch"
    assert notes == [told, told]


@pytest.mark.parametrize("split", ["train", "val"])
def test_a_bad_text_is_told_with_its_sample_before_the_training(shards: Artifact, monkeypatch: pytest.MonkeyPatch, split: str) -> None:
    shard_set = ShardSet.open(shards.path)
    stored, events = shard_set.labels, shard_set.labels(split)["events"].copy()
    events[3] = "0.1-0.2"
    monkeypatch.setattr(shard_set, "labels", lambda of: {**stored(of), "events": events} if of == split else stored(of))
    with pytest.raises(LabelError) as caught:
        probe_model(with_heads(events=EVENTS), shard_set, Sources(), [].append)
    assert str(caught.value) == (
        f"head 'events': the label 'events' of some samples cannot be used: sample {shard_set.keys(split)[3]!r}: '0.1-0.2' is no span; "
        "write start, end and class, with `;` between spans, as in `1.5-3 speech; 4-4.5 bell`. Mend them in the corpus and ingest it again"
    )


def test_sets_of_a_mixture_need_the_same_classes_and_not_the_same_texts(shards: Artifact) -> None:
    one, other = ShardSet.open(shards.path), ShardSet.open(shards.path)
    other.meta["labels"]["seen"]["classes"] = ["odd; light ;dark"]  # type: ignore[index]
    joined = Joined([one, other], (Share(weight=1.0), Share(weight=1.0)))
    notes: list[str] = []
    check_agreement(with_heads(seen="multi_label"), joined, ["one", "two"], notes.append)
    assert notes == []
    with pytest.raises(LabelError, match="label 'seen': the shards of 'two' have classes that those of 'one' lack: odd; light ;dark"):
        check_agreement(with_heads(seen="classification"), joined, ["one", "two"], notes.append)
