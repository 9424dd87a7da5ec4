"""Heads that say a text: transcripts (`ctc`) and captions.

Token ids become texts by the reader of the model that says them, so that two models with different tokenizers are compared by what a person
reads. What is true is the stored text, as far as the candidate reads it (`max_tokens`), with every word that its tokenizer lacks. Where the
candidate's tokens are words, texts have a space between all of them, marks of punctuation too: what is true, and what another model says.
BLEU is a share here, between 0 and 1.

Shapes: N samples.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, ClassVar

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from tasks.evaluation import texts
from tasks.evaluation.intervals import Bootstrap
from tasks.evaluation.scorer import Bools, Columns, Floats, Subject
from tasks.modalities.text_reader import TextReader

_PAD = 0
_COLUMNS = (
    *("samples", "exact", "character_edits", "characters", "word_edits", "words", "true_words"),
    *(f"hits_{order}" for order in range(1, texts.LONGEST + 1)),
    *(f"said_{order}" for order in range(1, texts.LONGEST + 1)),
)
"""Of `TextSums`, in its order."""


def bleu(sums: Columns) -> Any:
    """0 to 1."""
    return texts.bleu(texts.TextSums.of_columns(np.stack([np.asarray(sums[name]) for name in _COLUMNS], axis=-1))) / 100


class Texts:
    """See `tasks.evaluation.scorer.Scorer`. Said and true are objects N: strings; None where there is no target."""

    by_subsets: ClassVar[bool] = True
    formulas: ClassVar[Mapping[str, Callable[[Columns], Any]]] = {"bleu": bleu}
    weighted: ClassVar[Mapping[str, Callable[[Columns, Floats], Floats]]] = {}
    parts: ClassVar[Mapping[str, Callable[[Columns], Floats]]] = {}

    def __init__(self, subject: Subject) -> None:
        self._reader: TextReader = subject.reader  # type: ignore[assignment]  # a target is a modality of tokens

    def said(self, predicted: NDArray[Any]) -> NDArray[Any]:
        return _objects([self._reader.text(ids_T[ids_T != _PAD]) for ids_T in predicted])

    def true(self, target: Any) -> NDArray[Any]:
        """Of stored texts, bytes; None where a sample has none."""
        return _objects([None if data is None else self._reader.spelled(data) for data in target])

    def known(self, true: NDArray[Any]) -> Bools:
        return np.array([text is not None for text in true], dtype=bool)

    def columns(self, said: NDArray[Any], true: NDArray[Any]) -> dict[str, Floats]:
        return dict(zip(_COLUMNS, texts.TextSums.columns(list(true), list(said)), strict=True))

    def tables(self, said: NDArray[Any], true: NDArray[Any]) -> dict[str, Any]:  # noqa: ARG002 - the signature of every scorer
        return {}

    def details(self, said: NDArray[Any], true: NDArray[Any], groups_N: NDArray[Any], bootstrap: Bootstrap) -> dict[str, Any]:  # noqa: ARG002
        return {}

    def translated(self, said: NDArray[Any], other: Texts) -> NDArray[Any]:  # noqa: ARG002
        """Spelled as this one's."""
        return _objects([self._reader.respelled(text) for text in said])

    def words(self, said: Any) -> str:
        return str(said)

    def true_words(self, true: Any) -> str:
        return "" if true is None else str(true)

    def stored(self, said: NDArray[Any]) -> Any:
        """Texts."""
        return pa.array(said.tolist(), pa.string())

    def stored_true(self, true: NDArray[Any]) -> Any:
        return pa.array(true.tolist(), pa.string())


def _objects(rows: list[Any]) -> NDArray[Any]:
    found = np.empty(len(rows), dtype=object)
    found[:] = rows
    return found
