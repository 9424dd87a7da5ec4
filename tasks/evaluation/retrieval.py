"""How well one modality of a sample finds the other among all samples of a split: ranks, R@1/5/10, and their intervals.

In: embeddings of a split, and what each sample's modalities are. Out: for each direction, `image→text` and `text→image` of every pair, the
rank of each query's true partner; and the numbers of a report. Nothing here knows models or files.

*Equal things are one thing.* A picture that stands in eleven samples with captions in eleven languages is one query and one candidate, and
so is a caption that two pictures share. What a sample pairs with what is true, so a query may have several true partners, and its rank is
that of the first of them. Every query counts once, however many samples have it.

*Ties are drawn by lot.* Cosines that agree to six digits are equal, and among equals every order is as likely: a hit is then the chance of
one, a rank and its reciprocal the mean over all orders. Embeddings that are all the same score exactly what chance scores, no more and no
less.

Shapes: N samples, M modalities, E numbers of an embedding, Q queries, G candidates, P true pairs, K places of `PLACES`, D directions,
R resamples, C columns.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tasks.evaluation.intervals import Bootstrap, Floats, interval, resampled_sums

Ints = NDArray[np.int64]

PLACES = (1, 5, 10)
"""R@K: the share of queries with a true partner among the first K."""
DIGITS = 6
"""Of a cosine; float32 embeddings promise no more."""
_CELLS_AT_ONCE = 4_000_000


@dataclass(frozen=True)
class Direction:
    """How one modality finds another; one row a sample of the split."""

    query: str
    candidate: str
    weight_N: Floats
    """One over the number of samples with the same query; 0 for a sample that lacks either modality. Sums to the number of queries."""
    rank_N: Floats
    """Of the first true partner, from 1; a mean where there are ties. 0 where the weight is."""
    hit_NK: Floats
    """Whether it is among the first K; a chance where there are ties."""
    reciprocal_N: Floats
    """One over the rank; its mean where there are ties, which is more than one over the mean rank. 0 where the weight is."""
    chance_NK: Floats
    """As `hit_NK`, if the order were drawn by lot."""
    num_candidates: int

    @property
    def name(self) -> str:
        """`image→text`."""
        return f"{self.query}→{self.candidate}"

    @property
    def num_queries(self) -> int:
        return round(float(self.weight_N.sum()))

    def columns(self) -> list[Floats]:
        """What R@K and the mean reciprocal rank are made of, each N: sums over samples of these give both by `recalls`."""
        return [self.weight_N, *(self.weight_N * hit_N for hit_N in self.hit_NK.T), self.weight_N * self.reciprocal_N]


def directions(
    embeddings_NME: NDArray[Any], modalities: Sequence[str], present_NM: NDArray[np.bool_], contents: Mapping[str, Ints] | None = None
) -> list[Direction]:
    """Every pair of modalities both ways, in their order; pairs that no sample has are left out.

    Embeddings have unit length where `present_NM` says so. `contents`: modality → N numbers, equal for equal things, as
    `ShardSet.contents` gives them; without it every sample's own is another thing. Memory grows with N, never with N².
    """
    numbers = {name: np.arange(len(present_NM)) if contents is None else contents[name] for name in modalities}
    found = []
    for one, other in itertools.combinations(range(len(modalities)), 2):
        for query, candidate in ((one, other), (other, one)):
            both_N = present_NM[:, query] & present_NM[:, candidate]
            if both_N.any():
                asked, offered = (
                    _Things.of(embeddings_NME[:, place], present_NM[:, place], numbers[modalities[place]]) for place in (query, candidate)
                )
                found.append(_direction(modalities[query], modalities[candidate], asked, offered, both_N))
    return found


def recalls(sums: Floats) -> Floats:
    """R@K of each K of `PLACES`, then the mean reciprocal rank, from sums `...5` of `Direction.columns`; 0 without a query."""
    weight = sums[..., :1]
    return np.divide(sums[..., 1:], weight, out=np.zeros_like(sums[..., 1:]), where=weight > 0)


def score_retrieval(found: Sequence[Direction], groups_N: NDArray[Any], bootstrap: Bootstrap) -> dict[str, Any]:
    """Direction → its numbers: `queries`, `candidates`, `recall` {K: {value, interval, chance}}, `reciprocal_rank` {value, interval} and
    `median_rank`. All intervals come from the same resamples of groups.
    """
    if not found:
        return {}
    columns = [column for direction in found for column in direction.columns()]
    size = len(columns) // len(found)
    values_DC = recalls(np.array([column.sum() for column in columns]).reshape(len(found), size))
    draws_RDC = recalls(resampled_sums(columns, groups_N, bootstrap).reshape(bootstrap.resamples, len(found), size))

    def entry(at: int, number: int) -> dict[str, Any]:
        return {"value": float(values_DC[at, number]), "interval": interval(draws_RDC[:, at, number], groups_N, bootstrap)}

    def described(at: int, direction: Direction) -> dict[str, Any]:
        chance_K = direction.weight_N @ direction.chance_NK / direction.weight_N.sum()
        return {
            "queries": direction.num_queries,
            "candidates": direction.num_candidates,
            "recall": {str(place): {**entry(at, number), "chance": float(chance_K[number])} for number, place in enumerate(PLACES)},
            "reciprocal_rank": entry(at, len(PLACES)),
            "median_rank": median_rank(direction),
        }

    return {direction.name: described(at, direction) for at, direction in enumerate(found)}


def median_rank(direction: Direction) -> float:
    """The lowest rank that at least half of the queries reach."""
    order_N = np.argsort(direction.rank_N, kind="stable")
    reached_N = np.cumsum(direction.weight_N[order_N])
    return float(direction.rank_N[order_N][np.searchsorted(reached_N, reached_N[-1] / 2 * (1 - 1e-12))])


def mean_reciprocal(ahead: NDArray[Any], true: NDArray[Any], tied: NDArray[Any]) -> Floats:
    """E[1 / rank] of the first of `true` among `tied` in an order drawn by lot, behind `ahead` others; elementwise."""
    kinds_U3, which = np.unique(np.stack([ahead, true, tied], axis=-1), axis=0, return_inverse=True)
    found_U = np.empty(len(kinds_U3))
    for row, (before, good, every) in enumerate(kinds_U3.tolist()):
        drawn_J = np.arange(every - good + 1)  # in vain, before the first
        vain_J = np.cumprod(np.append(1.0, (every - good - drawn_J[:-1]) / (every - drawn_J[:-1])))
        found_U[row] = vain_J * good / (every - drawn_J) @ (1 / (before + 1 + drawn_J))
    return found_U[which.reshape(-1)]


def hit_chance(true: NDArray[Any], others: NDArray[Any], places: NDArray[Any]) -> Floats:
    """The chance that one of `true` is among the first `places` when it and `others` stand in an order drawn by lot."""
    missed = np.ones(np.broadcast_shapes(np.shape(true), np.shape(others), np.shape(places)))
    for place in range(max(0, int(np.max(places, initial=0)))):
        step = np.maximum(others - place, 0) / np.maximum(true + others - place, 1)
        missed = np.where(place < places, missed * step, missed)
    return 1.0 - missed


@dataclass(frozen=True)
class _Things:
    """What samples have of a modality, equal ones once."""

    thing_N: Ints
    """Which of the things a sample has; -1 = none."""
    values_QE: NDArray[Any]

    @classmethod
    def of(cls, values_NE: NDArray[Any], there_N: NDArray[np.bool_], content_N: Ints) -> _Things:
        _, first, codes = np.unique(content_N[there_N], return_index=True, return_inverse=True)
        thing_N = np.full(len(there_N), -1)
        thing_N[there_N] = codes
        return cls(thing_N, values_NE[there_N][first])


def _direction(query: str, candidate: str, asked: _Things, offered: _Things, both_N: NDArray[np.bool_]) -> Direction:
    pairs_P2 = np.unique(np.stack([asked.thing_N[both_N], offered.thing_N[both_N]], axis=1), axis=0)
    queries_Q, start_Q, true_Q = np.unique(pairs_P2[:, 0], return_index=True, return_counts=True)
    num_candidates = len(offered.values_QE)
    ahead_Q, tied_true_Q, tied_Q = np.concatenate(
        list(_counts(asked.values_QE[queries_Q], offered.values_QE, pairs_P2[:, 1], start_Q, true_Q)), axis=1
    )
    row_N = np.searchsorted(queries_Q, asked.thing_N[both_N])
    rank_Q = ahead_Q + (tied_Q + 1) / (tied_true_Q + 1)
    hit_QK = np.stack([hit_chance(tied_true_Q, tied_Q - tied_true_Q, place - ahead_Q) for place in PLACES], axis=1)
    reciprocal_Q = mean_reciprocal(ahead_Q, tied_true_Q, tied_Q)
    chance_QK = np.stack([hit_chance(true_Q, num_candidates - true_Q, np.asarray(place)) for place in PLACES], axis=1)
    return Direction(
        query,
        candidate,
        _spread(1.0 / np.bincount(row_N)[row_N], both_N),
        _spread(rank_Q[row_N], both_N),
        _spread(hit_QK[row_N], both_N),
        _spread(reciprocal_Q[row_N], both_N),
        _spread(chance_QK[row_N], both_N),
        num_candidates,
    )


def _counts(asked_QE: NDArray[Any], offered_GE: NDArray[Any], true_P: Ints, start_Q: Ints, count_Q: Ints) -> Iterator[Ints]:
    """3 × some queries: candidates ahead of the first true one, true ones that tie with it (itself too), and all that do.

    `true_P`: the true candidates, query after query; those of query q begin at `start_Q[q]`.
    """
    rows = max(1, _CELLS_AT_ONCE // len(offered_GE))
    offered_EG = offered_GE.astype(np.float64).T
    for first in range(0, len(asked_QE), rows):
        cosine_QG = np.round(asked_QE[first : first + rows].astype(np.float64) @ offered_EG, DIGITS)
        counts_Q = count_Q[first : first + rows]
        begin, end = start_Q[first], start_Q[first] + counts_Q.sum()
        row_P = np.repeat(np.arange(len(counts_Q)), counts_Q)
        true_cosine_P = cosine_QG[row_P, true_P[begin:end]]
        best_Q = np.maximum.reduceat(true_cosine_P, start_Q[first : first + rows] - begin)
        tied_true_Q = np.bincount(row_P, weights=true_cosine_P == best_Q[row_P], minlength=len(counts_Q))
        yield np.stack([(cosine_QG > best_Q[:, None]).sum(1), tied_true_Q.astype(np.int64), (cosine_QG == best_Q[:, None]).sum(1)])


def _spread(values: Floats, chosen_N: NDArray[np.bool_]) -> Floats:
    """Zeros for the samples that are not chosen."""
    found = np.zeros((len(chosen_N), *values.shape[1:]))
    found[chosen_N] = values
    return found
