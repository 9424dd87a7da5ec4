"""How numbers are written: percent, points, counts, bytes, intervals. None is an en dash."""

from __future__ import annotations

import math
from collections.abc import Sequence

NARROW = "\u202f"
MINUS = "\u2212"
DASH = "\u2013"


def percent(share: float | None, decimals: int = 1) -> str:
    return DASH if _absent(share) else f"{100 * float(share or 0):.{decimals}f}{NARROW}%"


def signed(value: float | None, decimals: int = 1, unit: str = "") -> str:
    """With its sign, a true minus; +0.0 and -0.0 lose theirs."""
    if value is None or _absent(value):
        return DASH
    text = f"{abs(value):.{decimals}f}"
    sign = "" if float(text) == 0 else ("+" if value > 0 else MINUS)
    return f"{sign}{text}{unit}"


def points(difference: float | None) -> str:
    """A difference of shares in percentage points, without the word."""
    return DASH if difference is None else signed(100 * difference)


def percent_range(bounds: Sequence[float] | None) -> str:
    return DASH if bounds is None else f"{100 * bounds[0]:.1f} {DASH} {100 * bounds[1]:.1f}{NARROW}%"


def points_range(bounds: Sequence[float] | None) -> str:
    return DASH if bounds is None else f"{points(bounds[0])} to {points(bounds[1])}"


def plain(value: float | None) -> str:
    """Three significant digits, without an exponent where a person would not write one."""
    if value is None or _absent(value):
        return DASH
    if value == 0:
        return "0"
    size = math.floor(math.log10(abs(value)))
    if size >= 6 or size < -4:
        return f"{value:.2e}".replace("-", MINUS)
    text = f"{value:,.{max(0, 2 - size)}f}"
    return text.replace("-", MINUS)


def plain_range(bounds: Sequence[float] | None) -> str:
    return DASH if bounds is None else f"{plain(bounds[0])} {DASH} {plain(bounds[1])}"


def plain_span(bounds: Sequence[float] | None) -> str:
    """Of a difference, whose minus a dash would hide."""
    return DASH if bounds is None else f"{plain(bounds[0])} to {plain(bounds[1])}"


def p_value(p: float) -> str:
    """Two significant digits; a very small one only as a bound."""
    return "p < 0.0001" if p < 0.0001 else f"p = {p:.2g}"


def count(number: float | None) -> str:
    return DASH if number is None else f"{int(number):,}"


def num_bytes(size: float | None) -> str:
    if size is None:
        return DASH
    for unit in ("B", "kB", "MB", "GB", "TB"):
        if size < 1000 or unit == "TB":
            return f"{size:.0f}{NARROW}{unit}" if unit == "B" or size >= 100 else f"{size:.1f}{NARROW}{unit}"
        size /= 1000
    return DASH


def modality_words(subset: str) -> str:
    """`audio+image+text` → `audio + image + text`."""
    return " + ".join(subset.split("+"))


def _absent(value: float | None) -> bool:
    return value is None or not math.isfinite(value)
