"""How many tokens, characters or words must be replaced, added or left out to make one sequence of another. Imports nothing of ours."""

from __future__ import annotations

from collections.abc import Hashable, Sequence


def edit_distance(one: Sequence[Hashable], other: Sequence[Hashable]) -> int:
    """Levenshtein's distance, the whole column of his table at once in the bits of two integers (Myers 1999, Hyyrö 2001).

    `rises` and `falls` have a bit for each place of `one`: whether the distance is one more, or one less, than at the place before.
    """
    if not one:
        return len(other)
    places: dict[Hashable, int] = {}
    for place, each in enumerate(one):
        places[each] = places.get(each, 0) | 1 << place
    everywhere, last = (1 << len(one)) - 1, 1 << len(one) - 1
    rises, falls, distance = everywhere, 0, len(one)
    for each in other:
        equal = places.get(each, 0)
        free = (((equal & rises) + rises) ^ rises) | equal | falls
        sideways_up = falls | (~(free | rises) & everywhere)
        sideways_down = rises & free
        distance += bool(sideways_up & last) - bool(sideways_down & last)
        sideways_up, sideways_down = (sideways_up << 1 | 1) & everywhere, (sideways_down << 1) & everywhere
        rises = sideways_down | (~(free | sideways_up) & everywhere)
        falls = sideways_up & free
    return distance
