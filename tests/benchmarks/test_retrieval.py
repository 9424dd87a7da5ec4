"""The benchmark trains as the train step does, and its numbers are means over seeds."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
import yaml

from benchmarks.retrieval import HEAD, METHODS, RECIPE, Asked, asked_of, config_of, document, searched
from benchmarks.trainings import trained
from tasks.evaluation.retrieval import directions
from tasks.shards.read import ShardSet
from tasks.training.config import TrainConfig
from tasks.training.loop import train_model
from tasks.training.ranks import Ranks
from tasks.training.run import Job
from tests.tasks.training.example import config, digest, final_weights, write_shards


def small() -> TrainConfig:
    heads = {HEAD: {"kind": "retrieval", "between": ["audio", "image", "text"], "dim": 4}}
    return config(model={"heads": heads})


def test_every_method_is_the_recipe_with_another_head() -> None:
    step = yaml.safe_load(RECIPE.read_text(encoding="utf-8"))["steps"]["model"]
    usual = config_of(step, {}).model_dump()
    for method, changes in METHODS.items():
        changed = config_of(step, changes).model_dump()
        assert changed["model"]["heads"][HEAD]["loss"]["kind"] == method
        changed["model"]["heads"] = usual["model"]["heads"]
        assert changed == usual


def test_a_method_is_trained_as_the_train_step_trains_and_asked_at_its_best_epoch(tmp_path: Path) -> None:
    shards = write_shards(tmp_path)
    (tmp_path / "usual").mkdir()
    known: dict[tuple[str, str], dict[bytes, object]] = {}
    threads = torch.get_num_threads()
    train_model(Job(small(), shards.path, tmp_path / "usual", seed=1), Ranks())
    asked = asked_of(trained(small(), ShardSet.open(shards.path), tmp_path / "remembered", 1, known))
    torch.set_num_threads(threads)
    assert digest(final_weights(tmp_path / "remembered")) == digest(final_weights(tmp_path / "usual"))
    assert {modality: len(read) for (modality, _), read in known.items()}["audio"] == 12  # as many as differ
    np.testing.assert_allclose(np.linalg.norm(asked.embeddings_NME, axis=-1), asked.present_NM, atol=1e-5)
    again = asked_of(trained(small(), ShardSet.open(shards.path), tmp_path / "remembered", 1, known))
    np.testing.assert_array_equal(again.embeddings_NME, asked.embeddings_NME)


def test_captions_and_voices_are_also_searched_among_those_of_their_language() -> None:
    rng = np.random.default_rng(0)
    embeddings_NME = rng.standard_normal((30, 3, 8))
    embeddings_NME /= np.linalg.norm(embeddings_NME, axis=-1, keepdims=True)
    language_N = np.array(["fr", "da", "fr"] * 10, dtype=object)
    contents = {"audio": np.arange(30), "image": np.arange(30) // 3, "text": np.arange(30)}
    found = searched(Asked(embeddings_NME, np.ones((30, 3), dtype=bool)), ("audio", "image", "text"), contents, language_N)
    assert [direction.name for direction in found[6:]] == ["audio→text of its language", "text→audio of its language"]
    for row in range(30):
        rows = np.flatnonzero(language_N == language_N[row])
        cosine = embeddings_NME[row, 2] @ embeddings_NME[rows, 0].T
        assert found[7].rank_N[row] == 1 + (cosine > cosine[rows == row]).sum()
        assert found[7].chance_NK[row, 0] == pytest.approx(1 / len(rows))
    assert found[7].num_queries == 30


def test_numbers_are_means_over_seeds_and_differences_are_paired() -> None:
    rng = np.random.default_rng(0)
    shared_NE = rng.standard_normal((80, 6))

    def asked(noise: float):  # type: ignore[no-untyped-def]
        pair_NME = shared_NE[:, None] + noise * rng.standard_normal((80, 2, 6))
        pair_NME /= np.linalg.norm(pair_NME, axis=-1, keepdims=True)
        return directions(pair_NME, ("image", "text"), np.ones((80, 2), dtype=bool))

    found = {"contrastive": [asked(0.5), asked(0.6)], "mmd": [asked(5.0), asked(5.0)]}
    made = document(found, np.arange(80) // 2)
    ratios = made["ratios"]
    for method, seeds in found.items():
        each = [float((seed[0].rank_N <= 5).mean()) for seed in seeds]
        assert ratios[f"{method}.image→text.R@5"]["median"] == pytest.approx(np.mean(each), abs=1e-4)
        assert [hits[1] for hits in made["seeds"][method]["image→text"]["recall"]] == pytest.approx(each, abs=1e-4)
        low, high = (ratios[f"{method}.image→text.R@5"][end] for end in ("low", "high"))
        assert low < np.mean(each) < high
    assert ratios["chance.image→text.R@5"]["median"] == pytest.approx(5 / 80, abs=1e-4)
    difference = ratios["contrastive_minus_mmd.text→image.R@10"]
    one, other = (ratios[f"{method}.text→image.R@10"]["median"] for method in found)
    assert difference["median"] == pytest.approx(one - other, abs=2e-4)
    assert difference["low"] > 0
