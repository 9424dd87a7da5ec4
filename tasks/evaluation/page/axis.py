"""From values to pixels: a linear scale with round ticks."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass

_ROUNDING = 12
"""An axis ends on a multiple of about a twelfth of its span, so that little of it stays empty."""


@dataclass(frozen=True)
class Axis:
    """Values `low..high` drawn from pixel `start` to pixel `end` (which may be the smaller, for y)."""

    low: float
    high: float
    start: float
    end: float

    def __call__(self, value: float) -> float:
        return self.start + (value - self.low) / (self.high - self.low) * (self.end - self.start)

    def ticks(self, about: int = 5) -> list[float]:
        """Round numbers inside the axis, 1, 2 or 5 times a power of ten apart."""
        step = _round_step((self.high - self.low) / max(1, about))
        first = math.ceil(self.low / step - 1e-9)
        last = math.floor(self.high / step + 1e-9)
        return [round(index * step, 12) for index in range(first, last + 1)]

    def tick_text(self, value: float, about: int = 5) -> str:
        step = _round_step((self.high - self.low) / max(1, about))
        decimals = max(0, -math.floor(math.log10(step) + 1e-9))
        return f"{value:,.{decimals}f}".replace("-", "\u2212")


def axis_over(values: Iterable[float], start: float, end: float, *, within: tuple[float, float] | None = None) -> Axis:
    """An axis that holds all finite values and ends on round numbers; `within` keeps it inside natural bounds."""
    finite = [value for value in values if math.isfinite(value)] or [0.0, 1.0]
    low, high = min(finite), max(finite)
    if high - low < 1e-12:
        pad = abs(high) * 0.1 or 0.5
        low, high = low - pad, high + pad
    step = _round_step((high - low) / _ROUNDING)
    low, high = math.floor(low / step + 1e-9) * step, math.ceil(high / step - 1e-9) * step
    if within is not None:
        low, high = max(low, within[0]), min(high, within[1])
    return Axis(low, high, start, end)


def _round_step(rough: float) -> float:
    power = 10.0 ** math.floor(math.log10(rough))
    return next((factor * power for factor in (1, 2, 5) if rough <= factor * power * 1.0001), 10 * power)
