"""Which of the other libraries are in the environment that a benchmark runs in.

In Medley's own none of them is, and nothing is shown of them; `benchmarks/peers/speed.sh` makes an environment that has both.
"""

from __future__ import annotations

import importlib.util
from collections.abc import Mapping
from typing import TypeVar

Way = TypeVar("Way")


def installed(ways: Mapping[str, tuple[str, Way]]) -> dict[str, Way]:
    """Name → way, of `name → (module it needs, way)`, as far as the modules are there."""
    return {name: way for name, (module, way) in ways.items() if importlib.util.find_spec(module)}
