"""Which script a text is in, and which language, told offline from what is here already.

In: a text. Out: the script by Unicode, and a language of ISO 639-1 or `unknown`. Words that stand in the lists of stop words of 24
languages count, and letters that a language does or does not have; a script of one language says it by itself. A word or two are often too
little: such texts are `unknown`, and the share of these is compared as well. Must not import torch.
"""

from __future__ import annotations

import functools
import re
import unicodedata
from collections import Counter
from collections.abc import Mapping

from tasks.modalities.stop_words import stop_words

UNKNOWN = "unknown"
NO_SCRIPT = "none"
MAX_CHARS = 5000
"""Of a text that are looked at."""

BY_SCRIPT = {
    "greek": "el", "hebrew": "he", "thai": "th", "hangul": "ko", "hiragana": "ja", "katakana": "ja", "cjk": "zh", "georgian": "ka",
    "armenian": "hy", "tamil": "ta", "telugu": "te", "bengali": "bn", "gujarati": "gu", "gurmukhi": "pa", "kannada": "kn",
    "malayalam": "ml", "sinhala": "si", "khmer": "km", "lao": "lo", "myanmar": "my", "tibetan": "bo", "ethiopic": "am",
}  # fmt: skip
"""Scripts that one language has above all, as Unicode names them."""

TELLING = {
    "be": "ў", "uk": "їєґ", "ru": "ыэё", "bg": "ъ", "ca": "ŀ·", "cs": "ěřů", "da": "æ", "de": "ß", "es": "ñ¿¡", "fr": "œêûù",
    "hu": "őű", "pl": "łąęśżźćń", "pt": "ãõ", "ro": "țșţşăâ", "sk": "ľĺŕô", "sv": "", "tr": "ığş", "it": "ìò", "no": "", "fi": "",
    "nl": "", "en": "", "id": "", "hi": "", "ar": "",
}  # fmt: skip
"""Letters that speak for a language; Belarusian has no list of stop words and is known by its letters alone."""

MORE_LETTERS = {
    "be": "абвгдеёжзійклмнопрстуўфхцчшыьэюя", "bg": "абвгдежзийклмнопрстуфхцчшщъьюя", "ca": "abcdefghijklmnopqrstuvwxyzàéèíïóòúüç·",
    "da": "abcdefghijklmnopqrstuvwxyzæøå", "en": "abcdefghijklmnopqrstuvwxyz", "es": "abcdefghijklmnopqrstuvwxyzáéíñóúü",
    "fr": "abcdefghijklmnopqrstuvwxyzàâæçéèêëîïôœùûüÿ", "it": "abcdefghijklmnopqrstuvwxyzàèéìòù", "nl": "abcdefghijklmnopqrstuvwxyzéëïóöü",
    "ro": "abcdefghijklmnopqrstuvwxyzăâîșțşţ", "ru": "абвгдеёжзийклмнопрстуфхцчшщъыьэюя", "uk": "абвгґдеєжзиіїйклмнопрстуфхцчшщьюя",
    "de": "abcdefghijklmnopqrstuvwxyzäöüß", "pt": "abcdefghijklmnopqrstuvwxyzãõáéíóúâêôçà", "no": "abcdefghijklmnopqrstuvwxyzæøå",
    "sv": "abcdefghijklmnopqrstuvwxyzåäöé", "fi": "abcdefghijklmnopqrstuvwxyzåäö", "pl": "abcdefghijklmnopqrstuvwxyząćęłńóśźż",
    "cs": "abcdefghijklmnopqrstuvwxyzáčďéěíňóřšťúůýž", "sk": "abcdefghijklmnopqrstuvwxyzáäčďéíĺľňóôŕšťúýž",
    "hu": "abcdefghijklmnopqrstuvwxyzáéíóöőúüű", "tr": "abcçdefgğhıijklmnoöprsştuüvyzâî", "id": "abcdefghijklmnopqrstuvwxyz",
}  # fmt: skip
"""Alphabets: a letter outside of it speaks against a language. One without an entry (Arabic, Hindi) is judged by its words."""

WORD_WEIGHT, LETTER_WEIGHT, FOREIGN_WEIGHT = 1.0, 1.0, 1.5
ENOUGH = 0.3
"""A score below this is no evidence."""

_WORD = re.compile(r"[^\W\d_]+(?:['’][^\W\d_]+)*")


@functools.lru_cache(maxsize=1 << 16)
def script_of(character: str) -> str:
    """Script of a letter, lower case; empty for what is none."""
    if not unicodedata.category(character).startswith("L"):
        return ""
    return unicodedata.name(character, "").partition(" ")[0].lower()


def main_script(text: str) -> str:
    """The script of most letters; `none` for a text without letters."""
    counts = Counter(script for character in text[:MAX_CHARS] if (script := script_of(character)))
    return max(sorted(counts), key=lambda script: counts[script]) if counts else NO_SCRIPT


def language_of(text: str) -> str:
    """The likeliest language, or `unknown`."""
    text = unicodedata.normalize("NFC", text[:MAX_CHARS]).casefold().replace("’", "'")
    script = main_script(text)
    if script == "cjk" and any(script_of(character) in ("hiragana", "katakana") for character in text):
        return "ja"
    if script in BY_SCRIPT:
        return BY_SCRIPT[script]
    scores = _scores(text, script)
    if not scores:
        return UNKNOWN
    best, *others = sorted(scores, key=lambda language: (-scores[language], language))
    if scores[best] < ENOUGH or (others and scores[best] - scores[others[0]] < 1e-9):
        return UNKNOWN
    return best


def _scores(text: str, script: str) -> dict[str, float]:
    """Evidence for each language of a script."""
    languages = _languages(script)
    scores = dict.fromkeys(languages, 0.0)
    for word in _words(text):
        for language, weight in _weights().get(word, {}).items():
            if language in scores:
                scores[language] += WORD_WEIGHT * weight
    letters = {character for character in text if script_of(character)} | ({"·", "¿", "¡"} & set(text))
    for language in languages:
        scores[language] += LETTER_WEIGHT * len(letters & set(TELLING.get(language, "")))
        known = MORE_LETTERS.get(language)
        if known:
            scores[language] -= FOREIGN_WEIGHT * len({letter for letter in letters if script_of(letter)} - set(known))
    return scores


def _words(text: str) -> list[str]:
    """Words, and of `l'arbre` also both parts."""
    words = _WORD.findall(text)
    return words + [part for word in words if "'" in word for part in word.split("'")]


@functools.cache
def _languages(script: str) -> tuple[str, ...]:
    """Languages that are written in a script, of those that are known here."""
    letters = {language: "".join(words) for language, words in stop_words().items()} | {"be": MORE_LETTERS["be"]}
    return tuple(sorted(language for language, sample in letters.items() if main_script(sample) == script))


@functools.cache
def _weights() -> Mapping[str, Mapping[str, float]]:
    """Stop word → language → weight: a word of many languages says little about any."""
    found: dict[str, list[str]] = {}
    for language, words in stop_words().items():
        for word in words:
            found.setdefault(word, []).append(language)
    return {word: dict.fromkeys(languages, 1 / len(languages)) for word, languages in found.items()}
