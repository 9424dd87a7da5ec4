"""How large the media of a corpus are, from the headers of a few.

In: locators. Out: for each modality what its `prepare` and `read` should be, with the reason. Decodes nothing.
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from tasks.contracts import Locator
from tasks.errors import BadMember

NUM_LOOKED_AT = 64
"""Members of each modality."""
MAX_BYTES = 50_000_000
"""Larger ones are not opened."""
MAX_PIXELS = 1_000_000_000

SIDES = (32, 64, 96, 128)
"""Sides of pictures that train in good time on a CPU."""


@dataclass(frozen=True)
class Reading:
    """What a recipe should say of one modality."""

    seen: str
    """For the recipe's comment."""
    prepare: dict[str, Any]
    fit: dict[str, Any]
    read: dict[str, Any]
    why: str = ""
    """Of `read`."""
    unreadable: int = 0
    """Of those looked at."""


def examine(modality: str, locators: Sequence[Locator], total: int) -> Reading:
    """Look at a few members spread over all. `total` is how many there are in the corpus."""
    step = max(1, len(locators) // NUM_LOOKED_AT)
    found, unreadable = [], 0
    for locator in locators[::step][:NUM_LOOKED_AT]:
        try:
            found.append(MEASURES[modality](_content(locator)))
        except (BadMember, OSError):
            unreadable += 1
    if not found:
        return Reading(f"none of the {unreadable} looked at could be read", {}, {}, {}, unreadable=unreadable)
    return replace(READINGS[modality](found, total), unreadable=unreadable)


def _content(locator: Locator) -> bytes:
    if locator.inline is not None:
        return locator.inline
    path = Path(locator.uri)
    if path.stat().st_size > MAX_BYTES:
        raise BadMember("too_large", f"{path} is not opened for a look")
    with path.open("rb") as file:
        file.seek(locator.offset or 0)
        return file.read(locator.length if locator.length is not None else -1)


def _image(data: bytes) -> tuple[int, int, bool]:
    from tasks.modalities.image_header import open_image

    header = open_image(data, MAX_PIXELS)
    sides = (header.width, header.height) if header.turned else (header.height, header.width)
    return (*sides, header.image.mode in ("1", "L", "I", "I;16", "F"))


def _images(found: list[tuple[int, int, bool]], _total: int) -> Reading:
    height, width = (round(statistics.median(sizes[axis] for sizes in found)) for axis in (0, 1))
    side = max(height, width)
    grey = all(sizes[2] for sizes in found)
    size = [_up(height, 8), _up(width, 8)] if side < SIDES[0] else [max(each for each in SIDES if each <= side)] * 2
    prepare = {"max_side": 256} if side > 256 else {}
    seen = f"{'grey, ' if grey else ''}{height} x {width} pixels (median height x width of {len(found)})"
    why = "height and width for the model; 224 wants a GPU" if side > max(SIDES) else "height and width for the model"
    return Reading(seen, prepare, {}, {"size": size, **({"channels": 1} if grey else {})}, why)


def _audio(data: bytes) -> tuple[int, float]:
    from tasks.modalities.audio_header import read_header

    header = read_header(data)
    return header.rate_hz, header.seconds


def _audios(found: list[tuple[int, float]], _total: int) -> Reading:
    rate = statistics.mode(rate for rate, _ in found)
    seconds = _high([seconds for _, seconds in found])
    read: dict[str, Any] = {"features": "log_mel", "rate_hz": min(rate, 16_000)}
    if rate < 16_000:
        read["num_mels"] = 40
    read["max_seconds"] = min(30.0, math.ceil(2 * seconds) / 2 or 0.5)
    seen = f"{rate:,} Hz, most of them up to {seconds:.1f} s ({len(found)} looked at)"
    return Reading(seen, {}, {}, read, "longer ones are cut")


def _text(data: bytes) -> int:
    return len(data)


def _texts(found: list[int], total: int) -> Reading:
    size = _high(found)
    tokens = min(512, max(16, 1 << max(0, math.ceil(size / 3) - 1).bit_length()))
    corpus = statistics.mean(found) * total
    vocabulary = next((entries for limit, entries in ((100_000, 512), (1_000_000, 2048)) if corpus < limit), 8192)
    seen = f"most of them up to {size:,.0f} bytes ({len(found)} looked at)"
    return Reading(seen, {}, {"tokenizer": "bpe", "vocab_size": vocabulary}, {"max_tokens": tokens}, "longer ones are cut")


def _high(values: Sequence[float]) -> float:
    """The value that 95 % do not exceed."""
    return sorted(values)[math.ceil(0.95 * len(values)) - 1]


def _up(value: int, multiple: int) -> int:
    return max(multiple, -(-value // multiple) * multiple)


MEASURES: dict[str, Any] = {"image": _image, "audio": _audio, "text": _text}
READINGS: dict[str, Callable[[Any, int], Reading]] = {"image": _images, "audio": _audios, "text": _texts}
