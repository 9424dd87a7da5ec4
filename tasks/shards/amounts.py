"""How much of some shards a step will read, as far as it is known when planning.

In: the summary of a shards artifact, or the estimate in its place. Out: records and bytes, for `medley plan`. Imports nothing.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any


def amount(shards: Mapping[str, Any], splits: Sequence[str]) -> dict[str, int]:
    """Records of these splits, and their share of the bytes by number; empty while the splits are not known, before the corpus is made."""
    known = shards.get("splits")
    if not known:
        return {}
    records, total = sum(known.get(split, 0) for split in splits), sum(known.values())
    num_bytes = {"bytes": shards["bytes"] * records // total} if "bytes" in shards and total else {}
    return {"records": records, **num_bytes}
