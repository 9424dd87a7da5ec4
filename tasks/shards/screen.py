"""What the corpus alone tells about records: copies of one another, and labels that cannot be learned.

In: a corpus. Out: the rows to leave out, with the reason for the ledger. Opens no source. Must not import ray or torch.
"""

from __future__ import annotations

import itertools
from collections import Counter
from collections.abc import Container, Mapping
from dataclasses import dataclass
from typing import Any

from tasks.errors import LabelError
from tasks.shards.corpus import Corpus, was_read

_SPLIT_RANK = {"test": 0, "val": 1, "train": 2}
_NUM_SHOWN = 5


@dataclass(frozen=True)
class Left:
    """A record that no shard gets."""

    status: str
    """duplicate or filtered."""
    reason: str
    detail: str = ""
    duplicate_of: str | None = None


def find_duplicates(corpus: Corpus) -> dict[int, Left]:
    """Rows whose members and labels are those of another row, by row. Of equal ones the copy in test stays, before val, before train, then
    the smallest key. Records with a member that could not be read, or with none, are never duplicates.
    """
    members = zip(*(corpus.digests(modality) for modality in corpus.modalities), strict=True)
    labels = zip(*(corpus.column(f"label.{name}") for name in corpus.labels), strict=True) if corpus.labels else itertools.repeat(())
    same: dict[tuple[Any, ...], list[int]] = {}
    for row, (sources, values) in enumerate(zip(members, labels, strict=False)):
        if any(sources) and all(source is None or was_read(source) for source in sources):
            same.setdefault((sources, values), []).append(row)
    left = {}
    for rows in same.values():
        if len(rows) == 1:
            continue
        kept, *others = sorted(rows, key=lambda row: (_SPLIT_RANK[corpus.splits[row]], corpus.keys[row]))
        for row in others:
            left[row] = Left("duplicate", "duplicate/exact", duplicate_of=corpus.keys[kept])
    return left


def check_labels(corpus: Corpus, left: Container[int], *, drop: bool) -> dict[int, Left]:
    """Rows of val and test with a category that no row of train has; all must be learnable unless `drop`.

    Raises LabelError. A corpus without training records (one for evaluation alone) is not checked.
    """
    rows = [row for row in range(corpus.num_records) if row not in left]
    if all(corpus.splits[row] != "train" for row in rows):
        return {}
    unseen: dict[int, Left] = {}
    problems = []
    for name, info in sorted(corpus.meta["labels"].items()):
        if info["kind"] != "category":
            continue
        values = corpus.column(f"label.{name}")
        seen = {values[row] for row in rows if corpus.splits[row] == "train"} | {None}
        strange = [row for row in rows if values[row] not in seen]
        unseen |= {row: Left("filtered", "label/unseen", f"{name} = {values[row]!r} is not in train") for row in strange}
        problems += unseen_labels(name, Counter((values[row], corpus.splits[row]) for row in strange))
    if problems and not drop:
        raise LabelError(
            "; ".join(problems)
            + "; add training records with these values, move the records, or set `unseen_labels: drop` to leave them out, or `keep` where "
            "the values are sets, tags or spans, which differ from sample to sample"
        )
    return unseen


def unseen_labels(name: str, counts: Mapping[tuple[str, str], int]) -> list[str]:
    """One sentence about a label with categories outside train, or none. `counts`: (value, split) → records."""
    if not counts:
        return []
    shown = [f"{value!r} ({count} in {split})" for (value, split), count in sorted(counts.items())[:_NUM_SHOWN]]
    more = f" and {len(counts) - _NUM_SHOWN} more" if len(counts) > _NUM_SHOWN else ""
    return [f"label {name!r} has values that no training record has: {', '.join(shown)}{more}"]
