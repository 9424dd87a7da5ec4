"""Labels whose text has parts: a set of classes, tags in a row, spans of a recording. In: the text of one label. Out: its parts.

`PARTS` is the table: the kind of a described label → what takes a text apart. What cannot be taken apart is a ValueError that says what is
allowed. Imports nothing heavy, since configs of heads find their classes with it.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from typing import Any, NamedTuple

_SPAN = re.compile(r"(\d+(?:\.\d+)?|\.\d+)\s*-\s*(\d+(?:\.\d+)?|\.\d+)\s+(\S.*)")


class Span(NamedTuple):
    """A part of a recording."""

    name: str
    """Its class."""
    start: float
    end: float


def set_parts(text: str, info: Mapping[str, Any]) -> list[str]:
    """The classes that a text lists, each once, in its order; none for an empty text."""
    return list(dict.fromkeys(name for part in text.split(info["separator"]) if (name := part.strip())))


def tag_parts(text: str, info: Mapping[str, Any]) -> list[str]:  # noqa: ARG001 - the signature of every kind
    """Tags with white space between them."""
    return text.split()


def span_parts(text: str, info: Mapping[str, Any]) -> list[Span]:
    """Spans as `1.5-3 speech; 4-4.5 bell`: start, end, class. In seconds, or in shares of the recording where `info` has no `token_s`."""
    return [_span(part.strip(), info) for part in text.split(";") if part.strip()]


def _span(part: str, info: Mapping[str, Any]) -> Span:
    found = _SPAN.fullmatch(part)
    if found is None:
        raise ValueError(f"{part!r} is no span; write start, end and class, with `;` between spans, as in `1.5-3 speech; 4-4.5 bell`")
    span = Span(found[3], float(found[1]), float(found[2]))
    if span.start >= span.end:
        raise ValueError(f"{part!r} ends at {found[2]}, which is not after its start; the end is the second number")
    if info.get("token_s") is None and span.end > 1:
        raise ValueError(
            f"{part!r} ends at {found[2]}, and shares of a recording are from 0 to 1; where they are seconds, set `token_s` of the head"
        )
    return span


PARTS: dict[str, Callable[[str, Mapping[str, Any]], list[Any]]] = {"set": set_parts, "tags": tag_parts, "spans": span_parts}


def classes_of(texts: Iterable[str], info: Mapping[str, Any]) -> list[str]:
    """All classes that some texts name, sorted. What cannot be taken apart names none here: `label_arrays.check_texts` tells its sample."""
    return sorted({name for text in texts for name in _names(text, info)})


def class_counts(counts: Mapping[str, int], info: Mapping[str, Any]) -> dict[str, int]:
    """Class → how many samples name it. `counts`: text → samples that have it."""
    found: Counter[str] = Counter()
    for text, count in counts.items():
        for name in set(_names(text, info)):
            found[name] += count
    return dict(sorted(found.items()))


def _names(text: str, info: Mapping[str, Any]) -> list[str]:
    try:
        return [part.name if isinstance(part, Span) else part for part in PARTS[info["kind"]](text, info)]
    except ValueError:
        return []
