"""How data lies there, and what is said when it lies so that nothing could read it."""

from __future__ import annotations

from pathlib import Path

import pytest

from pipeline.draft.layout import find_layout
from tasks.errors import SourceError
from tasks.sources.config import FolderSource, TableSource
from tests.pipeline.draft.corpora import classes, picture, put, spoken, table


def test_folders_are_classes(tmp_path: Path) -> None:
    assert find_layout(classes(tmp_path)).source == FolderSource(path=str(tmp_path), label="label", splits=False)


def test_folders_that_are_named_after_splits_are_splits(tmp_path: Path) -> None:
    for split in ("train", "test"):
        classes(tmp_path, prefix=f"{split}__", number=3)
    layout = find_layout(tmp_path)
    assert layout.source == FolderSource(path=str(tmp_path), label="label", splits=True)
    assert layout.notes == ("the folders test, train are taken as splits",)


def test_folders_that_look_like_splits_are_told_with_the_commands_that_rename_them(tmp_path: Path) -> None:
    for split in ("training", "valid", "test"):
        classes(tmp_path, prefix=f"{split}__", number=2)
    with pytest.raises(SourceError, match="look like splits, which are named train, val, test: mv training train && mv valid val"):
        find_layout(tmp_path)


def test_a_folder_that_holds_everything_is_gone_into(tmp_path: Path) -> None:
    classes(tmp_path, prefix="data__images__", number=3)
    assert find_layout(tmp_path).source.path == str(tmp_path / "data" / "images")


def test_samples_beside_the_classes_are_noted(tmp_path: Path) -> None:
    put(classes(tmp_path, number=3), stray_png=picture(200))
    layout = find_layout(tmp_path)
    assert layout.source.label == "label"
    assert layout.notes == ("1 samples lie in no class folder and have no label",)


def test_a_folder_for_each_sample_is_no_class(tmp_path: Path) -> None:
    classes(tmp_path, [f"s{number}" for number in range(5)], number=1)
    layout = find_layout(tmp_path)
    assert layout.source.label is None
    assert layout.notes == ("each folder holds one sample, so folders are not taken as classes",)


def test_media_of_one_sample_in_folders_apart_are_told(tmp_path: Path) -> None:
    put(tmp_path, images__7_png=picture(1), images__8_png=picture(2), texts__7_txt="seven", texts__8_txt="eight")
    with pytest.raises(
        SourceError, match=r"hold one medium each: images \(image\), texts \(text\); files of one sample belong side by side"
    ):
        find_layout(tmp_path)


def test_a_table_in_a_folder_is_read_when_it_names_media(tmp_path: Path) -> None:
    table(tmp_path / "pets.csv", spoken(tmp_path))
    source = find_layout(tmp_path).source
    assert isinstance(source, TableSource)
    assert {name: (column.column, column.inline) for name, column in source.columns.items()} == {
        "image": ("picture", False),
        "text": ("caption", True),
    }
    assert {name: label.kind for name, label in source.labels.items()} == {"species": "category", "price": "number"}
    assert (source.group, source.key, source.split) == ("speaker", "sample_id", None)


def test_a_table_that_names_no_media_is_noted_and_left_out(tmp_path: Path) -> None:
    table(classes(tmp_path, number=3) / "notes.csv", [{"who": "me", "n": number} for number in range(3)])
    layout = find_layout(tmp_path)
    assert isinstance(layout.source, FolderSource)
    assert layout.notes[0].startswith("the table notes.csv names no media and was left out (who: me in every row; n: numbers from 0 to 2)")


def test_of_several_tables_one_must_be_named(tmp_path: Path) -> None:
    rows = spoken(tmp_path)
    table(tmp_path / "a.csv", rows)
    other = table(tmp_path / "b.jsonl", rows)
    with pytest.raises(SourceError, match=r"several tables of samples \(a.csv, b.jsonl\); give the one to read: medley init .*a.csv"):
        find_layout(tmp_path)
    assert find_layout(other).source.path == str(other)


def test_a_table_without_media_says_what_its_columns_look_like(tmp_path: Path) -> None:
    path = table(tmp_path / "t.csv", [{"image": f"gone/{number}.png", "x": number} for number in range(5)])
    with pytest.raises(SourceError, match=r"image: names image files, but 'gone/0.png' is not below .*; x: numbers from 0 to 4"):
        find_layout(path)


def test_a_label_is_named_as_a_label_may_be(tmp_path: Path) -> None:
    rows = [{"text": f"some free text {number}", "the class": "ab"[number % 2]} for number in range(20)]
    source = find_layout(table(tmp_path / "t.jsonl", rows)).source
    assert {name: label.column for name, label in source.labels.items()} == {"the_class": "the class"}


@pytest.mark.parametrize(
    ("name", "said"),
    [("", "holds no file to read"), ("nowhere", "is not there; give a folder of media"), ("a.pdf", "is a file and no table")],
)
def test_what_cannot_be_read_is_told(tmp_path: Path, name: str, said: str) -> None:
    (tmp_path / "a.pdf").write_text("x")
    with pytest.raises(SourceError, match=said):
        find_layout(tmp_path / name)
