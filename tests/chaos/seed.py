"""The seed of everything random in these tests: `MEDLEY_CHAOS_SEED=7 pytest tests/chaos/…` makes another choice, and repeats one.

Every failure says the seed that it happened with.
"""

from __future__ import annotations

import os

SEED = int(os.environ.get("MEDLEY_CHAOS_SEED", "0"))


def again(what: object) -> str:
    """What a failing test says."""
    return f"{what}; to see it again: MEDLEY_CHAOS_SEED={SEED}"
