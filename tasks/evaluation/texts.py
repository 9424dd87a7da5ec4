"""Error rates of characters and words, exact matches and BLEU, of texts that a model says.

In: the true texts and those said, one of each for every sample. Out: columns of numbers, one a sample, whose sums give every measure, so
that one call scores a single evaluation or all resamples of a bootstrap. Nothing here knows models, files or modalities.

Shapes: N samples; `...` = any leading axes.
"""

from __future__ import annotations

import re
import unicodedata
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from tasks.models.edit_distance import edit_distance

Floats = NDArray[np.float64]

LONGEST = 4
"""Words of the longest n-gram that BLEU looks at."""
NUM_COLUMNS = 7 + 2 * LONGEST
"""Of `TextSums`."""
_WORDS_AND_SIGNS = re.compile(r"\w+|[^\w\s]")


@dataclass(frozen=True)
class TextSums:
    """What the measures of texts need, summed over samples; each `...`, or `...4` of n-grams of 1 to 4 words."""

    count: Floats
    exact: Floats
    """Texts that are said to the letter."""
    character_edits: Floats
    characters: Floats
    """Of the true texts."""
    word_edits: Floats
    words: Floats
    """Of the true texts; what stands between white space."""
    true_words: Floats
    """Of the true texts as BLEU cuts them."""
    hits: Floats
    """`...4`: n-grams that are said and true, each as often as it is true at most."""
    said: Floats
    """`...4`: n-grams that are said."""

    @staticmethod
    def columns(true: Sequence[str], said: Sequence[str]) -> list[Floats]:
        """The 15 numbers of each sample in the order of the fields, each N."""
        rows = [_row(*pair) for pair in zip(true, said, strict=True)]
        return list(np.asarray(rows, dtype=np.float64).reshape(-1, NUM_COLUMNS).T)

    @classmethod
    def of_columns(cls, sums: Floats) -> TextSums:
        """From sums `...15` of `columns`."""
        sums = np.asarray(sums, dtype=np.float64)
        count, exact, character_edits, characters, word_edits, words, true_words = np.moveaxis(sums[..., :7], -1, 0)
        hits, said = sums[..., 7 : 7 + LONGEST], sums[..., 7 + LONGEST :]
        return cls(count, exact, character_edits, characters, word_edits, words, true_words, hits, said)


def character_error_rate(sums: TextSums) -> Floats:
    """Edits that make the said text the true one, over the characters (code points, spaces too) of the true ones; may exceed 1."""
    return _ratio(sums.character_edits, sums.characters)


def word_error_rate(sums: TextSums) -> Floats:
    """The same of words: what stands between white space, punctuation with it."""
    return _ratio(sums.word_edits, sums.words)


def exact_match(sums: TextSums) -> Floats:
    """Share of texts that are said to the letter."""
    return _ratio(sums.exact, sums.count)


def bleu(sums: TextSums) -> Floats:
    """BLEU of all texts together, 0 to 100, with one true text each (Papineni et al. 2002).

    Words are runs of letters, digits and marks on them, every other sign is one by itself; case counts. The first order without a hit
    counts as half an n-gram, the next as a quarter and so on, and texts that have no four words in a row anywhere give 0: the formula of
    sacrebleu with its defaults, whose cutting into words is another.
    """
    smoothing = np.cumsum((sums.hits == 0) & (sums.said > 0), axis=-1)
    hits = np.where(sums.hits > 0, sums.hits, 0.5**smoothing)
    precisions = _ratio(hits, sums.said)
    any_hit = (sums.hits.sum(-1) > 0) & (sums.said > 0).all(-1)
    mean = np.exp(np.log(np.where(any_hit[..., None], precisions, 1.0)).mean(-1))
    said = np.maximum(sums.said[..., 0], 1.0)
    brevity = np.exp(np.minimum(0.0, 1.0 - sums.true_words / said))
    return np.asarray(np.where(any_hit, 100 * brevity * mean, 0.0), dtype=np.float64)


def words_and_signs(text: str) -> list[str]:
    """A text as BLEU cuts it. A mark belongs to what it stands on, as the vowels of Devanagari do and an accent that is a character."""
    if text.isascii():
        return _WORDS_AND_SIGNS.findall(text)
    found: list[str] = []
    follows = ""  # what the last sign was: of a word, a sign by itself, or nothing
    for sign in unicodedata.normalize("NFC", text):
        if sign.isspace():
            follows = ""
        elif follows and unicodedata.category(sign).startswith(("M", "Cf")):
            found[-1] += sign
        elif sign.isalnum() or sign == "_":
            if follows == "word":
                found[-1] += sign
            else:
                found.append(sign)
            follows = "word"
        else:
            found.append(sign)
            follows = "sign"
    return found


def _row(true: str, said: str) -> list[float]:
    true_words, said_words = true.split(), said.split()
    true_cut, said_cut = words_and_signs(true), words_and_signs(said)
    edits = [edit_distance(true, said), len(true), edit_distance(true_words, said_words), len(true_words)]
    hits = [(_ngrams(true_cut, order) & _ngrams(said_cut, order)).total() for order in range(1, LONGEST + 1)]
    total = [max(len(said_cut) - order + 1, 0) for order in range(1, LONGEST + 1)]
    return [1, true == said, *edits, len(true_cut), *hits, *total]


def _ngrams(words: Sequence[str], order: int) -> Counter[tuple[str, ...]]:
    return Counter(zip(*(words[start:] for start in range(order)), strict=False))


def _ratio(above: Floats, below: Floats) -> Floats:
    return np.divide(above, below, out=np.zeros(np.broadcast(above, below).shape), where=below > 0)
