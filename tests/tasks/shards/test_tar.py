"""Our tars, read by the standard library and by GNU tar."""

from __future__ import annotations

import hashlib
import io
import shutil
import subprocess
import tarfile
import zlib
from pathlib import Path

import pytest

from tasks.shards.tar import TarWriter, header

NAMES = {
    "short": "a",
    "exactly 100 bytes": "x" * 96,
    "too long without a slash": "x" * 200,
    "long folders": "d/" * 60 + "k",
    "prefix of 155 bytes": "p" * 155 + "/" + "n" * 96,
    "prefix of 156 bytes": "p" * 156 + "/" + "n" * 96,
    "a folder and a name too long for a split": "d" * 150 + "/" + "f" * 120,
    "not ASCII": "é/ü",
}


def listed(file: io.BytesIO) -> list[tarfile.TarInfo]:
    with tarfile.open(fileobj=io.BytesIO(file.getvalue())) as tar:
        return tar.getmembers()


def test_members_lie_where_the_writer_says() -> None:
    file = io.BytesIO()
    tar = TarWriter(file)
    spans = tar.add("k", {"txt": b"hello", "jpg": b"x" * 513, "wav": b""})
    digest = tar.finish()
    data = file.getvalue()
    for extension, content in {"txt": b"hello", "jpg": b"x" * 513, "wav": b""}.items():
        span = spans[extension]
        assert data[span.offset : span.offset + span.size] == content
        assert span.crc32 == zlib.crc32(content)
    assert digest == hashlib.sha256(data).hexdigest()
    assert (tar.num_bytes, tar.num_samples) == (len(data), 1)


def test_members_of_a_sample_are_adjacent_sorted_and_without_traces_of_the_machine() -> None:
    file = io.BytesIO()
    tar = TarWriter(file)
    for key in ("b", "a"):
        tar.add(key, {"wav": b"w", "jpg": b"j"})
    tar.finish()
    members = listed(file)
    assert [member.name for member in members] == ["b.jpg", "b.wav", "a.jpg", "a.wav"]
    assert {(member.mtime, member.uid, member.gid, member.uname, member.gname, member.mode) for member in members} == {
        (0, 0, 0, "", "", 0o444)
    }


@pytest.mark.parametrize("name", NAMES.values(), ids=NAMES.keys())
def test_names_of_any_length_survive(name: str, tmp_path: Path) -> None:
    file = io.BytesIO()
    tar = TarWriter(file)
    span = tar.add(name, {"txt": b"content"})["txt"]
    tar.finish()
    (member,) = listed(file)
    assert (member.name, member.offset_data, member.size) == (f"{name}.txt", span.offset, 7)


@pytest.mark.skipif(shutil.which("tar") is None, reason="there is no tar program here")
def test_the_tar_program_lists_them(tmp_path: Path) -> None:
    path = tmp_path / "x.tar"
    with path.open("wb") as file:
        tar = TarWriter(file)
        for name in NAMES.values():
            tar.add(name, {"txt": b"content"})
        tar.finish()
    listed = subprocess.run(["tar", "tf", path, "--quoting-style=literal"], capture_output=True, text=True, check=True)
    assert listed.stdout.splitlines() == [f"{name}.txt" for name in NAMES.values()]
    assert not listed.stderr


def test_a_member_above_8_gib_gets_a_size_record() -> None:
    size = (8 << 30) + 5
    info = tarfile.TarFile(fileobj=io.BytesIO(header("big.bin", size)), mode="r").firstmember
    assert info is not None
    assert (info.name, info.size) == ("big.bin", size)


def test_equal_samples_give_equal_bytes() -> None:
    def digest() -> str:
        tar = TarWriter(io.BytesIO())
        tar.add("a", {"jpg": b"1", "txt": b"2"})
        return tar.finish()

    assert digest() == digest() == "fea483565cc6fb6b8a052da872ba961da8e444fe6b56aff3591434ea1e001aa7"
