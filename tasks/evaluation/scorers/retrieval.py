"""Heads that bring what belongs together close: each modality of a sample finds the others among all samples of the split.

What is true is which samples have the same picture, text or sound, by the bytes in the shards, so that eleven captions of one picture are
all right. A sample counts when it has two of the head's modalities. `R@K` is over the queries of all directions together; `directions` of a
report has each by itself, with chance beside it: {image→text: {queries, candidates, recall: {K: {value, interval, chance}},
reciprocal_rank, median_rank}}. Ranks among fewer samples are better ranks: a slice is searched as part of the whole split, and the columns
of a sample say how well it found its own there.

Shapes: N samples, M modalities, E numbers of an embedding.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, ClassVar

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from tasks.evaluation.intervals import Bootstrap
from tasks.evaluation.retrieval import PLACES, Direction, directions, score_retrieval
from tasks.evaluation.scorer import Bools, Columns, Floats, Subject


class Retrieval:
    """See `tasks.evaluation.scorer.Scorer`. Said is float32 NME, true int64 NM: a number for what a sample has, -1 = nothing."""

    by_subsets: ClassVar[bool] = False
    formulas: ClassVar[Mapping[str, Callable[[Columns], Any]]] = {}
    weighted: ClassVar[Mapping[str, Callable[[Columns, Floats], Floats]]] = {}
    parts: ClassVar[Mapping[str, Callable[[Columns], Floats]]] = {}

    def __init__(self, subject: Subject) -> None:
        self.modalities = tuple(getattr(subject.config, "modalities", ()) or subject.modalities)

    def said(self, predicted: NDArray[Any]) -> NDArray[Any]:
        return np.asarray(predicted, dtype=np.float32)

    def true(self, target: Any) -> NDArray[Any]:
        return np.asarray(target, dtype=np.int64)

    def known(self, true: NDArray[Any]) -> Bools:
        return np.asarray((true >= 0).sum(axis=1) >= 2)

    def found(self, said: NDArray[Any], true: NDArray[Any]) -> list[Direction]:
        """Every pair of modalities both ways."""
        return directions(said, self.modalities, true >= 0, {name: true[:, at] for at, name in enumerate(self.modalities)})

    def columns(self, said: NDArray[Any], true: NDArray[Any]) -> dict[str, Floats]:
        weight_N, *hit_KN, reciprocal_N = np.sum([direction.columns() for direction in self.found(said, true)], axis=0)
        hits = {f"found_{place}": hit_N for place, hit_N in zip(PLACES, hit_KN, strict=True)}
        return {"queries": weight_N, **hits, "reciprocal": reciprocal_N}

    def tables(self, said: NDArray[Any], true: NDArray[Any]) -> dict[str, Any]:  # noqa: ARG002 - the signature of every scorer
        return {}

    def details(self, said: NDArray[Any], true: NDArray[Any], groups_N: NDArray[Any], bootstrap: Bootstrap) -> dict[str, Any]:
        return {"directions": score_retrieval(self.found(said, true), groups_N, bootstrap)}

    def translated(self, said: NDArray[Any], other: Retrieval) -> NDArray[Any] | None:
        """In this head's order; None where the other lacks one of its modalities."""
        if not set(self.modalities) <= set(other.modalities):
            return None
        return said[:, [other.modalities.index(name) for name in self.modalities]]

    def words(self, said: Any) -> str:  # noqa: ARG002
        return ""

    def true_words(self, true: Any) -> str:  # noqa: ARG002
        return ""

    def stored(self, said: NDArray[Any]) -> Any:
        """Embeddings, modality after modality."""
        return pa.array(said.reshape(len(said), -1).tolist(), pa.list_(pa.float32()))

    def stored_true(self, true: NDArray[Any]) -> Any:
        """How many of the head's modalities a sample has; null = fewer than two."""
        count_N = (true >= 0).sum(axis=1)
        return pa.array(count_N, pa.int64(), mask=count_N < 2)
