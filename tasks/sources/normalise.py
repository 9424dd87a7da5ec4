"""A source's record made regular, or refused.

In: what a source said. Out: the same with a clean key and labels of exactly two types. Our own sources and users' own pass through here.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from numbers import Real
from typing import Any

from tasks.contracts import SPLITS, Locator, SourceRecord
from tasks.errors import LabelError, SourceError
from tasks.modalities import MODALITIES
from tasks.registry import closest
from tasks.shards.reasons import FORM

NAME = re.compile(r"[A-Za-z0-9_-]+")
"""Names of labels and partitions: both become parts of column and file names."""

MAX_SHOWN = 100


@dataclass(frozen=True, slots=True)
class Listed:
    """A regular record."""

    record: SourceRecord
    given_key: str
    """Its key as the source wrote it, for messages."""


def clean_key(key: str) -> str:
    """Only ASCII letters, digits, `_`, `-` and `/`: other ASCII becomes `_`, all else its code point in hex.

    Tar readers cut a key at its first dot, and not all of them read other alphabets.
    """
    key = re.sub(r"[^A-Za-z0-9_/\-]", lambda found: "_" if found[0] < "\x80" else f"u{ord(found[0]):x}", key)
    return re.sub(r"/{2,}", "/", key).strip("/")


def readable(text: str) -> str:
    """The same, with an escape for each half of a character, as JSON and names of files may hold and UTF-8 may not."""
    return text.encode("utf-8", "backslashreplace").decode()


def shown(value: Any) -> str:
    """A value as a message shows it."""
    text = readable(repr(value))
    return text if len(text) <= MAX_SHOWN else f"{text[:MAX_SHOWN]}… ({len(text)} characters)"


def normalise(record: Any) -> Listed:
    """The record with a clean key, group, labels and partition. SourceError or LabelError names what is wrong."""
    if not isinstance(record, SourceRecord):
        raise SourceError(f"the source gave a {type(record).__name__}; `records` must give tasks.contracts.SourceRecord")
    key = clean_key(record.key)
    if not key:
        raise SourceError(f"the source gave the key {record.key!r}; a key needs letters or digits")
    if record.split and record.split not in SPLITS:
        raise SourceError(f"the record {record.key!r} has the split {record.split!r}; allowed: {', '.join(SPLITS)}, or none")
    if not NAME.fullmatch(record.partition):
        raise SourceError(
            f"the record {record.key!r} has the partition {record.partition!r}; allowed are ASCII letters, digits, `_` and `-`"
        )
    if readable(record.group) != record.group:
        raise SourceError(f"the record {record.key!r} has the group {record.group!r}, which holds half a character; write it anew")
    for modality, locator in record.members.items():
        _check_member(record.key, modality, locator)
    regular = SourceRecord(
        key=key,
        members=dict(record.members),
        labels=_labels(record.key, record.labels),
        group=record.group or key,
        split=record.split,
        partition=record.partition,
    )
    return Listed(regular, readable(record.key))


def _check_member(key: str, modality: str, locator: Locator) -> None:
    if modality not in MODALITIES:
        allowed = ", ".join(MODALITIES)
        raise SourceError(f"the record {key!r} has a member {modality!r}; allowed: {allowed}{closest(modality, list(MODALITIES))}")
    if (locator.offset is None) != (locator.length is None) or (locator.offset or 0) < 0 or (locator.length or 0) < 0:
        raise SourceError(
            f"the {modality} of {key!r} has the byte range {locator.offset}, {locator.length}; give both or neither, from 0 up"
        )
    if locator.refused and not FORM.fullmatch(locator.refused):
        raise SourceError(f"the {modality} of {key!r} is refused for {locator.refused!r}; give a reason of the form family/word")
    if locator.inline is None and not locator.uri.startswith("/") and (not locator.uri or ".." in locator.uri.split("/")):
        raise SourceError(f"the {modality} of {key!r} is at {locator.uri!r}; give an absolute path, or one below the output folder")


def _labels(key: str, labels: Mapping[str, Any]) -> dict[str, str | float]:
    """Categories as str, numbers as float; empty and not-a-number are no label."""
    regular: dict[str, str | float] = {}
    for name, value in labels.items():
        if not NAME.fullmatch(name):
            raise LabelError(f"the label {name!r} of {key!r}: a label's name has ASCII letters, digits, `_` and `-` only")
        if isinstance(value, bool):
            value = str(value)
        if isinstance(value, str):
            if readable(value) != value:
                raise LabelError(f"the label {name!r} of {key!r} is {value!r}, which holds half a character; write it anew")
            if value:
                regular[name] = str(value)
        elif not isinstance(value, Real) or not _fits(value):
            raise LabelError(f"the label {name!r} of {key!r} is {shown(value)}; a label is a text or a finite number")
        elif not math.isnan(value):
            regular[name] = float(value)
    return regular


def _fits(value: Real) -> bool:
    """Not infinite, and not an integer beyond all floats. Not-a-number fits: it is no label."""
    try:
        return not math.isinf(float(value))
    except OverflowError:
        return False
