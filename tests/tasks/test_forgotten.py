"""Marks: written once, without the key, and felt by those corpora alone that held the sample."""

from __future__ import annotations

import json
from pathlib import Path

from pipeline.store import LocalStore
from tasks import forgotten


def test_a_mark_is_written_once_and_does_not_hold_the_key(tmp_path: Path) -> None:
    store = LocalStore.open(tmp_path)
    sample = forgotten.sample_of("jane/doe")
    assert forgotten.marks(store) == frozenset()
    assert forgotten.mark(store, sample, "she asked")
    assert not forgotten.mark(store, sample, "again")
    content = store.read(f"forgotten/{sample}.json")
    assert json.loads(content)["reason"] == "she asked"
    assert b"jane" not in content
    assert forgotten.marks(store) == {sample}


def test_a_corpus_is_succeeded_by_one_without_every_sample_that_was_forgotten_of_it(tmp_path: Path) -> None:
    store = LocalStore.open(tmp_path)
    one, two = forgotten.sample_of("one"), forgotten.sample_of("two")
    assert forgotten.successor(store, "c" * 64, {"task": "ingest"}) is None
    forgotten.supersede(store, "c" * 64, one)
    assert forgotten.successor(store, "c" * 64, {"task": "ingest"}) == {"task": "ingest", "forgotten": [one]}
    assert forgotten.successor(store, "d" * 64, {"task": "ingest"}) is None, "another corpus stands as it is"
    forgotten.supersede(store, "d" * 64, two)
    assert forgotten.successor(store, "d" * 64, {"forgotten": [one]}) == {"forgotten": sorted([one, two])}
    assert forgotten.successor(store, "d" * 64, {"forgotten": [two]}) is None, "it says so already"


def test_reading_again_is_asked_once_for_each_corpus_and_counted(tmp_path: Path) -> None:
    store = LocalStore.open(tmp_path)
    assert forgotten.reread(store, "c" * 64)
    assert not forgotten.reread(store, "c" * 64)
    forgotten.supersede(store, "c" * 64, forgotten.sample_of("one"))
    changed = forgotten.successor(store, "c" * 64, {})
    assert changed == {"reread": 1, "forgotten": [forgotten.sample_of("one")]}
    forgotten.reread(store, "d" * 64)
    assert forgotten.successor(store, "d" * 64, changed) == changed | {"reread": 2}


def test_models_are_remembered_by_what_they_saw(tmp_path: Path) -> None:
    store = LocalStore.open(tmp_path)
    one, two = forgotten.sample_of("one"), forgotten.sample_of("two")
    forgotten.remember_model(store, "m" * 64, one, "train")
    forgotten.remember_model(store, "n" * 64, two, "val")
    assert forgotten.models_that_saw(store, frozenset([one])) == {"m" * 64: {one: "train"}}
    assert forgotten.marks(store) == frozenset(), "a model is no mark"
