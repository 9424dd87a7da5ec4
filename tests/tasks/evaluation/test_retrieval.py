"""Ranks, recalls and chance, against a loop over every order of the candidates."""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from tasks.evaluation.intervals import Bootstrap
from tasks.evaluation.retrieval import PLACES, Direction, directions, hit_chance, mean_reciprocal, median_rank, recalls, score_retrieval

MODALITIES = ("audio", "image", "text")


def made(count: int, seed: int = 0, size: int = 5) -> tuple[NDArray[Any], NDArray[np.bool_]]:
    """Embeddings of unit length with ties among them, and gaps."""
    rng = np.random.default_rng(seed)
    embeddings_NME = rng.integers(1, 3, (count, 3, size)).astype(np.float32)
    embeddings_NME /= np.linalg.norm(embeddings_NME, axis=-1, keepdims=True)
    present_NM = rng.random((count, 3)) < 0.8
    return embeddings_NME * present_NM[..., None], present_NM


def looped(asked: NDArray[Any], offered: list[NDArray[Any]], true: set[int]) -> tuple[float, list[float]]:
    """The mean rank of the first true partner, and the share of hits, over all orders of the candidates that keep better ones ahead."""
    cosines = [round(float(asked.astype(np.float64) @ each.astype(np.float64)), 6) for each in offered]
    ranks = []
    for order in itertools.permutations(range(len(offered))):
        ordered = sorted(order, key=lambda at: -cosines[at])
        ranks.append(1 + min(place for place, at in enumerate(ordered) if at in true))
    return float(np.mean(ranks)), [float(np.mean([rank <= place for rank in ranks])) for place in PLACES]


def test_ranks_and_hits_are_those_of_a_loop_over_every_order_with_gaps_and_ties_and_equal_things() -> None:
    count = 9
    embeddings_NME, present_NM = made(count, seed=3, size=2)
    things = {"audio": np.arange(count), "image": np.arange(count) // 3, "text": np.array([0, 1, 2, 0, 4, 5, 6, 7, 7])}
    for place, name in enumerate(MODALITIES):
        for thing in np.unique(things[name]):
            same = np.flatnonzero((things[name] == thing) & present_NM[:, place])
            embeddings_NME[same, place] = embeddings_NME[same[:1], place]
    found = {direction.name: direction for direction in directions(embeddings_NME, MODALITIES, present_NM, things)}
    assert list(found) == ["audio→image", "image→audio", "audio→text", "text→audio", "image→text", "text→image"]
    tied = 0
    for direction in found.values():
        query, candidate = MODALITIES.index(direction.query), MODALITIES.index(direction.candidate)
        both = present_NM[:, query] & present_NM[:, candidate]
        offered = sorted({int(things[direction.candidate][row]) for row in np.flatnonzero(present_NM[:, candidate])})
        vectors = [
            embeddings_NME[np.flatnonzero((things[direction.candidate] == thing) & present_NM[:, candidate])[0], candidate]
            for thing in offered
        ]
        assert direction.num_candidates == len(offered)
        for row in range(count):
            if not both[row]:
                assert direction.weight_N[row] == direction.rank_N[row] == 0
                continue
            same = both & (things[direction.query] == things[direction.query][row])
            true = {offered.index(int(things[direction.candidate][other])) for other in np.flatnonzero(same)}
            rank, hits = looped(embeddings_NME[row, query], vectors, true)
            assert direction.rank_N[row] == pytest.approx(rank)
            np.testing.assert_allclose(direction.hit_NK[row], hits)
            np.testing.assert_allclose(direction.weight_N[row], 1 / same.sum())
            tied += any(0 < hit < 1 for hit in hits)
        assert direction.num_queries == len(set(things[direction.query][both].tolist()))
    assert tied > 5


def test_many_samples_are_ranked_as_one_by_one(monkeypatch: pytest.MonkeyPatch) -> None:
    embeddings_NME, present_NM = made(300, seed=1, size=6)
    whole = directions(embeddings_NME, MODALITIES, present_NM)
    monkeypatch.setattr("tasks.evaluation.retrieval._CELLS_AT_ONCE", 1000)
    for one, other in zip(whole, directions(embeddings_NME, MODALITIES, present_NM), strict=True):
        np.testing.assert_array_equal(one.rank_N, other.rank_N)
    image_text = whole[4]
    rows = np.flatnonzero(present_NM[:, 1] & present_NM[:, 2])
    cosine = np.round(embeddings_NME[:, 1].astype(float) @ embeddings_NME[present_NM[:, 2], 2].astype(float).T, 6)
    own = np.cumsum(present_NM[:, 2]) - 1
    for row in rows:
        ahead, same = (cosine[row] > cosine[row, own[row]]).sum(), (cosine[row] == cosine[row, own[row]]).sum()
        assert image_text.rank_N[row] == ahead + (same + 1) / 2
        assert image_text.reciprocal_N[row] == pytest.approx((1 / (ahead + 1 + np.arange(same))).mean())


def test_embeddings_that_are_all_the_same_score_exactly_what_chance_does() -> None:
    embeddings_NME = np.full((50, 2, 4), 0.5, dtype=np.float32)
    things = {"image": np.arange(50) // 5, "text": np.arange(50)}
    for direction in directions(embeddings_NME, ("image", "text"), np.ones((50, 2), dtype=bool), things):
        np.testing.assert_allclose(direction.hit_NK, direction.chance_NK)
    assert direction.name == "text→image"
    np.testing.assert_allclose(direction.chance_NK[0], [0.1, 0.5, 1.0])
    assert direction.rank_N[0] == 5.5
    assert direction.reciprocal_N[0] == pytest.approx((1 / np.arange(1, 11)).mean()), "which is more than 1 / 5.5"


def test_embeddings_that_agree_find_everything_at_once() -> None:
    vectors_NE = np.linalg.qr(np.random.default_rng(0).standard_normal((20, 20)))[0].astype(np.float32)
    for direction in directions(np.stack([vectors_NE, vectors_NE], axis=1), ("image", "text"), np.ones((20, 2), dtype=bool)):
        assert (direction.rank_N == 1).all()
        assert (direction.hit_NK == 1).all()


def test_a_chance_of_a_hit_is_that_of_drawing_without_putting_back() -> None:
    for true, others, places in ((1, 6, 3), (3, 4, 2), (2, 0, 1), (2, 5, 9), (1, 4, 0), (1, 4, -2)):
        total = list(itertools.permutations(range(true + others)))
        expected = np.mean([any(at < true for at in order[: max(0, places)]) for order in total])
        assert hit_chance(np.array(true), np.array(others), np.array(places)) == pytest.approx(expected)
        first = [1 / (3 + min(order.index(at) for at in range(true))) for order in total]
        assert mean_reciprocal(np.array([2]), np.array([true]), np.array([true + others])) == pytest.approx(np.mean(first))


def test_a_report_says_recall_beside_chance_with_intervals_over_groups() -> None:
    rng = np.random.default_rng(5)
    thing_NE = rng.standard_normal((200, 8))
    pair_NME = thing_NE[:, None] + 0.8 * rng.standard_normal((200, 2, 8))
    pair_NME /= np.linalg.norm(pair_NME, axis=-1, keepdims=True)
    found = directions(pair_NME, ("image", "text"), np.ones((200, 2), dtype=bool))
    groups_N = np.arange(200) // 2
    scores = score_retrieval(found, groups_N, Bootstrap(resamples=500))
    assert list(scores) == ["image→text", "text→image"]
    for direction in found:
        score = scores[direction.name]
        assert (score["queries"], score["candidates"]) == (200, 200)
        for number, place in enumerate(PLACES):
            recall = score["recall"][str(place)]
            assert recall["value"] == pytest.approx((direction.rank_N <= place).mean())
            assert recall["interval"][0] < recall["value"] < recall["interval"][1]
            assert recall["chance"] == pytest.approx(place / 200)
            assert recalls(np.array([column.sum() for column in direction.columns()]))[number] == pytest.approx(recall["value"])
        assert score["reciprocal_rank"]["value"] == pytest.approx((1 / direction.rank_N).mean())
        assert score["median_rank"] == np.sort(direction.rank_N)[99]


def test_the_median_counts_every_query_once() -> None:
    some = np.array([4.0, 1.0, 0.0, 9.0, 1.0, 1.0])
    direction = Direction("image", "text", np.array([1.0, 1 / 3, 0, 1.0, 1 / 3, 1 / 3]), some, np.zeros((6, 3)), some, np.zeros((6, 3)), 9)
    assert direction.num_queries == 3
    assert median_rank(direction) == 4.0


def test_pairs_that_no_sample_has_are_left_out() -> None:
    embeddings_NME, _ = made(6)
    present_NM = np.array([[True, True, False], [True, False, False], [False, False, True]] * 2)
    assert [direction.name for direction in directions(embeddings_NME, MODALITIES, present_NM)] == ["audio→image", "image→audio"]
    assert directions(embeddings_NME[:0], MODALITIES, present_NM[:0]) == []
    assert score_retrieval([], np.array([]), Bootstrap()) == {}
