"""Columns and what they are taken for."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from pipeline.draft.columns import look
from tasks.errors import SourceError
from tests.pipeline.draft.corpora import picture, sound, table


def role(tmp_path: Path, name: str, cells: list[Any]) -> tuple[str, str]:
    (column,) = look(table(tmp_path / "t.jsonl", [{name: cell} for cell in cells]))
    return column.role, column.about


@pytest.mark.parametrize(
    ("name", "cells", "expected"),
    [
        ("part", ["train", "test", "train"], ("split", "train (2), test (1)")),
        ("uid", ["a", "b", "c"], ("key", "another value in every row")),
        ("patient", ["a", "b", "c", "a"], ("group", "3 values in 4 rows")),
        ("mood", ["up", "down", "up"] * 4, ("category", "up (8), down (4)")),
        ("grade", [1, 2, 3, 2] * 4, ("category", "whole numbers: 2 (8), 1 (4), 3 (4)")),
        ("ok", [True, False] * 5, ("category", "True (5), False (5)")),
        ("depth", [0.5, 2.0, 1.25], ("number", "numbers from 0.5 to 2")),
        ("depth", ["0.5", "2", "1.25"], ("number", "numbers from 0.5 to 2")),
        ("said", ["one two three", "four five six", "seven eight nine"], ("text", "free text, 3 words on average")),
        ("void", [None, "", None], ("nothing", "empty")),
        ("many", [[1], [2]], ("nothing", "holds list")),
        (
            "url",
            ["http://x/a.png", "http://x/b.png"],
            ("nothing", "addresses such as http://x/a.png; fetch the files and give their paths"),
        ),
    ],
)
def test_values_tell_what_a_column_is(tmp_path: Path, name: str, cells: list[Any], expected: tuple[str, str]) -> None:
    assert role(tmp_path, name, cells) == expected


def test_bytes_in_parquet_are_media_when_they_begin_like_them(tmp_path: Path) -> None:
    columns = {"a": [picture(1), picture(2)], "b": [sound(1), None], "c": [b"??", b"!!"]}
    pq.write_table(pa.table(columns), tmp_path / "t.parquet")
    assert [(column.role, column.modality) for column in look(tmp_path / "t.parquet")] == [
        ("inline", "image"),
        ("inline", "audio"),
        ("nothing", ""),
    ]


def test_paths_are_told_from_other_text_by_the_files_being_there(tmp_path: Path) -> None:
    (tmp_path / "a.WAV").write_bytes(sound(1))
    assert role(tmp_path, "clip", ["a.WAV", None]) == ("path", "paths of .wav files")
    assert role(tmp_path, "clip", ["b.wav"])[1].startswith("names audio files, but 'b.wav' is not below")


@pytest.mark.parametrize(("name", "content"), [("t.parquet", b"PAR?"), ("t.jsonl", b"{"), ("t.csv", b"a,b\n1\n"), ("t.csv", b"\xff\xfe")])
def test_a_table_that_is_damaged_is_named(tmp_path: Path, name: str, content: bytes) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(SourceError, match=name):
        look(tmp_path / name)
