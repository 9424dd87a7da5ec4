"""From log probabilities of classes at each step to a transcript: the likeliest path, or a search over transcripts. Must not import torch.

Class 0 is the blank: it says nothing, and between two equal classes it says that they are two (Graves et al. 2006).

Shape suffixes: T steps, K classes.
"""

from __future__ import annotations

import heapq
import math
from collections.abc import Callable

import numpy as np
import numpy.typing as npt

BLANK = 0
NEVER = -math.inf
NEGLIGIBLE = math.log(1e-4)
"""A class less likely than this does not begin anything in a step."""
LIKELIEST = 12
"""Nor do more classes than these, in a step that is unsure."""

Transcript = tuple[int, ...]
Bonus = Callable[[Transcript, int], float]
"""(what was said, the class that follows) → what is added to the score."""


def best_path(classes_T: list[int]) -> Transcript:
    """What the likeliest class at each step says: repetitions count once, blanks nothing."""
    before = [BLANK, *classes_T]
    return tuple(each for last, each in zip(before, classes_T, strict=False) if each not in (last, BLANK))


def prefix_beam_search(
    log_TK: npt.NDArray[np.floating], width: int, bonus: Bonus | None = None, end: Callable[[Transcript], float] | None = None
) -> Transcript:
    """The transcript whose paths together are likeliest, among those whose beginnings were never worse than `width` others.

    Of each beginning the chance to end in a blank and not to is kept apart (arXiv:1408.2873). `bonus` adds up over a transcript; `end` is
    added to whole ones.
    """
    beams: dict[Transcript, tuple[float, float]] = {(): (0.0, NEVER)}
    extras: dict[Transcript, float] = {(): 0.0}
    for log_K in log_TK:
        begun = [int(each) for each in np.argsort(-log_K, kind="stable")[: LIKELIEST + 1] if each != BLANK and log_K[each] > NEGLIGIBLE]
        values = log_K.tolist()
        grown: dict[Transcript, list[float]] = {}
        for said, (blank, other) in beams.items():
            both = _added(blank, other)
            stays = grown.setdefault(said, [NEVER, NEVER])
            stays[0] = _added(stays[0], both + values[BLANK])
            if said:
                stays[1] = _added(stays[1], other + values[said[-1]])
            for each in begun:
                longer = (*said, each)
                grows = grown.setdefault(longer, [NEVER, NEVER])
                grows[1] = _added(grows[1], (blank if said and said[-1] == each else both) + values[each])
                if bonus is not None and longer not in extras:
                    extras[longer] = extras[said] + bonus(said, each)
        scores = {said: _added(*chances) + extras.get(said, 0.0) for said, chances in grown.items()}
        kept = heapq.nlargest(width, scores, key=scores.__getitem__)
        beams = {said: (grown[said][0], grown[said][1]) for said in kept}
        extras = {said: extras.get(said, 0.0) for said in kept}
    finals = {said: _added(*chances) + extras[said] + (end(said) if end else 0.0) for said, chances in beams.items()}
    return max(finals, key=finals.__getitem__)


def _added(one: float, other: float) -> float:
    """log(exp(one) + exp(other))."""
    if one < other:
        one, other = other, one
    return one if other == NEVER else one + math.log1p(math.exp(other - one))
