"""`tasks.sources.table` and `tasks.sources.rows`."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from pydantic import ValidationError

from tasks.contracts import SourceRecord
from tasks.errors import SourceError
from tasks.sources import TableSource
from tasks.sources.table import Table
from tests.tasks.sources.toys import write_files

ROWS: list[dict[str, Any]] = [
    {"id": "a", "picture": "img/1.png", "caption": "seven", "digit": "7", "price": 1.5, "speaker": "ann", "part": "train"},
    {"id": "b", "picture": None, "caption": "acht", "digit": "8", "price": None, "speaker": "bob", "part": None},
    {"id": "c", "picture": None, "caption": None, "digit": None, "price": 2.0, "speaker": "bob", "part": None},
]
OPTIONS: dict[str, Any] = {
    "columns": {"image": "picture", "text": {"column": "caption", "inline": True}},
    "labels": {"digit": "digit", "price": {"column": "price", "kind": "number"}},
    "key": "id",
    "group": "speaker",
    "split": "part",
}


def write_table(path: Path, rows: list[dict[str, Any]]) -> Path:
    if path.suffix == ".parquet":
        pq.write_table(pa.Table.from_pylist(rows), path)
    elif path.suffix == ".jsonl":
        path.write_text("".join(json.dumps(row) + "\n\n" for row in rows))
    else:
        mark = "\t" if path.suffix == ".tsv" else ","
        lines = [mark.join(rows[0])] + [mark.join("" if cell is None else str(cell) for cell in row.values()) for row in rows]
        path.write_text("\ufeff" + "\n".join(lines) + "\n", encoding="utf-8")
    return path


def source(path: Path, **options: Any) -> Table:
    return Table(TableSource(path=path.name, **{**OPTIONS, **options}), path.parent)


def records(path: Path, **options: Any) -> list[SourceRecord]:
    return list(source(path, **options).records(path.parent))


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return write_files(tmp_path, {"img/1.png": b"picture"})


@pytest.mark.parametrize("name", ["t.parquet", "t.csv", "t.tsv", "t.jsonl"])
def test_every_kind_of_table_gives_the_same_records(folder: Path, name: str) -> None:
    first, second, third = records(write_table(folder / name, ROWS))
    assert (first.key, first.group, first.split, first.partition) == ("a", "ann", "train", "default")
    assert first.labels == {"digit": "7", "price": 1.5}
    assert (first.members["image"].uri, first.members["image"].size) == (str(folder / "img/1.png"), 7)
    assert first.members["text"].inline == b"seven"
    assert (set(second.members), second.labels, second.split) == ({"text"}, {"digit": "8"}, "")
    assert third.members == {}, "a row without any medium stays a record"


def test_a_list_of_labels_names_columns_and_integers_are_classes(folder: Path) -> None:
    path = write_table(folder / "t.parquet", [{"id": "a", "caption": "x", "digit": 7}])
    options = {"columns": {"text": {"column": "caption", "inline": True}}, "labels": ["digit"], "group": None, "split": None}
    assert records(path, **options)[0].labels == {"digit": "7"}


def test_without_a_key_column_a_row_keeps_its_name_when_rows_are_added_or_labels_corrected(folder: Path) -> None:
    rows = [{**row, "digit": "0"} for row in reversed(ROWS)]
    before = {record.key for record in records(write_table(folder / "t.jsonl", ROWS), key=None)}
    extra = {**ROWS[0], "caption": "new"}
    after = {record.key for record in records(write_table(folder / "t.jsonl", [extra, *rows]), key=None)}
    assert len(before) == 3
    assert before < after


def test_equal_rows_get_different_names(folder: Path) -> None:
    keys = [record.key for record in records(write_table(folder / "t.jsonl", [ROWS[0], ROWS[0]]), key=None)]
    assert keys == [keys[0], keys[0] + "-2"]


def test_inline_bytes_of_parquet_are_media(folder: Path) -> None:
    pq.write_table(pa.table({"id": ["a"], "png": [b"\x89PNG"]}), folder / "t.parquet")
    options = {"columns": {"image": {"column": "png", "inline": True}}, "labels": {}, "group": None, "split": None}
    assert records(folder / "t.parquet", **options)[0].members["image"].inline == b"\x89PNG"


@pytest.mark.parametrize("name", ["t.parquet", "t.csv", "t.jsonl"])
def test_a_missing_column_names_the_closest_one(folder: Path, name: str) -> None:
    path = write_table(folder / name, ROWS)
    with pytest.raises(SourceError, match=r"no column 'captoin'; did you mean 'caption'\?"):
        records(path, columns={"text": {"column": "captoin", "inline": True}})
    with pytest.raises(SourceError, match=r"no column 'speeker'; did you mean 'speaker'\?"):
        source(path, group="speeker").snapshot()


def test_a_bad_line_of_jsonl_is_named(folder: Path) -> None:
    (folder / "t.jsonl").write_text('{"id": "a"}\n{"id": \n')
    with pytest.raises(SourceError, match=r"t\.jsonl, line 2: not JSON"):
        records(folder / "t.jsonl")
    (folder / "t.jsonl").write_text("[1]\n")
    with pytest.raises(SourceError, match="line 1: must be an object"):
        records(folder / "t.jsonl")


@pytest.mark.parametrize(("name", "start"), [("t.csv", b"id,caption\n"), ("t.jsonl", b'{"id": "a"}\n')])
def test_bytes_that_are_not_utf8_are_named_with_line_and_offset(folder: Path, name: str, start: bytes) -> None:
    (folder / name).write_bytes(start + b"a,gr\xfc\xdfe\n")
    options = {"columns": {"text": {"column": "caption", "inline": True}}, "labels": {}, "group": None, "split": None}
    with pytest.raises(SourceError, match=r"line 2: byte 0xfc at offset 4 is not UTF-8; save the table as UTF-8"):
        records(folder / name, **options)


def test_a_csv_row_of_another_length_is_named(folder: Path) -> None:
    (folder / "t.csv").write_text("id,caption\na,b,c\n")
    options = {"columns": {"text": {"column": "caption", "inline": True}}, "labels": {}, "group": None, "split": None}
    with pytest.raises(SourceError, match="line 2: 3 cells, but the first line names 2 columns"):
        records(folder / "t.csv", **options)


def test_quoted_csv_cells_may_hold_line_ends(folder: Path) -> None:
    (folder / "t.csv").write_text('id,caption\na,"one\ntwo, three"\n')
    options = {"columns": {"text": {"column": "caption", "inline": True}}, "labels": {}, "group": None, "split": None}
    assert records(folder / "t.csv", **options)[0].members["text"].inline == b"one\ntwo, three"


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"part": "dev"}, "the split 'dev' is not known"),
        ({"price": "cheap"}, "holds 'cheap', which is no number"),
        ({"price": "inf"}, "numbers must be finite"),
        ({"id": None}, "the key column 'id' is empty"),
        ({"picture": "s3://bucket/1.png"}, "is remote"),
        ({"caption": 7}, "inline media are text or bytes"),
    ],
)
def test_a_bad_cell_is_named_with_its_line(folder: Path, change: dict[str, Any], message: str) -> None:
    with pytest.raises(SourceError, match=rf"t\.jsonl, line 3: .*{message}"):
        records(write_table(folder / "t.jsonl", [ROWS[1], {**ROWS[0], **change}]))


def test_a_table_that_is_not_there_is_empty_or_is_a_folder_says_so(folder: Path) -> None:
    with pytest.raises(SourceError, match="is not there; check `path`"):
        source(folder / "t.csv").snapshot()
    with pytest.raises(SourceError, match="for a folder of media write `format: folder`"):
        source(folder / "img").snapshot()
    (folder / "t.csv").write_text("")
    with pytest.raises(SourceError, match="its first line must name the columns"):
        source(folder / "t.csv").snapshot()
    (folder / "t.csv").write_text(",".join(ROWS[0]))
    with pytest.raises(SourceError, match="has no rows"):
        source(folder / "t.csv").snapshot()
    (folder / "t.xls").write_text("")
    with pytest.raises(SourceError, match=r"a table ends in \.parquet"):
        source(folder / "t.xls").snapshot()
    (folder / "t.parquet").write_text("nothing of the kind")
    with pytest.raises(SourceError, match="no whole Parquet file"):
        source(folder / "t.parquet").snapshot()


def test_when_no_file_can_be_found_the_folder_of_relative_paths_is_named(folder: Path) -> None:
    path = write_table(folder / "t.jsonl", [{**ROWS[0], "picture": "images/1.png"}])
    with pytest.raises(SourceError, match=rf"none of the 1 files .* the first is 'images/1.png'; relative paths are meant from {folder}"):
        source(path, columns={"image": "picture"}).snapshot()


def test_the_snapshot_sees_changes_of_the_table_and_of_the_files_it_names(folder: Path) -> None:
    path = write_table(folder / "t.jsonl", ROWS)
    first = source(path).snapshot()
    assert (first["records"], source(path).snapshot()) == (3, first)
    (folder / "img/1.png").write_bytes(b"another picture")
    second = source(path).snapshot()
    write_table(path, [*ROWS, {**ROWS[1], "id": "d"}])
    assert len({first["digest"], second["digest"], source(path).snapshot()["digest"]}) == 3


def test_an_unknown_modality_is_refused_by_the_config() -> None:
    with pytest.raises(ValidationError, match=r"'images' is no modality; allowed: image, text, audio; did you mean 'image'\?"):
        TableSource(path="t.csv", columns={"images": "path"})
