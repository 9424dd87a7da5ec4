"""What moved, in sentences.

In: a comparison. Out: one headline, and a sentence or two a modality. Numbers are those of the comparison, rounded; nothing is judged here.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from tasks.drift.compare import Comparison, Finding
from tasks.drift.features import LABEL, named, unit_of
from tasks.evaluation.page import figures
from tasks.evaluation.page.document import listed

LARGE = 0.25
"""PSI from which a change is called large, by convention; from 0.1 it is moderate."""
MODERATE = 0.1
SHOWN = 3
"""Features that are told of a modality."""


def headline(comparison: Comparison) -> str:
    """One line."""
    moved = [_group(name) for name in comparison.moved]
    if not moved:
        return "Nothing moved"
    still = [_group(name) for name in comparison.groups if name not in comparison.moved]
    return f"{_capital(listed(moved))} moved" + (f"; {listed(still)} did not" if still else "")


def sentences(comparison: Comparison) -> list[str]:
    """One for each modality, those that moved most first, and one for what could not be compared."""
    order = [*comparison.moved, *(name for name in comparison.groups if name not in comparison.moved)]
    return [sentence(comparison, name) for name in order]


def sentence(comparison: Comparison, group: str) -> str:
    """What became of one modality, or of the labels."""
    tests = comparison.of(group)
    moved = [test for test in tests if test.moved]
    alpha, level = comparison.settings.alpha, comparison.settings.level
    if not moved:
        significant = [test for test in tests if test.p_corrected <= alpha]
        if significant:
            told = "; ".join(change(test) for test in significant[:SHOWN])
            return f"{_capital(_group(group))} moved by less than the level of {level:g}: {told}."
        least = min(test.p_corrected for test in tests)
        return f"{_capital(_group(group))} did not move ({_tests(len(tests))}, smallest corrected {figures.p_value(least)})."
    more = f"; and {len(moved) - SHOWN} more of its {_tests(len(tests))}" if len(moved) > SHOWN else ""
    return f"{_capital(_group(group))} moved ({size(comparison.effect(group))}): {'; '.join(change(test) for test in moved[:SHOWN])}{more}."


def change(test: Finding) -> str:
    """From what to what, and by how much."""
    return f"{described(test)} ({_effect(test)}, {figures.p_value(test.p_corrected)})"


def described(test: Finding) -> str:
    """From what to what."""
    name = named(test.feature)
    if "quantiles" in test.details:
        before, after = (levels[2] for levels in test.details["quantiles"])
        unit = f" {unit_of(test.feature)}" if unit_of(test.feature) else ""
        if figures.plain(before) == figures.plain(after):
            before, after = test.details["mean"]
            return f"{name} went from {figures.plain(before)} to {figures.plain(after)}{unit} on average"
        return f"{name} {'rose' if after > before else 'fell'} from {figures.plain(before)} to {figures.plain(after)}{unit} (medians)"
    if "shares" in test.details:
        return f"{name}: {_shares(test)}"
    return f"{name} {'differ' if name.endswith(('together', 'letters')) else 'differs'}"


def size(effect: float) -> str:
    """The usual word for a PSI."""
    return "large" if effect >= LARGE else "moderate" if effect >= MODERATE else "small"


def _shares(test: Finding) -> str:
    """The classes whose shares changed most."""
    shares = test.details["shares"]
    most = sorted(shares, key=lambda kind: -abs(shares[kind][1] - shares[kind][0]))[:2]
    if set(shares) == {"there", "missing"}:
        most = ["there"]
    return ", ".join(f"{kind} from {figures.percent(shares[kind][0])} to {figures.percent(shares[kind][1])}" for kind in most)


def _effect(test: Finding) -> str:
    return f"PSI {figures.plain(test.effect)}"


def _tests(number: int) -> str:
    return "1 test" if number == 1 else f"{number} tests"


def _group(name: str) -> str:
    return "labels" if name == LABEL else name


def _capital(text: str) -> str:
    return text[:1].upper() + text[1:]


def notes_of(facts: Sequence[tuple[str, Mapping[str, Any]]]) -> list[str]:
    """What could not be read, on either side."""
    return [
        f"{what}: {figures.count(fact['unusable'])} of the chosen samples have a member that cannot be used, such as {fact['examples'][0]}"
        for what, fact in facts
        if fact.get("unusable")
    ]
