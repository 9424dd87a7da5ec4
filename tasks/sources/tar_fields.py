"""What the small members of a sample in a tar say: labels, and the fields of its .json.

In: where a sample's members lie. Out: texts and numbers, read when they are asked for. UTF-8 and JSON are all that is ever decoded. A
member that is damaged is the record's fault (BadMember); one that says what the recipe can't mean is the recipe's (SourceError).
"""

from __future__ import annotations

import json
import math
import os
from collections.abc import Mapping
from typing import Any, BinaryIO

from tasks.errors import BadMember, SourceError
from tasks.sources.config import WebDatasetLabel
from tasks.sources.normalise import shown
from tasks.sources.tar_members import Member

JSON = "json"
MAX_LABEL_BYTES = 1 << 20


class Fields:
    """The small members of one sample, read when they are asked for."""

    def __init__(self, where: str, file: BinaryIO, sample: Mapping[str, Member]) -> None:
        self._where, self._file, self._sample = where, file, sample
        self._documents: dict[str, Any] = {}

    def label(self, label: WebDatasetLabel) -> str | float | None:
        """A class as text, a quantity as a number; None when the sample has none."""
        name = f".{label.extension}" + (f" field {label.field!r}" if label.field else "")
        value = self._field(label.extension.lower(), label.field) if label.field else self._text(label.extension.lower())
        if value is None or value == "":
            return None
        if isinstance(value, dict | list):
            raise SourceError(f"{self._where}: its {name} is {type(value).__name__}; a label is a text or a number")
        if label.kind == "category":
            return None if isinstance(value, float) and math.isnan(value) else str(value)
        try:
            number = float(value)
        except (ValueError, OverflowError) as error:
            raise SourceError(f"{self._where}: its {name} is {shown(value)}, which is no number") from error
        if math.isinf(number):
            raise SourceError(f"{self._where}: its {name} is {value!r}; numbers must be finite")
        return None if math.isnan(number) else number

    def text(self, field: str, *, needed: bool = False) -> str:
        """A field of the .json member; empty when there is none."""
        value = self._field(JSON, field)
        if needed and (value is None or value == ""):
            raise SourceError(f"{self._where} has no field {field!r} in a .json member, which is to be its key; give every sample one")
        return "" if value is None else str(value)

    def _field(self, extension: str, path: str) -> Any:
        value = self._document(extension)
        for name in path.split("."):
            value = value.get(name) if isinstance(value, dict) else None
        return value

    def _document(self, extension: str) -> Any:
        if extension not in self._documents:
            text = self._text(extension)
            try:
                self._documents[extension] = None if text is None else json.loads(text)
            except (ValueError, RecursionError) as error:
                raise BadMember("source/label", f"{self._where}: its .{extension} is not JSON: {error}") from error
        return self._documents[extension]

    def _text(self, extension: str) -> str | None:
        member = self._sample.get(extension)
        if member is None:
            return None
        if member.refused:
            raise BadMember(member.refused.reason, member.refused.why)
        if member.size > MAX_LABEL_BYTES:
            said = f"its .{extension} has {member.size} bytes; what labels are read from has at most {MAX_LABEL_BYTES}"
            raise BadMember("source/label", f"{self._where}: {said}")
        try:
            return os.pread(self._file.fileno(), member.size, member.offset).decode().strip()
        except UnicodeDecodeError as error:
            said = f"its .{extension} is not UTF-8 text, and nothing else is read as a label"
            raise BadMember("source/label", f"{self._where}: {said}") from error
