"""Logged requests as records: what a model was asked in production, to be compared with what it was trained on.

In: a JSONL file, one request a line. Out: records. A line is

    {"time": "2026-03-01T09:30:00Z", "members": {"image": {"path": "7.png"}, "text": {"text": "a seven"}, "audio": {"base64": "UklGR…"}}}

`time` is ISO 8601 with a zone. A member is a `path` (relative to the log's folder), a `text`, or `base64`. `key` names the request
(default: its line), `group` what belongs together (a user, a session), `labels` what it turned out to be, where that is known. Other fields
(answers, latencies) are for others and are left alone. Must not import torch.
"""

from __future__ import annotations

import base64
import binascii
import json
from collections.abc import Iterator, Mapping
from datetime import datetime
from pathlib import Path
from typing import Any

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field, ValidationError, model_validator

from tasks.contracts import Locator, SourceRecord
from tasks.errors import InputError
from tasks.modalities import MODALITIES
from tasks.registry import Config, closest


class LoggedMember(Config):
    """What was sent of one modality: one of the three."""

    path: str | None = Field(default=None, min_length=1)
    """A file, relative to the log's folder."""
    text: str | None = None
    """The text itself."""
    base64: str | None = None
    """The bytes themselves, in base64 (RFC 4648)."""

    @model_validator(mode="after")
    def _one(self) -> LoggedMember:
        given = [name for name in ("path", "text", "base64") if getattr(self, name) is not None]
        if len(given) != 1:
            raise ValueError(f"a member has one of path, text and base64; given: {', '.join(given) or 'none'}")
        return self

    def locator(self, folder: Path, encoding: str) -> Locator:
        """Where its bytes are; a text's in the encoding that its `prepare` reads."""
        if self.path is not None:
            return Locator(uri=str((folder / self.path).absolute()))
        if self.text is not None:
            return Locator(inline=self.text.encode(encoding, "replace"))
        try:
            return Locator(inline=base64.b64decode(self.base64 or "", validate=True))
        except binascii.Error as error:
            raise ValueError(f"base64: {error}") from error


class LoggedRequest(BaseModel):
    """One line of the log."""

    model_config = ConfigDict(frozen=True, extra="ignore", allow_inf_nan=False)

    time: AwareDatetime
    """When it came, with its zone."""
    members: dict[str, LoggedMember] = Field(min_length=1)
    """Modality → what was sent of it."""
    key: str = ""
    """A name of its own; empty = its line."""
    group: str = ""
    """What belongs together, such as a user or a session; empty = it stands alone."""
    labels: dict[str, str | float] = Field(default_factory=dict)
    """What it turned out to be."""


def read_requests(path: Path, since: datetime | None = None, encoding: str = "utf-8") -> tuple[list[SourceRecord], dict[str, Any]]:
    """Every request of a log, those before `since` left out, and from when to when they are. InputError names file and line."""
    records, times = [], []
    for number, text in _lines(path):
        request = _request(text, f"{path}:{number}")
        if since is not None and request.time < since:
            continue
        try:
            members = {name: member.locator(path.parent, encoding) for name, member in request.members.items()}
        except ValueError as error:
            raise InputError(f"{path}:{number}: {error}; write the bytes anew, or take the line out") from error
        key = request.key or f"line-{number}"
        records.append(SourceRecord(key=key, members=members, labels=request.labels, group=request.group or key))
        times.append(request.time)
    if not records:
        after = f" since {since.isoformat()}" if since else ""
        raise InputError(f"{path} has no request{after}; give a log with one JSON object a line")
    return records, {"first": min(times).isoformat(), "last": max(times).isoformat()}


def is_log(path: Path) -> bool:
    """Is a .jsonl file a log of requests? By its first line: requests have `members`, rows of a table do not."""
    for _, text in _lines(path):
        try:
            first = json.loads(text)
        except ValueError:
            return True  # reading it says what is wrong, and where
        return isinstance(first, Mapping) and "members" in first
    return True  # an empty file is told by reading it


def _lines(path: Path) -> Iterator[tuple[int, str]]:
    try:
        with path.open(encoding="utf-8") as file:
            for number, line in enumerate(file, 1):
                if line.strip():
                    yield number, line
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"the log {path} cannot be read ({error}); give a file of JSON lines in UTF-8") from error


def _request(text: str, where: str) -> LoggedRequest:
    try:
        given = json.loads(text)
    except ValueError as error:
        raise InputError(f"{where}: not a JSON object ({error}); each line is one request") from error
    if not isinstance(given, Mapping):
        raise InputError(f"{where}: not a JSON object but {type(given).__name__}; each line is one request")
    try:
        request = LoggedRequest.model_validate(given)
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        place = ".".join(map(str, first["loc"])) or "the request"
        example = '{"time": "2026-03-01T09:30:00Z", "members": {"text": {"text": "a seven"}}}'
        raise InputError(f"{where}: {place}: {first['msg']}; a request looks like {example}") from error
    for name in request.members:
        if name not in MODALITIES:
            allowed = ", ".join(MODALITIES)
            raise InputError(f"{where}: members.{name}: no modality; allowed: {allowed}{closest(name, list(MODALITIES))}")
    return request
