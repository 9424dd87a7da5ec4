from __future__ import annotations

import multiprocessing
import pickle
from pathlib import Path

import pytest

from pipeline.errors import StoreError
from pipeline.store import LocalStore


@pytest.fixture
def store(tmp_path: Path) -> LocalStore:
    return LocalStore.open(tmp_path / "store")


def test_an_object_is_created_once_and_never_changes(store: LocalStore) -> None:
    assert store.create("a/b.json", b"one")
    assert not store.create("a/b.json", b"two")
    assert store.read("a/b.json") == b"one"
    assert store.list("a") == ["a/b.json"]
    assert store.list("none") == []
    assert not list((store.root / "tmp").iterdir())


def test_names_cannot_leave_the_store(store: LocalStore) -> None:
    for name in ("../x", "/etc/passwd", "a/../../x", ""):
        with pytest.raises(ValueError, match="not a name"):
            store.local_path(name)


def test_a_folder_is_published_whole_or_not_at_all(store: LocalStore) -> None:
    def folder(content: str) -> Path:
        path = store.scratch()
        (path / "inner").mkdir(parents=True)
        (path / "inner" / "file").write_text(content)
        return path

    first, second = folder("first"), folder("second")
    assert store.publish(first, "things/x")
    assert not store.publish(second, "things/x")
    assert store.read("things/x/inner/file") == b"first"
    assert not second.exists()


def test_an_artifact_carries_a_manifest_with_digests(store: LocalStore) -> None:
    folder = store.scratch()
    folder.mkdir()
    (folder / "a.txt").write_bytes(b"abc")
    key = "ab" + "0" * 62
    assert store.artifact(key) is None
    assert store.publish_artifact(folder, {"kind": "corpus", "key": key, "step": "s", "summary": {"n": 1}})
    artifact = store.artifact(key)
    assert artifact is not None
    assert (artifact.kind, artifact.summary, artifact.step) == ("corpus", {"n": 1}, "s")
    manifest = store.manifest(key)
    assert manifest is not None
    assert manifest["files"] == {"a.txt": {"bytes": 3, "sha256": "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"}}


def test_a_newer_format_is_refused_with_the_way_out(store: LocalStore) -> None:
    key = "cd" + "0" * 62
    path = store.artifact_path(key)
    path.mkdir(parents=True)
    (path / "manifest.json").write_text('{"format": 99}')
    with pytest.raises(StoreError, match="upgrade"):
        store.artifact(key)
    (path / "manifest.json").write_text("{")
    with pytest.raises(StoreError, match="damaged"):
        store.artifact(key)


def test_a_store_that_cannot_be_written_says_so(tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.touch()
    with pytest.raises(StoreError, match="cannot be written"):
        LocalStore.open(file / "store")
    with pytest.raises(StoreError, match="cannot be written"):
        LocalStore.open(Path("/proc/medley"))


def test_a_folder_that_is_no_store_is_refused(tmp_path: Path) -> None:
    (tmp_path / "FORMAT").write_text("hello")
    with pytest.raises(StoreError, match="not a store's format file"):
        LocalStore.open(tmp_path)


def _claim(store: LocalStore, number: int) -> list[int]:
    return [n for n in range(50) if store.create(f"race/{n}", str(number).encode())]


def test_of_many_writers_exactly_one_creates_each_object(store: LocalStore) -> None:
    with multiprocessing.get_context("spawn").Pool(4) as pool:
        won = pool.starmap(_claim, [(pickle.loads(pickle.dumps(store)), number) for number in range(4)])
    assert sorted(n for names in won for n in names) == list(range(50))
