"""Who is who: digests of records, members and units.

In: content digests and what encoding them depends on. Out: names under which finished work is found again. Pure functions; any
change of what is hashed here makes all shards new, and raises the version of the task `shard`.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Codec:
    """All that the encoding of one modality depends on, besides the source bytes."""

    modality: str
    version: int
    """Of the modality's implementation."""
    prepare: Mapping[str, Any]
    fingerprint: str

    @property
    def id(self) -> str:
        """64 hex digits."""
        return digest("codec", self.modality, self.version, self.prepare, self.fingerprint)


@dataclass(frozen=True)
class Verdict:
    """A member at which decoders died: known by running into it, so it is remembered."""

    modality: str
    reason: str
    """`decoder/crashed` or `decoder/hung`."""
    detail: str = ""


def digest(*parts: Any) -> str:
    """SHA-256 of JSON-able parts, 64 hex digits."""
    text = json.dumps(parts, sort_keys=True, separators=(",", ":"), ensure_ascii=True)
    return hashlib.sha256(text.encode()).hexdigest()


def record_digest(key: str, members: Mapping[str, str], labels: Mapping[str, Any] | None = None) -> str:
    """Of a record's content: its key, the digest of each member to be prepared, and its labels where the tar holds them."""
    lines = ["record", key, *(f"{modality} {members[modality]}" for modality in sorted(members))]
    if labels is not None:
        lines.append(json.dumps(labels, sort_keys=True))
    return hashlib.sha256("\n".join(lines).encode()).hexdigest()


def member_key(codec_id: str, sha256: str) -> str:
    """Of one encoded member: what copies of it are found by."""
    return hashlib.sha256(f"member {codec_id} {sha256}".encode()).hexdigest()


def record_key(record: str, members: Iterable[str]) -> str:
    """Of one encoded record: its digest and its member keys, in order of modality."""
    return hashlib.sha256(f"encoded {record} {' '.join(members)}".encode()).hexdigest()


def unit_key(record_keys: Sequence[str], options: Mapping[str, Any], verdicts: Mapping[str, Verdict]) -> str:
    """Of one shard: its encoded records in order, how bad ones are treated, and the verdicts that hold for them (by record key)."""
    known = {name: [verdict.modality, verdict.reason] for name, verdict in verdicts.items()}
    return digest("unit", options, known, hashlib.sha256("".join(record_keys).encode()).hexdigest(), len(record_keys))
