from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest

from tasks.evaluation.intervals import Bootstrap
from tasks.evaluation.said import HeadPredictions
from tasks.evaluation.scorer import Subject
from tasks.evaluation.scorers.retrieval import Retrieval
from tasks.evaluation.scoring import compared, score_kind


def scorer(*modalities: str) -> Retrieval:
    return Retrieval(Subject("match", {"kind": "none"}, SimpleNamespace(modalities=modalities or ("image", "text"))))


def made(size: int = 60) -> tuple[np.ndarray, np.ndarray]:
    """Two views of the same directions, one of them noisy; every third picture is in two samples, and the last has no text."""
    rng = np.random.default_rng(0)
    image = rng.normal(size=(size, 8))
    image[1::3] = image[::3]
    said = np.stack([image, image + 0.7 * rng.normal(size=image.shape)], axis=1)
    said /= np.linalg.norm(said, axis=2, keepdims=True)
    picture = np.where(np.arange(size) % 3 == 1, np.arange(size) - 1, np.arange(size))
    true = np.stack([picture, np.arange(size)], axis=1)
    said[-1, 1], true[-1, 1] = 0, -1
    return said.astype(np.float32), true


def test_the_sums_are_those_of_every_query_in_every_direction() -> None:
    said, true = made()
    given = compared(HeadPredictions({"image+text": said}, scorer=scorer(), scored_as="retrieval"), true, None)
    head = score_kind(given, np.arange(59), Bootstrap(resamples=200))
    directions = head["directions"]
    assert set(directions) == {"image→text", "text→image"}
    queries = {name: entry["queries"] for name, entry in directions.items()}
    assert queries == {"image→text": 39, "text→image": 59}, "a picture in two samples asks once"
    for place in (1, 5, 10):
        pooled = sum(queries[name] * entry["recall"][str(place)]["value"] for name, entry in directions.items()) / 98
        assert head[f"recall_at_{place}"] == pytest.approx(pooled)
    assert directions["text→image"]["recall"]["1"]["chance"] == pytest.approx(1 / 39)
    assert 0.1 < head["recall_at_1"] < head["recall_at_10"] < 1
    assert (head["samples"], list(head["by_modalities"])) == (59, ["image+text"])


def test_a_baseline_in_another_order_is_the_same_and_one_without_a_modality_cannot_be_compared() -> None:
    said, true = made()
    own = HeadPredictions({"image+text": said}, scorer=scorer(), scored_as="retrieval")
    turned = HeadPredictions({"image+text": said[:, ::-1]}, scorer=scorer("text", "image"), scored_as="retrieval")
    head = score_kind(compared(own, true, turned), np.arange(59), Bootstrap(resamples=100))
    assert head["difference"] == {"value": 0.0, "interval": [0.0, 0.0]}
    foreign = HeadPredictions({"audio+text": said}, scorer=scorer("audio", "text"), scored_as="retrieval")
    assert compared(own, true, foreign).rival is None
