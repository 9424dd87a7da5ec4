"""Files as other programs write them, through `medley run` as a person calls it: what is said, how it ends, and what is kept."""

from __future__ import annotations

import io
import json
import tarfile
from pathlib import Path

import pytest

from pipeline.__main__ import main

pytestmark = [pytest.mark.ray, pytest.mark.usefixtures("ray_session")]

RECIPE = """\
name: foreign
store: store
steps:
  good: {task: ingest, source: {format: folder, path: good}}
  kept: {task: shard, corpus: good, prepare: {text: {}}}
"""
TARS = """\
  tars: {task: ingest, source: {format: webdataset, path: foreign.tar}}
"""
CAPTIONS = """\
  captions: {task: ingest, source: {format: folder, path: captions}}
  shards: {task: shard, corpus: captions, prepare: {text: {}}, bad_records: {max_rate: 0.1, probation: 2}}
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Good captions, which become shards beside whatever else a recipe reads."""
    for number in range(4):
        (tmp_path / "good" / "a").mkdir(parents=True, exist_ok=True)
        (tmp_path / "good" / "a" / f"{number}.txt").write_text(f"text {number}")
    return tmp_path


def run(folder: Path, steps: str, capsys: pytest.CaptureFixture[str]) -> tuple[int, dict[str, str], str]:
    """Exit code, step → status, and what a person reads."""
    (folder / "recipe.yaml").write_text(RECIPE + steps)
    code = main(["run", str(folder / "recipe.yaml"), "--json"])
    captured = capsys.readouterr()
    document = json.loads(captured.out)
    return code, {name: step["status"] for name, step in document["steps"].items()}, captured.err


def test_a_tar_with_interleaved_keys_is_refused_with_what_mends_it_and_other_steps_are_kept(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with tarfile.open(folder / "foreign.tar", "w") as tar:
        for name in ("one.txt", "two.txt", "one.cls", "two.cls"):
            member = tarfile.TarInfo(name)
            member.size = 1
            tar.addfile(member, io.BytesIO(b"1"))
    code, statuses, said = run(folder, TARS, capsys)
    assert (code, statuses) == (2, {"good": "ran", "kept": "ran", "tars": "failed"})
    assert "the members of 'one' are in two places ('one.cls' comes after others of 'two')" in said
    assert "pack the tar again with `tar --sort=name`" in said
    assert "finished and kept: good, kept" in said

    with tarfile.open(folder / "foreign.tar", "w") as tar:
        for name in ("one.cls", "one.txt", "two.cls", "two.txt"):
            member = tarfile.TarInfo(name)
            member.size = 1
            tar.addfile(member, io.BytesIO(b"1"))
    code, statuses, _ = run(folder, TARS, capsys)
    assert (code, statuses) == (0, {"good": "cached", "kept": "cached", "tars": "ran"})


@pytest.mark.parametrize(("encoding", "advice"), [("utf-16", "set `encoding: utf-16`"), ("latin-1", "set `encoding:` under `text`")])
def test_caption_files_in_another_encoding_stop_the_shards_with_what_to_set_and_are_read_once_it_is(
    folder: Path, capsys: pytest.CaptureFixture[str], encoding: str, advice: str
) -> None:
    (folder / "captions" / "a").mkdir(parents=True)
    for number in range(4):
        (folder / "captions" / "a" / f"{number}.txt").write_bytes(f"café {number}".encode(encoding))
    code, statuses, said = run(folder, CAPTIONS, capsys)
    assert (code, statuses) == (2, {"good": "ran", "kept": "ran", "captions": "ran", "shards": "failed"})
    assert "is not utf-8" in said
    assert advice in said
    assert "finished and kept: good, kept, captions" in said

    mended = CAPTIONS.replace("prepare: {text: {}}", f"prepare: {{text: {{encoding: {encoding}}}}}")
    code, statuses, _ = run(folder, mended, capsys)
    assert (code, statuses) == (0, {"good": "cached", "kept": "cached", "captions": "cached", "shards": "ran"})
