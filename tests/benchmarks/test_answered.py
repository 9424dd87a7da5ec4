"""Benchmarks of many trainings: what a model is asked, and what is stated of its answers."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch

from benchmarks import objectives, questions, spoken_digits
from benchmarks.answered import accuracies, answers, right, shares
from benchmarks.trainings import trained
from tasks.shards.read import ShardSet
from tests.tasks.training.example import config, write_shards

HEAD = "shade"


def test_a_sample_is_right_when_the_head_tells_its_class_from_what_it_may_see(tmp_path: Path) -> None:
    shard_set, threads = ShardSet.open(write_shards(tmp_path).path), torch.get_num_threads()
    model = trained(config(epochs=1, select="last"), shard_set, tmp_path / "training", 1, {}, "train")
    torch.set_num_threads(threads)
    whole, picture, nothing = (right(model, HEAD, given) for given in (None, ("image",), ()))
    assert len(whole) == shard_set.num_samples("train")
    np.testing.assert_array_equal(whole, right(model, HEAD, model.model.modalities))
    assert (picture != whole).any()
    classes = shard_set.meta["labels"][HEAD]["values"]
    labels = [classes.index(value) if value is not None else -1 for value in shard_set.labels("train")[HEAD]]
    blind = {label for label, hit in zip(labels, nothing, strict=True) if hit}
    assert len(blind) == 1, "who sees nothing says the same of all"


def test_each_way_is_trained_from_each_seed_and_a_broken_off_measurement_goes_on(tmp_path: Path) -> None:
    shard_set, threads = ShardSet.open(write_shards(tmp_path).path), torch.get_num_threads()
    config_of = {
        "slow": config(epochs=1, select="last"),
        "fast": config(epochs=1, select="last", optimizer={"learning_rate": 0.1}),
    }.__getitem__
    found = answers(["slow", "fast"], [1, 2], config_of, shard_set, tmp_path / "kept", HEAD)
    (again,) = answers(["fast"], [2], config_of, shard_set, tmp_path / "kept", HEAD)["fast"]
    alone = right(trained(config_of("fast"), shard_set, tmp_path / "alone", 2, {}), HEAD)
    torch.set_num_threads(threads)
    np.testing.assert_array_equal(found["fast"][1], alone)
    np.testing.assert_array_equal(found["fast"][1], again)
    assert {path.name for path in (tmp_path / "kept").iterdir()} == {"slow-1", "slow-2", "fast-1", "fast-2"}
    assert accuracies(found) == {way: [round(each.mean(), 4) for each in every] for way, every in found.items()}


def test_shares_are_means_with_intervals_over_groups_and_differences_are_paired() -> None:
    rng = np.random.default_rng(0)
    one_N = np.repeat(rng.random(50) < 0.6, 4).astype(float)
    groups_N = np.repeat(np.arange(50), 4)
    found = shares({"one": one_N, "other": one_N - 0.1, "apart": np.full(200, 0.1)}, groups_N)
    assert found["one"]["median"] == one_N.mean()
    spread = np.sqrt(one_N.mean() * (1 - one_N.mean()) / 50)  # 50 pictures, not 200 samples
    assert 3.2 * spread < found["one"]["high"] - found["one"]["low"] < 4.6 * spread
    assert found["other"]["high"] == found["one"]["high"] - 0.1
    assert np.allclose([found["apart"]["low"], found["apart"]["high"]], 0.1)


def test_every_way_that_is_compared_is_the_recipe_with_another_head_or_objective() -> None:
    for way, (kind, modalities) in questions.WAYS.items():
        made = questions.config_of(way).model
        assert (made.heads[questions.HEAD].kind, set(made.encoders)) == (kind, set(modalities))
    for way, modalities in spoken_digits.WAYS.items():
        assert set(spoken_digits.config_of(way).model.encoders) == set(modalities)
    for kind in objectives.OBJECTIVES:
        made = objectives.config_of(kind).model
        assert [each.kind for each in made.objectives.values()] == ([] if kind == "none" else [kind])
