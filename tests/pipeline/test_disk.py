from __future__ import annotations

import os
from pathlib import Path

import pytest

from pipeline import disk


def test_what_is_appended_is_there_whole_even_when_each_write_takes_a_few_bytes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    real = os.write
    monkeypatch.setattr(os, "write", lambda descriptor, data: real(descriptor, data[:3]))
    disk.append(tmp_path / "journal", b"the first line\n")
    disk.append(tmp_path / "journal", b"the second line\n")
    assert (tmp_path / "journal").read_bytes() == b"the first line\nthe second line\n"


def test_a_line_that_does_not_fit_leaves_the_lines_before_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    disk.append(tmp_path / "journal", b"the first line\n")
    real, left = os.write, [4, 0]

    def nearly_full(descriptor: int, data: bytes) -> int:
        if not (room := left.pop(0)):
            raise OSError(28, "No space left on device")
        return real(descriptor, data[:room])

    monkeypatch.setattr(os, "write", nearly_full)
    with pytest.raises(OSError, match="No space"):
        disk.append(tmp_path / "journal", b"the second line\n")
    assert (tmp_path / "journal").read_bytes() == b"the first line\n"


def test_a_file_gets_its_name_once_and_loses_the_one_it_had(tmp_path: Path) -> None:
    for content, is_first in ((b"one", True), (b"two", False)):
        (tmp_path / "scratch").write_bytes(content)
        assert disk.publish_file(tmp_path / "scratch", tmp_path / "name") is is_first
        assert not (tmp_path / "scratch").exists()
    assert (tmp_path / "name").read_bytes() == b"one"


def test_removing_what_is_not_there_is_nothing(tmp_path: Path) -> None:
    (tmp_path / "here").touch()
    disk.remove_file(tmp_path / "here")
    disk.remove_file(tmp_path / "here")
    assert not list(tmp_path.iterdir())
