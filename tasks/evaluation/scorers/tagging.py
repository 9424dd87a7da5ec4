"""Heads that say a class for each token of a modality. What counts are the tags of the label, whatever the model's tokens are.

With `align: token` the first tag is compared with the first token, and so on; with `stretch` each tag with the token in the middle of its
share of the tokens. A tag that the model has no token for is wrong.

Beside its metrics a report has `per_class`: {class: {precision, recall, f1, support, predicted}} over tokens. Macro F1 is over the classes
that occur.

Shapes: N samples, T tokens, K classes, R resamples.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from tasks.evaluation.intervals import Bootstrap
from tasks.evaluation.labels import class_indices
from tasks.evaluation.metrics import ClassCounts, macro_scores, per_class
from tasks.evaluation.scorer import Bools, Columns, Floats, Subject
from tasks.evaluation.scorers.sets import token_lists

FOREIGN = "\ufffd"
"""What stands for a class of another model that this one does not know."""


def f1_macro(columns: Columns, weight_RN: Floats) -> Floats:
    """R: unweighted over the classes that occur."""
    return macro_scores(ClassCounts(*(weight_RN @ columns[name] for name in ("class_hits", "class_predicted", "class_true")))).f1


class Tagging:
    """See `tasks.evaluation.scorer.Scorer`. Said and true are int64 NT of class indices, padded with -1.

    Of another model, a token may also have the index behind the last: a class that this model does not know.
    """

    by_subsets: ClassVar[bool] = True
    formulas: ClassVar[Mapping[str, Callable[[Columns], Any]]] = {}
    weighted: ClassVar[Mapping[str, Callable[[Columns, Floats], Floats]]] = {"f1_macro": f1_macro}
    parts: ClassVar[Mapping[str, Callable[[Columns], Floats]]] = {}

    def __init__(self, subject: Subject) -> None:
        self.classes: tuple[str, ...] = tuple(subject.info["classes"])
        self.stretch = subject.config.align == "stretch"

    def said(self, predicted: NDArray[Any]) -> NDArray[Any]:
        """Valid tokens first, in their order."""
        order_NT = np.argsort(predicted < 0, axis=1, kind="stable")
        return np.take_along_axis(np.asarray(predicted, dtype=np.int64), order_NT, axis=1)

    def true(self, target: Any) -> NDArray[Any]:
        return np.asarray(target, dtype=np.int64)

    def known(self, true: NDArray[Any]) -> Bools:
        return np.asarray((true >= 0).any(axis=1))

    def columns(self, said: NDArray[Any], true: NDArray[Any]) -> dict[str, Floats]:
        said = self._of_tags(said, true)
        there = true >= 0
        right = there & (said == true)
        return {
            "right": right.sum(axis=1).astype(np.float64),
            "tokens": there.sum(axis=1).astype(np.float64),
            "exact": (right | ~there).all(axis=1).astype(np.float64),
            "samples": np.ones(len(true)),
        }

    def tables(self, said: NDArray[Any], true: NDArray[Any]) -> dict[str, Any]:
        said = self._of_tags(said, true)
        count = len(self.classes)
        return {
            "class_hits": _per_class(np.where(said == true, true, -1), count),
            "class_predicted": _per_class(said, count),
            "class_true": _per_class(true, count),
        }

    def details(self, said: NDArray[Any], true: NDArray[Any], groups_N: NDArray[Any], bootstrap: Bootstrap) -> dict[str, Any]:  # noqa: ARG002
        counts = ClassCounts(*(part.sum(axis=0) for part in self.tables(said, true).values()))
        return {"classes": list(self.classes), "per_class": per_class(self.classes, counts)}

    def translated(self, said: NDArray[Any], other: Tagging) -> NDArray[Any] | None:
        """By the classes' names; one that this model does not know is wrong. None where tags and tokens are aligned otherwise."""
        if self.stretch != other.stretch:
            return None
        known = class_indices(other.classes, self.classes)
        known = np.append(np.where(known < 0, len(self.classes), known), -1)
        return np.asarray(known[said])

    def _of_tags(self, said: NDArray[Any], true: NDArray[Any]) -> NDArray[Any]:
        """What is said of each tag, as wide as `true`; -1 where nothing is, and where there is no tag."""
        tokens_N1, tags_N1 = ((part >= 0).sum(axis=1, keepdims=True) for part in (said, true))
        place_NG = np.arange(true.shape[1])[None, :]
        if self.stretch:
            place_NG = (2 * place_NG + 1) * tokens_N1 // (2 * np.maximum(tags_N1, 1))
        known_NG = (true >= 0) & (place_NG < tokens_N1)
        return np.where(known_NG, np.take_along_axis(said, np.where(known_NG, place_NG, 0), axis=1), -1)

    def words(self, said: Any) -> str:
        return " ".join(self._name(at) for at in said if at >= 0) or "none"

    def true_words(self, true: Any) -> str:
        return " ".join(self._name(at) for at in true if at >= 0)

    def _name(self, at: int) -> str:
        return self.classes[at] if at < len(self.classes) else FOREIGN

    def stored(self, said: NDArray[Any]) -> Any:
        """Lists of classes, one a token."""
        return token_lists(said, np.ones(len(said), dtype=bool), (*self.classes, FOREIGN))

    def stored_true(self, true: NDArray[Any]) -> Any:
        return token_lists(true, self.known(true), self.classes)


def _per_class(index_NT: NDArray[Any], count: int) -> Floats:
    """How many tokens of each class a sample has: NK; other indices are none."""
    known_NT = (index_NT >= 0) & (index_NT < count)
    rows, _ = np.nonzero(known_NT)
    cells = rows * count + index_NT[known_NT]
    return np.bincount(cells, minlength=len(index_NT) * count).reshape(len(index_NT), count).astype(np.float64)
