"""`verify --repair` over a bucket: a wrong copy comes down again; what is wrong in the bucket is taken out there, and made anew."""

from __future__ import annotations

from pathlib import Path

import pytest

from pipeline.errors import NotFound, StoreError
from pipeline.object_store import ObjectStore
from pipeline.repairing import COPIED, TAKEN_OUT, repair
from tasks.shards.verify import verify
from tests.pipeline.people import _tasks_of_the_world
from tests.pipeline.test_bucket_forget import _in_this_process, machine, place, run, world
from tests.pipeline.test_cli import call

__all__ = ["_in_this_process", "_tasks_of_the_world", "place", "world"]


def shards_of(store: ObjectStore) -> Path:
    (path,) = (path.parent for path in store.root.glob("artifacts/*/*/shards.json"))
    return path


def spoil(path: Path) -> None:
    """Other bytes of the same length under the same name; what is linked to it stays."""
    data = path.read_bytes()
    path.unlink()
    path.write_bytes(bytes(len(data)))


def test_a_copy_that_is_wrong_comes_down_again_and_the_bucket_stays_as_it_is(
    place: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    here = machine(place, tmp_path / "here")
    folder, before = shards_of(here), here.bucket.entries("pool")
    tar = next((folder / "shards").iterdir())
    spoil(tar)
    assert verify(folder)
    code, out, _ = call(capsys, "shards", "verify", folder, "--repair")
    assert code == 1
    assert "in the copy on this machine; it came down again and is right now, the bucket was not changed" in out
    assert verify(folder) == []
    assert here.bucket.entries("pool") == before


@pytest.mark.parametrize("told", [True, False])
def test_what_is_wrong_in_the_bucket_is_taken_out_and_made_anew(place: str, tmp_path: Path, told: bool) -> None:
    here = machine(place, tmp_path / "here")
    folder = shards_of(here)
    right = {path.name: path.read_bytes() for path in (folder / "shards").iterdir()}
    name = next(name for name in here.bucket.entries("pool") if name.endswith(".tar"))
    wrong = tmp_path / "wrong"
    wrong.write_bytes(bytes(here.bucket.size(name) or 0))
    if told:
        here.bucket.replace(name, wrong.read_bytes() + b"more")  # its size says so already
    else:
        here.bucket.replace(name, wrong)  # only shards.json knows
    here.drop_copy(folder.name)
    if not told:
        assert verify(here.bring(folder.name))
    assert repair(folder) == TAKEN_OUT
    assert here.artifact(folder.name) is None
    assert name not in here.bucket.entries("pool")
    result = run(here, tmp_path)
    assert result.steps["shards"].status == "ran"
    again = here.bring(result.steps["shards"].key)
    assert verify(again) == []
    assert {path.name: path.read_bytes() for path in (again / "shards").iterdir()} == right
    assert repair(again) == COPIED


def test_a_bucket_that_does_not_answer_is_not_taken_for_a_damaged_one(place: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    here = machine(place, tmp_path / "here")
    folder, before = shards_of(here), here.bucket.entries("")

    def away(*_: object) -> None:
        raise StoreError("could not read") from ConnectionError("away")

    monkeypatch.setattr("pipeline.bucket.Bucket.download", away)
    with pytest.raises(StoreError, match="could not read"):
        repair(folder)
    assert here.bucket.entries("") == before
    with pytest.raises(NotFound, match="is not inside a store"):
        repair(tmp_path / "a" / "b" / "c" / "d")
