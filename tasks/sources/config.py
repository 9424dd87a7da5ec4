"""Where raw records come from: what a recipe may say, and what a source of one's own must do.

In: YAML. Out: frozen configs and the `Source` protocol. Imports nothing heavy.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Literal, Protocol

from pydantic import Field, field_validator, model_validator

from tasks.contracts import Json, SourceRecord
from tasks.modalities import EXTENSIONS, MODALITIES
from tasks.registry import Config, closest


class Source(Protocol):
    """A list of records. `format: folder`, `table` and `webdataset` are ours; `format: "my_corpus:Mine"` is a class of your own.

    A class of your own is made as `Mine(config, base_dir)` and has a nested pydantic class `Config` with a field `format: str`; what
    the recipe says under `source:` is checked against it. `base_dir` is the recipe's folder, against which relative paths are meant.
    Nothing is read before `snapshot` or `records` is called.
    """

    def __init__(self, config: Any, base_dir: Path) -> None: ...

    def snapshot(self) -> dict[str, Json]:
        """What the records depend on, found fast: paths, sizes and modification times, no contents of media.

        `digest` (required) changes when any record may have changed, and enters the key of the corpus. `records` and `bytes`
        (optional) are the estimate that `medley plan` shows. `ignored` (optional) counts files that were left out, by extension;
        `left_out` (optional) does so by a reason in words. Raises SourceError when there is nothing to read, and says what to do.
        """

    def records(self, output_dir: Path) -> Iterator[SourceRecord]:
        """Every record once, in any order.

        A source that makes its media writes them below `output_dir` and gives relative uris, or byte ranges of one large file. Keys
        are unique; characters that a key must not have are replaced afterwards.
        """

    # Optional, asked before a run on several nodes:
    #
    # def places(self) -> Iterable[Path]
    #     The files and folders that every node must see. Without it the config's `path` counts, or the recipe's folder.


class FolderSource(Config):
    """A folder of media: files that share a path without its extension are one sample, folders are classes."""

    format: Literal["folder"] = "folder"
    path: str = Field(min_length=1)
    """The folder; relative to the recipe."""
    label: str | None = "label"
    """Name of the label that the first folder below `path` (or below the split's folder) gives; null = folders say nothing."""
    splits: bool = False
    """The folders at the top are `train`, `val` and `test`, and the classes are below them."""


class TableColumn(Config):
    """Where a table keeps one modality."""

    column: str
    """Name of the column."""
    inline: bool = False
    """The cell holds the text or the bytes themselves; else the path of a file, relative to the table's folder."""


class TableLabel(Config):
    """Where a table keeps one label."""

    column: str
    """Name of the column."""
    kind: Literal["category", "number"] = "category"
    """A class, or a quantity to predict."""


class TableSource(Config):
    """One Parquet, CSV, TSV or JSONL file with a row for each sample. An empty cell is an absent modality or label."""

    format: Literal["table"] = "table"
    path: str = Field(min_length=1)
    """The file; relative to the recipe. Its extension tells the format."""
    columns: dict[str, TableColumn] = Field(min_length=1)
    """Modality → column. A plain name is a column of paths; `{column: caption, inline: true}` holds the text itself."""
    labels: dict[str, TableLabel] = Field(default_factory=dict)
    """Label → column; a list names columns that are labels of the same name. `{column: price, kind: number}` is a quantity."""
    group: str | None = None
    """Column of what must not be parted by a split, such as a speaker or a patient."""
    split: str | None = None
    """Column with train, val or test; an empty cell is split by hash."""
    key: str | None = None
    """Column with a unique name for each sample; null = named after a hash of what its modalities' cells hold."""
    partition: str | None = None
    """Column whose values never share a shard."""

    @field_validator("columns", "labels", mode="before")
    @classmethod
    def _plain_names(cls, value: Any) -> Any:
        if isinstance(value, list | tuple):
            value = {name: name for name in value}
        if not isinstance(value, Mapping):
            return value
        return {name: {"column": column} if isinstance(column, str) else column for name, column in value.items()}

    @model_validator(mode="after")
    def _modalities(self) -> TableSource:
        for name in self.columns:
            if name not in MODALITIES:
                raise ValueError(f"columns: {name!r} is no modality; allowed: {', '.join(MODALITIES)}{closest(name, list(MODALITIES))}")
        return self

    def names(self) -> list[str]:
        """Every column that is read, each once."""
        used = [column.column for column in self.columns.values()]
        used += [label.column for label in self.labels.values()]
        used += [name for name in (self.group, self.split, self.key, self.partition) if name]
        return list(dict.fromkeys(used))


class WebDatasetLabel(Config):
    """Where the tars keep one label."""

    extension: str = Field("json", min_length=1)
    """Of the member that holds it: `cls` for a plain text, `json` for a field."""
    field: str | None = None
    """Field of a JSON member, dots leading inwards: `person.age`. Null = the whole member is the label."""
    kind: Literal["category", "number"] = "category"
    """A class, or a quantity to predict."""

    @model_validator(mode="after")
    def _field_of_json(self) -> WebDatasetLabel:
        if (self.field is None) == (self.extension.rpartition(".")[2] == "json"):
            wrong = "needs a `field`" if self.field is None else "has no fields; leave `field` out"
            raise ValueError(f"a member .{self.extension} {wrong}; `json.age` is short for the field age of .json, `cls` for all of .cls")
        return self


class WebDatasetSource(Config):
    """Tars in the manner of WebDataset: members that share a name up to its first dot are one sample. They are read where they lie."""

    format: Literal["webdataset"] = "webdataset"
    path: tuple[str, ...] = Field(min_length=1)
    """Tars, relative to the recipe: a path, a glob `tars/*.tar`, brace ranges `train-{000..012}.tar`, or a list of these."""
    columns: dict[str, tuple[str, ...]] = Field(default_factory=dict)
    """Modality → extension of its members, or a list of them; {} = by the usual extensions. `{image: seg.png}` reads `x.seg.png`."""
    labels: dict[str, WebDatasetLabel] = Field(default_factory=dict)
    """Label → where it is: `cls` (all of a member), `json.age` (a field of one), or `{field: age, kind: number}`."""
    group: str | None = None
    """Field of the .json member with what must not be parted by a split, such as a speaker."""
    split: str | dict[Literal["train", "val", "test"], str] | None = None
    """Field of the .json member with train, val or test; or split → pattern of tars' names, `{train: "*-train-*", test: "*-test-*"}`."""
    key: str | None = None
    """Field of the .json member with a unique name for each sample; null = its name in the tar."""
    tar_in_key: bool = False
    """Puts the tar's name before each key, for sets that begin to count anew in every tar."""

    @field_validator("path", mode="before")
    @classmethod
    def _one_path(cls, value: Any) -> Any:
        return [value] if isinstance(value, str) else value

    @field_validator("columns", mode="before")
    @classmethod
    def _one_extension(cls, value: Any) -> Any:
        if not isinstance(value, Mapping):
            return value
        return {name: [extension] if isinstance(extension, str) else extension for name, extension in value.items()}

    @field_validator("labels", mode="before")
    @classmethod
    def _short_labels(cls, value: Any) -> Any:
        if not isinstance(value, Mapping):
            return value
        return {name: _short(label) if isinstance(label, str) else label for name, label in value.items()}

    @model_validator(mode="after")
    def _modalities(self) -> WebDatasetSource:
        seen: dict[str, str] = {}
        for name, extensions in self.columns.items():
            if name not in MODALITIES:
                raise ValueError(f"columns: {name!r} is no modality; allowed: {', '.join(MODALITIES)}{closest(name, list(MODALITIES))}")
            for extension in extensions:
                if seen.setdefault(extension, name) != name:
                    raise ValueError(f"columns: .{extension} cannot be both {seen[extension]} and {name}")
        return self

    def modality_of(self) -> dict[str, str]:
        """Extension → modality."""
        if not self.columns:
            return dict(EXTENSIONS)
        return {extension.lower().lstrip("."): name for name, extensions in self.columns.items() for extension in extensions}


def _short(label: str) -> dict[str, str]:
    extension, _, field = label.lstrip(".").partition(".")
    return {"extension": extension, "field": field} if extension == "json" and field else {"extension": label.lstrip(".")}
