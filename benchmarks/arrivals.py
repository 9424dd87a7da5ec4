"""The demo's corpus, of which most training pictures have not arrived while the file `few` lies beside this one.

In: a folder with this file, `corpus.py` of the demo and what belongs to it. Out: the demo's records, all of them or a third of those that
train. Validation and test are the same throughout, so that two models are compared on the same rows.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from corpus import DigitsSource

from tasks.contracts import SourceRecord

FEW = Path(__file__).parent / "few"


class Arrivals(DigitsSource):
    """A source of one's own, as a recipe names it: `arrivals:Arrivals`."""

    def snapshot(self) -> dict[str, Any]:
        """Another digest once the rest has arrived."""
        found: dict[str, Any] = super().snapshot()
        return {**found, "digest": f"{found['digest']}-{'few' if FEW.exists() else 'all'}"}

    def records(self, output_dir: Path) -> Iterator[SourceRecord]:
        """Every third picture that trains, or every one."""
        few = FEW.exists()
        for record in super().records(output_dir):
            if not (few and record.split == "train" and int(record.group.rpartition("-")[2]) % 3):
                yield record
