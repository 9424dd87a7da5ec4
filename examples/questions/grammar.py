"""Questions about one digit, and their answers: the whole grammar of `examples/questions`.

    kind      asks                     answers    for the digits
    name      which digit it is        0 to 9     all
    parity    even, or odd             yes, no    all
    compare   larger, smaller than N   yes, no    all; N is 1 to 8
    equals    is it N                  yes, no    all; as often true as not
    prime     a prime number           yes, no    all
    holes     holes in its shape       0, 1, 2    all but 4, which some write with a hole and some without

Each kind has several wordings. The last of each, HELD_OUT, is asked in test alone.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    import numpy as np

WORDS = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine")
HOLES = {0: 1, 1: 0, 2: 0, 3: 0, 5: 0, 6: 1, 7: 0, 8: 2, 9: 1}
PRIMES = (2, 3, 5, 7)
ANSWERS = (*"0123456789", "no", "yes")

WORDINGS = {
    "name": ("what digit is it ?", "which digit is this ?", "what number do you see ?", "which number is it ?"),
    "parity": (
        "is the digit {parity} ?",
        "is it an {parity} number ?",
        "do you see an {parity} digit ?",
        "is this an {parity} digit ?",
    ),
    "compare": (
        "is it {order} than {word} ?",
        "is the digit {order} than {word} ?",
        "do you see a number {order} than {word} ?",
        "is this number {order} than {word} ?",
    ),
    "equals": ("is it a {word} ?", "is the digit {word} ?", "do you see a {word} ?", "is this a {word} ?"),
    "prime": ("is it a prime number ?", "is the digit prime ?", "do you see a prime number ?", "is this digit prime ?"),
    "holes": (
        "how many holes does it have ?",
        "how many holes do you see ?",
        "how many holes does the digit have ?",
        "how many holes does this number have ?",
    ),
}
"""Kind → wordings; the last is held out."""
KINDS = tuple(WORDINGS)


class Question(NamedTuple):
    kind: str
    wording: str
    """`seen`, or `held_out` for one that training never asks."""
    text: str
    answer: str


def ask(digit: int, kind: str, random: np.random.Generator, *, held_out: bool) -> Question:
    """One question of a kind about a digit."""
    known = WORDINGS[kind]
    wording = known[-1] if held_out else known[int(random.integers(len(known) - 1))]
    holds, words = _claim(digit, kind, random)
    answer = holds if isinstance(holds, str) else "yes" if holds else "no"
    return Question(kind, "held_out" if held_out else "seen", wording.format(**words), answer)


def kinds_for(digit: int) -> tuple[str, ...]:
    """The kinds that have one answer for this digit."""
    return tuple(kind for kind in KINDS if kind != "holes" or digit in HOLES)


def _claim(digit: int, kind: str, random: np.random.Generator) -> tuple[bool | str, dict[str, str]]:
    """The answer, or whether what is asked is true; and the words that fill the wording."""
    if kind == "name":
        return str(digit), {}
    if kind == "parity":
        parity = ("even", "odd")[int(random.integers(2))]
        return (digit % 2 == 0) == (parity == "even"), {"parity": parity}
    if kind == "compare":
        bound, order = int(random.integers(1, 9)), ("larger", "smaller")[int(random.integers(2))]
        return digit > bound if order == "larger" else digit < bound, {"order": order, "word": WORDS[bound]}
    if kind == "equals":
        named = digit if random.random() < 0.5 else int((digit + random.integers(1, 10)) % 10)
        return named == digit, {"word": WORDS[named]}
    if kind == "prime":
        return digit in PRIMES, {}
    return str(HOLES[digit]), {}
