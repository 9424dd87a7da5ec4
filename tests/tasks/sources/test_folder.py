"""`tasks.sources.folder`."""

from __future__ import annotations

import os
from collections import Counter
from pathlib import Path

import pytest

from tasks.errors import SourceError
from tasks.sources import FolderSource
from tasks.sources.folder import Folder, _walk
from tests.tasks.sources.toys import write_files


def source(root: Path, **options: object) -> Folder:
    return Folder(FolderSource(path=root.name, **options), root.parent)


def test_files_that_share_a_stem_are_one_sample_of_the_class_of_their_folder(tmp_path: Path) -> None:
    files = {"cat/07.png": b"p", "cat/07.txt": b"tt", "cat/07.wav": b"www", "dog/a.b.JPG": b"j", "top.txt": b"t"}
    root = write_files(tmp_path / "data", files)
    records = {record.key: record for record in source(root).records(tmp_path)}
    assert sorted(records) == ["cat/07", "dog/a.b", "top"]
    cat = records["cat/07"]
    assert {name: (member.uri, member.size) for name, member in cat.members.items()} == {
        "image": (str(root / "cat/07.png"), 1),
        "text": (str(root / "cat/07.txt"), 2),
        "audio": (str(root / "cat/07.wav"), 3),
    }
    assert cat.labels == {"label": "cat"}
    assert records["top"].labels == {}


def test_the_label_has_the_name_that_was_asked_for_or_none(tmp_path: Path) -> None:
    root = write_files(tmp_path / "data", {"cat/1.txt": b"x"})
    assert [record.labels for record in source(root, label="animal").records(tmp_path)] == [{"animal": "cat"}]
    assert [record.labels for record in source(root, label=None).records(tmp_path)] == [{}]


def test_split_folders_are_taken_off_before_the_class(tmp_path: Path) -> None:
    root = write_files(tmp_path / "data", {"train/cat/1.txt": b"x", "test/dog/1.txt": b"x"})
    found = {record.key: (record.split, record.labels) for record in source(root, splits=True).records(tmp_path)}
    assert found == {"test/dog/1": ("test", {"label": "dog"}), "train/cat/1": ("train", {"label": "cat"})}


@pytest.mark.parametrize("stray", ["dev/cat/1.txt", "1.txt"])
def test_with_split_folders_anything_else_at_the_top_is_refused(tmp_path: Path, stray: str) -> None:
    root = write_files(tmp_path / "data", {"train/cat/1.txt": b"x", stray: b"x"})
    with pytest.raises(SourceError, match=r"allows the folders train, val, test at the top"):
        list(source(root, splits=True).records(tmp_path))


def test_unknown_extensions_are_counted_and_hidden_files_are_not_seen(tmp_path: Path) -> None:
    files = {"a/1.txt": b"x", "a/notes.pdf": b"", "b/x.PDF": b"", "README": b"", ".hidden/2.txt": b"x", "a/.DS_Store": b""}
    folder = source(write_files(tmp_path / "data", files))
    snapshot = folder.snapshot()
    assert (snapshot["ignored"], snapshot["records"], snapshot["bytes"]) == ({"": 1, "pdf": 2}, 1, 1)


def test_the_snapshot_changes_with_content_names_and_times_and_with_nothing_else(tmp_path: Path) -> None:
    root = write_files(tmp_path / "data", {"a/1.txt": b"x", "a/2.txt": b"y"})
    first = source(root).snapshot()["digest"]
    assert source(root).snapshot()["digest"] == first
    (root / "a/readme.pdf").write_bytes(b"")
    assert source(root).snapshot()["digest"] == first
    os.utime(root / "a/1.txt", ns=(1, 1))
    second = source(root).snapshot()["digest"]
    (root / "a/2.txt").rename(root / "a/3.txt")
    assert len({first, second, source(root).snapshot()["digest"]}) == 3


def test_loops_of_links_end_and_other_links_are_followed(tmp_path: Path) -> None:
    root = write_files(tmp_path / "data", {"a/1.txt": b"x"})
    elsewhere = write_files(tmp_path / "elsewhere", {"2.txt": b"y"})
    (root / "a" / "loop").symlink_to(root)
    (root / "a" / "self").symlink_to(root / "a" / "self")
    (root / "b").symlink_to(elsewhere)
    assert [record.key for record in source(root).records(tmp_path)] == ["a/1", "b/2"]


def test_a_link_that_leads_nowhere_is_listed_so_that_its_loss_is_counted(tmp_path: Path) -> None:
    root = write_files(tmp_path / "data", {"a/1.txt": b"x"})
    (root / "a" / "gone.txt").symlink_to(tmp_path / "nowhere.txt")
    assert [record.key for record in source(root).records(tmp_path)] == ["a/1", "a/gone"]


def test_a_pipe_is_not_a_medium(tmp_path: Path) -> None:
    root = write_files(tmp_path / "data", {"a/1.txt": b"x"})
    os.mkfifo(root / "a" / "pipe.txt")
    assert [record.key for record in source(root).records(tmp_path)] == ["a/1"]


def test_two_files_for_one_modality_of_a_sample_are_refused_by_name(tmp_path: Path) -> None:
    root = write_files(tmp_path / "data", {"a/1.jpg": b"x", "a/1.png": b"x"})
    with pytest.raises(SourceError, match=r"'a/1.jpg' and 'a/1.png' would both be the image"):
        list(source(root).records(tmp_path))


def test_a_missing_folder_says_where_it_was_looked_for(tmp_path: Path) -> None:
    with pytest.raises(SourceError, match=rf"{tmp_path}/data is not there; check `path`"):
        source(tmp_path / "data").snapshot()


def test_a_file_in_place_of_a_folder_points_to_the_table_source(tmp_path: Path) -> None:
    (tmp_path / "data").write_bytes(b"x")
    with pytest.raises(SourceError, match="for a table write `format: table`"):
        source(tmp_path / "data").snapshot()


def test_an_empty_folder_says_what_to_put_into_it(tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    with pytest.raises(SourceError, match=r"holds no file to read \(it is empty\); put files with these extensions into it: jpg"):
        source(tmp_path / "data").snapshot()


def test_a_folder_without_readable_files_says_what_was_found(tmp_path: Path) -> None:
    root = write_files(tmp_path / "data", {"a.pdf": b"", "b.pdf": b"", "c": b""})
    with pytest.raises(SourceError, match=r"1 without extension, 2 x \.pdf"):
        list(source(root).records(tmp_path))


def test_a_folder_that_cannot_be_listed_is_named(tmp_path: Path) -> None:
    with pytest.raises(SourceError, match="gone cannot be listed: No such file"):
        list(_walk(tmp_path / "gone", "", frozenset(), Counter()))
