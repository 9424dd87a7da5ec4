"""Tables of what cannot work together: when a row applies, and what is then said. In: a config. Out: sentences. Imports no torch."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any, Generic, NamedTuple, TypeVar

Given = TypeVar("Given")


class Row(NamedTuple, Generic[Given]):
    """One combination."""

    applies: Callable[[Given], bool | list[dict[str, Any]]]
    """Whether it is there; or, for each of those that are, the names that its sentence has."""
    sentence: str
    """What is wrong and what to do."""


def told(rows: Iterable[Row[Given]], config: Given, /, **always: Any) -> list[str]:
    """A sentence for each combination that is there. `always`: names that every sentence has."""
    sentences: list[str] = []
    for row in rows:
        found = row.applies(config)
        names: Iterable[Mapping[str, Any]] = [{}] if found is True else found or ()
        sentences += [row.sentence.format(**always, **each) for each in names]
    return sentences


def listed(names: Iterable[str]) -> str:
    """In the order given, `none` for none."""
    return ", ".join(names) or "none"
