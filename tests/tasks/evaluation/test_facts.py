from __future__ import annotations

from tasks.evaluation.facts import data_facts
from tests.tasks.evaluation.artifacts import Prepared


def test_counts_are_those_of_the_shard_set(prepared: Prepared) -> None:
    facts = data_facts(prepared.shards.path)
    assert facts["samples"] == 118
    assert {split: numbers["samples"] for split, numbers in facts["splits"].items()} == {"train": 60, "val": 12, "test": 46}
    assert facts["splits"]["test"]["groups"] == 16
    assert facts["ledger"]["in"] == facts["ledger"]["written"] == 118
    assert facts["left_out"] == {}


def test_modalities_are_counted_where_they_are_present(prepared: Prepared) -> None:
    modalities = data_facts(prepared.shards.path)["modalities"]
    assert modalities["image"]["samples"] == 118
    assert modalities["audio"]["samples"] == sum(modalities["audio"]["splits"].values()) < 118
    assert modalities["text"]["extensions"] == {"txt": 118}
    assert all(numbers["bytes"] > 0 for numbers in modalities.values())


def test_labels_are_counted_by_split_and_missing_ones_are_not(prepared: Prepared) -> None:
    facts = data_facts(prepared.shards.path)
    assert sum(facts["classes"]["digit"]["test"].values()) == 42
    height = facts["numbers"]["height"]["test"]
    assert height["samples"] == 46
    assert height["min"] == 0
    assert height["max"] == 9.5
