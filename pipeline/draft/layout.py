"""How the data lies there: a folder of media or a table, and the `source:` that reads it.

In: a path a user gave. Out: a source config of `tasks.sources` with what it was guessed from, or a SourceError that says how to lay the
data out. Opens no media.
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pipeline.draft.columns import Column, look
from tasks.contracts import SPLITS, SourceRecord
from tasks.errors import SourceError
from tasks.sources.config import FolderSource, TableColumn, TableLabel, TableSource
from tasks.sources.folder import Folder
from tasks.sources.normalise import NAME
from tasks.sources.rows import FORMATS

SYNONYMS = {
    "training": "train",
    "valid": "val",
    "validation": "val",
    "dev": "val",
    "testing": "test",
    "eval": "test",
    "evaluation": "test",
}
MAX_LABELS = 3
"""Columns taken as labels when no name says which one is meant."""


@dataclass(frozen=True)
class Layout:
    """A source and what was seen."""

    source: Any
    """A FolderSource or a TableSource with an absolute path."""
    columns: tuple[Column, ...] = ()
    """Of a table, used or not."""
    notes: tuple[str, ...] = field(default=())
    """What a user should know about the guess."""


def find_layout(path: Path) -> Layout:
    """The source for a folder or a table. SourceError for what cannot be one."""
    path = path.absolute()
    if path.is_file():
        if path.suffix.lower() not in FORMATS:
            raise SourceError(f"{path} is a file and no table; give a folder, or a table that ends in {', '.join(FORMATS)}")
        return _table(path, look(path))
    if not path.is_dir():
        raise SourceError(f"{path} is not there; give a folder of media, or a table that names them")
    tables = sorted(file for file in path.iterdir() if file.suffix.lower() in FORMATS and file.is_file() and not file.name.startswith("."))
    columns = {table: look(table) for table in tables}
    usable = [table for table in tables if any(column.modality for column in columns[table])]
    if len(usable) > 1:
        listed = ", ".join(table.name for table in usable)
        raise SourceError(f"{path} holds several tables of samples ({listed}); give the one to read: medley init {usable[0]}")
    if usable:
        return _table(usable[0], columns[usable[0]])
    notes = [f"the table {table.name} names no media and was left out ({_seen(columns[table])})" for table in tables]
    return _folder(path, notes)


def _seen(columns: list[Column]) -> str:
    return "; ".join(f"{column.name}: {column.about}" for column in columns) or "it has no columns"


def _folder(root: Path, notes: list[str]) -> Layout:
    records = list(Folder(FolderSource(path=str(root), label=None), root).records(root))
    folders = [record.key.split("/")[:-1] for record in records]
    tops = {parts[0] if parts else "" for parts in folders}
    if tops <= set(SPLITS) and len(tops) > 1:
        notes.append(f"the folders {', '.join(sorted(tops))} are taken as splits")
        return _labelled(root, [parts[1:] for parts in folders], notes, splits=True)
    if len(tops) > 1 and tops <= {*SPLITS, *SYNONYMS}:
        moves = " && ".join(f"mv {top} {SYNONYMS[top]}" for top in sorted(tops - set(SPLITS)))
        raise SourceError(f"the folders {', '.join(sorted(tops))} in {root} look like splits, which are named {', '.join(SPLITS)}: {moves}")
    if len(tops) == 1 and "" not in tops:
        return _folder(root / tops.pop(), notes)
    _refuse_modalities_apart(root, records)
    return _labelled(root, folders, notes, splits=False)


def _labelled(root: Path, folders: list[list[str]], notes: list[str], *, splits: bool) -> Layout:
    sizes: dict[str, int] = defaultdict(int)
    for parts in folders:
        sizes[parts[0] if parts else ""] += 1
    classes = {name: number for name, number in sizes.items() if name}
    label = "label" if len(classes) > 1 and max(classes.values()) > 1 else None
    if label and sizes.get(""):
        notes.append(f"{sizes['']:,} samples lie in no class folder and have no label")
    if len(classes) > 1 and not label:
        notes.append("each folder holds one sample, so folders are not taken as classes")
    return Layout(FolderSource(path=str(root), label=label, splits=splits), notes=tuple(notes))


def _refuse_modalities_apart(root: Path, records: list[SourceRecord]) -> None:
    """`images/7.png` beside `texts/7.txt`: samples that no source would put together."""
    kinds: dict[str, set[str]] = defaultdict(set)
    stems: dict[str, set[str]] = defaultdict(set)
    for record in records:
        top, _, stem = record.key.partition("/")
        kinds[top] |= set(record.members)
        stems[top].add(stem)
    apart = len(kinds) > 1 and all(len(kind) == 1 for kind in kinds.values()) and len(set.union(*kinds.values())) == len(kinds)
    if apart and set.intersection(*stems.values()):
        named = ", ".join(f"{top} ({next(iter(kind))})" for top, kind in sorted(kinds.items()))
        raise SourceError(
            f"the folders of {root} hold one medium each: {named}; files of one sample belong side by side with one name, as in "
            "cat/07.png and cat/07.txt, or into the rows of a table"
        )


def _table(path: Path, columns: list[Column]) -> Layout:
    notes: list[str] = []
    media: dict[str, Column] = {}
    for column in columns:
        if column.modality and column.modality not in media:
            media[column.modality] = column
        elif column.modality:
            notes.append(
                f"the column {column.name!r} was left out: a sample has one {column.modality}, from {media[column.modality].name!r}"
            )
    if not media:
        raise SourceError(
            f"{path} has no column with paths of media, with media themselves or with free text; {_seen(columns)}. "
            f"Paths are meant from {path.parent}"
        )
    chosen = _labels(columns)
    return Layout(
        TableSource(
            path=str(path),
            columns={name: TableColumn(column=column.name, inline=column.role != "path") for name, column in media.items()},
            labels={_name(column.name): TableLabel(column=column.name, kind=_kind(column)) for column in chosen},
            group=_first(columns, "group"),
            split=_first(columns, "split"),
            key=_first(columns, "key"),
        ),
        tuple(columns),
        tuple(notes),
    )


def _labels(columns: list[Column]) -> list[Column]:
    """Columns to predict: those whose name says so, else the categories, else the numbers."""
    for wanted in (
        [column for column in columns if column.role in ("category", "number") and column.told],
        [column for column in columns if column.role == "category"][:MAX_LABELS],
        [column for column in columns if column.role == "number"][:MAX_LABELS],
    ):
        if wanted:
            return wanted
    return []


def _kind(column: Column) -> Any:
    return "number" if column.role == "number" else "category"


def _name(column: str) -> str:
    """A label's name: the column's, as far as a label may be called so."""
    return column if NAME.fullmatch(column) else "".join(letter if NAME.fullmatch(letter) else "_" for letter in column)


def _first(columns: list[Column], role: str) -> str | None:
    return next((column.name for column in columns if column.role == role), None)
