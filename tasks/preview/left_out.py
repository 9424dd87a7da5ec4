"""Examples of what was left out: for every reason of the ledger a few records, with the file each came from.

In: the ledger, and the corpus where it is still in the store. Out: markup. Nothing of a record that was left out is put on the page as it
lies in its source: a picture is decoded, under limits far below the recipe's, and drawn anew; a text is decoded; what cannot be, is named
only. Records at which a decoder died or hung are never tried.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from tasks.errors import CorruptArtifact, InputError, RecordError, TaskError
from tasks.evaluation.page import figures
from tasks.evaluation.page.markup import Markup, join, shorten, tag
from tasks.evaluation.page.media import Preview, preview
from tasks.evaluation.page.members import Budget, sample_key
from tasks.modalities import MODALITIES
from tasks.shards.corpus import Corpus, read_source
from tasks.shards.reasons import meaning

STATUSES = ("quarantined", "filtered", "duplicate")
MAX_EXAMPLES = 3
MAX_SOURCE_BYTES = 4_000_000
"""Sources beyond it are not opened for an example."""
LIMITS: Mapping[str, Mapping[str, Any]] = {"image": {"max_pixels": 4_000_000, "max_side": 384, "keep": (), "svg_side": 384}, "text": {}}
"""Modality → the `prepare` under which an example is made anew. Others are not shown."""


@dataclass(frozen=True)
class Example:
    """A record that was left out."""

    key: str
    split: str
    detail: str
    files: tuple[str, ...]
    """Names of its source's files; empty when the corpus is gone."""
    previews: tuple[Preview, ...]


@dataclass(frozen=True)
class Reason:
    """Records that were left out for one reason."""

    status: str
    reason: str
    records: int
    examples: tuple[Example, ...]


def reasons(shards: Path, corpus: Corpus | None) -> list[Reason]:
    """By status, the commonest reason first."""
    ledger = pq.read_table(shards / "ledger.parquet", partitioning=None)
    found = []
    for status in STATUSES:
        rows = ledger.filter(pc.equal(ledger["status"], status))
        counted = sorted(pc.value_counts(rows["reason"]).to_pylist(), key=lambda item: (-item["counts"], str(item["values"])))
        for item in counted:
            first = rows.filter(pc.equal(rows["reason"], item["values"])).slice(0, MAX_EXAMPLES)
            examples = tuple(_example(row, corpus) for row in first.to_pylist())
            found.append(Reason(status, item["values"] or "", item["counts"], examples))
    return found


def corpus_of(shards: Path) -> Corpus | None:
    """The corpus that the shards were made from, when it lies in the same store."""
    key = json.loads((shards / "shards.json").read_bytes())["corpus"]
    folder = shards.parents[1] / key[:2] / key
    try:
        return Corpus.open(folder) if folder.is_dir() else None
    except (CorruptArtifact, InputError):
        return None


def section_of(found: Sequence[Reason], budget: Budget) -> Markup:
    """For each status the examples of all its reasons."""
    return join([_status(status, [one for one in found if one.status == status], budget) for status in STATUSES])


def _status(status: str, found: Sequence[Reason], budget: Budget) -> Markup | None:
    if not found:
        return None
    total = tag("span", f" {_records(sum(one.records for one in found))}", class_="soft")
    drawn = [_card(one, example, budget) for one in found for example in one.examples]
    return tag("div", tag("h3", status.capitalize(), total), tag("ul", drawn, class_="cards"), class_="block")


def _records(number: int) -> str:
    return f"{figures.count(number)} {'record' if number == 1 else 'records'}"


def _card(one: Reason, example: Example, budget: Budget) -> Markup:
    said = meaning(one.reason)
    words = [f"{said[:1].upper()}{said[1:]}."] if said else []
    words += [f"One of {_records(one.records)}."] if one.records > 1 else []
    media = tag("div", budget.elements(example.previews), class_="media") if example.previews else None
    files = [join(tag("dt", "file"), tag("dd", shorten(name, 120))) for name in example.files]
    return tag(
        "li",
        tag(
            "div",
            tag("p", tag("b", shorten(one.reason, 80) or "no reason given"), class_="said"),
            tag("p", " ".join(words), class_="small soft"),
        ),
        media,
        tag("p", shorten(example.detail, 300), class_="absent") if example.detail else None,
        tag("dl", tag("dt", "split"), tag("dd", example.split or figures.DASH), files, class_="facts"),
        sample_key(example.key),
        class_="card",
    )


def _example(row: Mapping[str, Any], corpus: Corpus | None) -> Example:
    copy = row["duplicate_of"]
    detail = f"a copy of {copy}" if copy else row["detail"] or ""
    source = _source(corpus, row["key"])
    files = tuple(Path(uri).name for modality in sorted(source) if (uri := source[modality]["uri"]))
    shown: tuple[Preview, ...] = ()
    if corpus is not None and not str(row["reason"]).startswith("decoder/"):
        shown = tuple(_made_anew(corpus.path, row["key"], source))
    return Example(row["key"], row["split"] or "", detail, tuple(dict.fromkeys(files)), shown)


def _source(corpus: Corpus | None, key: str) -> dict[str, dict[str, Any]]:
    """Modality → where the member of a record lies."""
    if corpus is None:
        return {}
    rows: pa.Table = corpus.table.filter(pc.equal(corpus.table["key"], key)).slice(0, 1)
    if not len(rows):
        return {}
    row = rows.to_pylist()[0]
    names = ("uri", "offset", "length", "inline", "size", "sha256")
    found = {modality: {name: row[f"{modality}.{name}"] for name in names} for modality in corpus.modalities}
    return {modality: place for modality, place in found.items() if place["sha256"] is not None or place["uri"] is not None}


def _made_anew(corpus: Path, key: str, source: Mapping[str, Mapping[str, Any]]) -> Iterator[Preview]:
    """The members that are harmless: whole, small, and encoded by us."""
    for modality, place in source.items():
        size = place["length"] if place["length"] is not None else place["size"]
        if modality not in LIMITS or place["sha256"] is None or (size or 0) > MAX_SOURCE_BYTES:
            continue
        entry = MODALITIES[modality]
        try:
            data = read_source(corpus, key, modality, place)
            yield preview(modality, entry.load().encode(data, entry.prepare(**LIMITS[modality])).data)
        except (RecordError, TaskError):
            continue  # bad, changed or gone: the card names it, and that is all there is to see
