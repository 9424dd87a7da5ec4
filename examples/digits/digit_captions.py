"""Written captions of a digit: exact ones in four languages, and vague ones that are true of several digits."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np

VAGUE_CHANCE = 0.4
"""How often a caption is replaced by one that is true of several digits."""

NAMES = {
    "en": ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine"),
    "es": ("cero", "uno", "dos", "tres", "cuatro", "cinco", "seis", "siete", "ocho", "nueve"),
    "de": ("Null", "Eins", "Zwei", "Drei", "Vier", "Fünf", "Sechs", "Sieben", "Acht", "Neun"),
    "fr": ("zéro", "un", "deux", "trois", "quatre", "cinq", "six", "sept", "huit", "neuf"),
}

FORMS = (
    ("en", "{}"),
    ("en", "a handwritten {}"),
    ("en", "the digit {}"),
    ("es", "{}"),
    ("es", "un {} escrito a mano"),
    ("de", "{}"),
    ("de", "eine handgeschriebene {}"),
    ("fr", "{}"),
    ("fr", "un {} écrit à la main"),
)

VAGUE = {
    "an odd digit": "13579",
    "an even digit": "02468",
    "a digit below five": "01234",
    "a digit above four": "56789",
    "a digit below three": "012",
    "a digit above six": "789",
    "a prime digit": "2357",
    "un dígito impar": "13579",
    "un dígito par": "02468",
    "eine Ziffer unter fünf": "01234",
    "eine Ziffer über vier": "56789",
    "un chiffre impair": "13579",
    "un chiffre pair": "02468",
}
"""Caption → the digits it is true of."""


def exact_captions(digit: int) -> list[str]:
    """Every caption that names the digit."""
    return [form.format(NAMES[language][digit]) for language, form in FORMS]


def vague_captions(digit: int) -> list[str]:
    """Every caption that is true of the digit and of others."""
    return [caption for caption, digits in VAGUE.items() if str(digit) in digits]


def caption(digit: int, random: np.random.Generator) -> str:
    """One caption, vague with the chance VAGUE_CHANCE."""
    choices = vague_captions(digit) if random.random() < VAGUE_CHANCE else exact_captions(digit)
    return choices[random.integers(len(choices))]
