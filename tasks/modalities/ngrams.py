"""A language model of n-grams over token ids: interpolated Kneser–Ney (Kneser and Ney 1995, Chen and Goodman 1999), one discount an order.

In: the texts of the training split as ids. Out: the bytes of a file that stands beside the tokenizer, and `Ngrams`, which says how likely
a token is behind others. Only counts of the longest n-grams are stored; whatever is shorter is counted from them. Must not import torch.

Shape suffixes: N n-grams, O their order.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Iterable
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt
from safetensors import SafetensorError
from safetensors.numpy import load, save

from tasks.errors import CorruptArtifact
from tasks.modalities.config import SPECIAL_TOKENS

BEGIN, END = SPECIAL_TOKENS.index("<bos>"), SPECIAL_TOKENS.index("<eos>")
NEVER_SAID = 2
"""Padding and begin are no tokens that may follow."""
FEW = 0.5
"""The discount of an order that has no n-gram seen once, or none seen twice."""
MAX_REMEMBERED = 1 << 18
"""Probabilities that are kept."""

Ints = npt.NDArray[np.int64]
Context = tuple[int, ...]


def learn(texts: Iterable[npt.ArrayLike], order: int) -> bytes:
    """Every text counts from `order - 1` begins to its end. The same texts, in any order, give the same bytes."""
    begin, end = np.full(order - 1, BEGIN, dtype=np.int32), np.array([END], dtype=np.int32)
    windows = [
        np.lib.stride_tricks.sliding_window_view(np.concatenate([begin, np.asarray(text, dtype=np.int32), end]), order) for text in texts
    ]
    seen_NO = np.concatenate(windows) if windows else np.zeros((0, order), dtype=np.int32)
    ngrams_NO, counts_N = np.unique(seen_NO, axis=0, return_counts=True)
    stored: bytes = save({"counts": counts_N.astype(np.int64), "ngrams": np.ascontiguousarray(ngrams_NO)})
    return stored


@dataclass
class Ngrams:
    """P(token | the tokens before it), over all tokens that may follow; adds up to one."""

    ngrams_NO: npt.NDArray[np.int32]
    counts_N: Ints
    vocab_size: int
    _remembered: dict[tuple[Context, int], float] = field(default_factory=dict, init=False, repr=False, compare=False)

    @classmethod
    def read(cls, data: bytes, vocab_size: int) -> Ngrams:
        """Raises CorruptArtifact."""
        try:
            arrays = load(data)
            return cls(arrays["ngrams"], arrays["counts"], vocab_size)
        except (SafetensorError, KeyError) as error:
            raise CorruptArtifact(
                f"the n-grams of the language model cannot be read ({error}); restore the file, or run the step that made it anew"
            ) from error

    @property
    def order(self) -> int:
        return int(self.ngrams_NO.shape[1])

    def log_probability(self, said: Context, token: int) -> float:
        """Natural logarithm; `said` is everything before the token, without begin."""
        near = self.order - 1
        context = ((BEGIN,) * near + said)[len(said) :] if near else ()
        found = self._remembered.get((context, token))
        if found is None:
            if len(self._remembered) >= MAX_REMEMBERED:
                self._remembered.clear()
            found = self._remembered[context, token] = math.log(self._probability(context, token))
        return found

    def _probability(self, context: Context, token: int) -> float:
        probability = 1.0 / (self.vocab_size - NEVER_SAID)
        for length, level in enumerate(self._levels):
            near = context[len(context) - length :]
            if near not in level.totals:
                break  # what was never seen is no part of anything longer that was seen
            total, kinds = level.totals[near]
            kept = max(level.counts.get((*near, token), 0) - level.discount, 0.0)
            probability = (kept + level.discount * kinds * probability) / total
        return probability

    @functools.cached_property
    def _levels(self) -> list[_Level]:
        """From single tokens to the longest n-grams. A shorter one counts the tokens before it, or as often as it was seen if it begins a
        text: nothing stands before the begin (Heafield et al. 2013).
        """
        levels, grams, seen = [], self.ngrams_NO, self.counts_N
        counts = seen
        for _ in range(self.order):
            levels.append(_level(grams, counts))
            if grams.shape[1] == 1:
                break
            grams, place = np.unique(grams[:, 1:], axis=0, return_inverse=True)
            kinds = np.bincount(place.ravel(), minlength=len(grams))
            seen = np.bincount(place.ravel(), weights=seen, minlength=len(grams)).astype(np.int64)
            counts = np.where(grams[:, 0] == BEGIN, seen, kinds)
        return levels[::-1]


@dataclass(frozen=True)
class _Level:
    """N-grams of one length."""

    counts: dict[Context, int]
    totals: dict[Context, tuple[int, int]]
    """What stands before the last token → counts added up, and kinds of last tokens."""
    discount: float


def _level(ngrams_NO: npt.NDArray[np.int32], counts_N: Ints) -> _Level:
    counts = {tuple(ngram): count for ngram, count in zip(ngrams_NO.tolist(), counts_N.tolist(), strict=True)}
    totals: dict[Context, tuple[int, int]] = {}
    for ngram, count in counts.items():
        total, kinds = totals.get(ngram[:-1], (0, 0))
        totals[ngram[:-1]] = (total + count, kinds + 1)
    once, twice = int((counts_N == 1).sum()), int((counts_N == 2).sum())
    return _Level(counts, totals, once / (once + 2 * twice) if once and twice else FEW)
