"""`python -m tests.pipeline.keeping RECIPE …`: `medley schedule` whose lease falls silent in two seconds instead of thirty."""

from __future__ import annotations

import functools
import sys

from pipeline import leases


def main() -> int:
    """The verb, with the other pace."""
    leases.Pace = functools.partial(leases.Pace, beat_s=0.2, silence_s=2.0, look_s=0.05)  # type: ignore[assignment, misc]
    from pipeline.__main__ import main as medley

    return medley(["schedule", *sys.argv[1:]])


if __name__ == "__main__":
    sys.exit(main())
