"""What a stored text is like: length, kinds of characters, script, language, words and pairs of letters.

In: bytes of a member. Out: six numbers, two classes, two vectors. Words and pairs of letters are counted in `NUM_WORDS` and `NUM_PAIRS`
places that a hash deals them to, so no sketch holds a word of a text. Must not import torch.
"""

from __future__ import annotations

import re
import unicodedata
import zlib
from collections.abc import Iterable

import numpy as np
from numpy.typing import NDArray

from tasks.drift.features import Measured
from tasks.drift.languages import language_of, main_script
from tasks.errors import BadMember

NUM_WORDS, NUM_PAIRS = 256, 128
MAX_CHARS = 20_000
"""From the beginning; of longer texts only the length is of all."""

_WORD = re.compile(r"\w+")


def text_features(data: bytes) -> Measured:
    """See `features.WORDS`. BadMember when the bytes are not UTF-8."""
    try:
        whole = data.decode()
    except UnicodeDecodeError as error:
        raise BadMember("text/not_utf8", f"the stored text is not UTF-8 at offset {error.start}") from error
    text = whole[:MAX_CHARS]
    kinds = [unicodedata.category(character) for character in text]
    letters = sum(kind[0] == "L" for kind in kinds)
    words = _WORD.findall(text.casefold())
    size = max(1, len(text))
    numbers = {
        "characters": float(len(whole)),
        "words": float(len(whole.split())),
        "word_length": float(np.mean([len(word) for word in words])) if words else float("nan"),
        "capitals": sum(kind == "Lu" for kind in kinds) / letters if letters else float("nan"),
        "digits": sum(kind[0] == "N" for kind in kinds) / size,
        "punctuation": sum(kind[0] in "PS" for kind in kinds) / size,
    }
    pairs = (f" {word} "[at : at + 2] for word in words for at in range(len(word) + 1))
    vectors = {"vocabulary": _counted(words, NUM_WORDS), "letters": _counted(pairs, NUM_PAIRS)}
    return Measured(numbers, {"script": main_script(text), "language": language_of(text)}, vectors)


def _counted(pieces: Iterable[str], places: int) -> NDArray[np.float32]:
    """Counts by hash, scaled to length 1; zeros when there are none."""
    counts = np.zeros(places, dtype=np.float32)
    for piece in pieces:
        counts[zlib.crc32(piece.encode()) % places] += 1
    length = float(np.sqrt((counts * counts).sum()))
    return counts / length if length else counts
