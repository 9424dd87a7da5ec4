"""Stop words: taken out of a text, or left alone.

In: a text and languages. Out: the text without the words that say little in any of these. The lists stand beside this file in `words/`,
where it is also told where they come from; changing one changes stored bytes, and so raises the version of text. Must not import torch.
"""

from __future__ import annotations

import functools
import json
import re
import unicodedata
from collections.abc import Iterable
from pathlib import Path

LISTS = Path(__file__).parent / "words" / "stop_words.json"


def without_stop_words(text: str, languages: Iterable[str]) -> str:
    """Words are what stands between white space, without the punctuation around it; case does not matter. White space stays."""
    stop_words = _union(tuple(sorted(languages)))
    return re.sub(r"\S+", lambda found: _kept(found[0], stop_words), text)


@functools.cache
def stop_words() -> dict[str, frozenset[str]]:
    """Language → its stop words, case-folded, NFC, with plain apostrophes."""
    return {language: frozenset(words.split()) for language, words in json.loads(LISTS.read_text(encoding="utf-8")).items()}


@functools.lru_cache(maxsize=16)
def _union(languages: tuple[str, ...]) -> frozenset[str]:
    return frozenset().union(*(stop_words()[language] for language in languages))


def _kept(word: str, stop_words: frozenset[str]) -> str:
    """A word without the stop words in it. `l'arbre` has one, before the apostrophe; `don't` is one. Punctuation around it stays."""
    start, end = 0, len(word)
    while start < end and not _inner(word[start]):
        start += 1
    while end > start and not _inner(word[end - 1]):
        end -= 1
    core = unicodedata.normalize("NFC", word[start:end]).casefold().replace("’", "'")
    if core in stop_words:
        return word[:start] + word[end:]
    first, mark, rest = core.partition("'")
    if mark and rest and first in stop_words and not rest.startswith("'"):
        cut = re.search(r"['’]", word[start:end])
        assert cut is not None, "folding made no apostrophe"
        return word[:start] + _kept(word[start + cut.end() :], stop_words)
    return word


def _inner(character: str) -> bool:
    """Letters, marks and digits: what a word begins and ends with."""
    return unicodedata.category(character)[0] in "LMN"
