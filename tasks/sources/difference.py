"""How many records of a source are other than in a corpus.

In: records as the source lists them now, and the corpus of an earlier ingest. Out: a number: records that are new, gone, or whose labels
are others, or whose media have another place, size or modification time. No medium is opened. Must not import ray or torch.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq

from tasks.contracts import Locator
from tasks.sources.normalise import Listed

PLACE = ("uri", "offset", "length", "size", "mtime_ns")


def num_changed(listed: Iterable[Listed], corpus: Path | None) -> int:
    """New, altered and gone records together; without a corpus all are new."""
    before = _before(corpus) if corpus else {}
    changed = 0
    for one in listed:
        earlier = before.pop(one.record.key, None)
        changed += earlier is None or not _same(one, earlier)
    return changed + len(before)


def _before(corpus: Path) -> dict[str, dict[str, tuple[Any, ...]]]:
    """Key → modality → place, and under `""` the labels."""
    file = pq.ParquetFile(corpus / "records.parquet")
    names = file.schema_arrow.names
    modalities = sorted({name.split(".")[0] for name in names if name.endswith(".sha256")})
    labels = sorted(name for name in names if name.startswith("label."))
    columns = ["key", *labels, *(f"{modality}.{name}" for modality in modalities for name in (*PLACE, "sha256"))]
    found: dict[str, dict[str, tuple[Any, ...]]] = {}
    for batch in file.iter_batches(columns=columns):
        values = batch.to_pydict()
        for row, key in enumerate(values["key"]):
            members = {
                modality: tuple(values[f"{modality}.{name}"][row] for name in (*PLACE, "sha256"))
                for modality in modalities
                if any(values[f"{modality}.{name}"][row] is not None for name in ("uri", "size"))
            }
            members[""] = tuple((name.removeprefix("label."), values[name][row]) for name in labels if values[name][row] is not None)
            found[key] = members
    return found


def _same(one: Listed, earlier: dict[str, tuple[Any, ...]]) -> bool:
    record = one.record
    if set(record.members) != set(earlier) - {""} or tuple(sorted(record.labels.items())) != tuple(sorted(earlier[""])):
        return False
    return all(_in_place(locator, earlier[modality]) for modality, locator in record.members.items())


def _in_place(locator: Locator, earlier: tuple[Any, ...]) -> bool:
    """Where the source does not say size and time, the uri and the range decide; what lies in the table itself has a digest."""
    uri, offset, length, size, mtime_ns, sha256 = earlier
    if locator.inline is not None:
        return bool(hashlib.sha256(locator.inline).hexdigest() == sha256)
    if (locator.uri, locator.offset, locator.length) != (uri, offset, length):
        return False
    return locator.size in (0, size) and locator.mtime_ns in (0, mtime_ns)
