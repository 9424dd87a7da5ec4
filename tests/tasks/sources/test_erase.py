"""Media that a source made of forgotten records are gone, and nothing else is."""

from __future__ import annotations

import json
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from pipeline.store import LocalStore
from tasks import forgotten
from tasks.errors import SourceError
from tasks.ingest import IngestConfig, ingest
from tests.tasks.sources.toys import Sink, context, write_files

MAKES = """
from tasks.contracts import Locator, SourceRecord
from tasks.registry import Config

class Mine:
    class Config(Config):
        format: str

    def __init__(self, config, base_dir):
        pass

    def snapshot(self):
        return {"digest": "1"}

    def records(self, output_dir):
        (output_dir / "all.bin").write_bytes(b"aabbccdd")
        for name in ("own.txt", "shared.txt"):
            (output_dir / name).write_text(name)
        yield SourceRecord("a", {"audio": Locator("all.bin", offset=0, length=2), "text": Locator("own.txt")})
        yield SourceRecord("b", {"audio": Locator("all.bin", offset=2, length=2), "text": Locator("shared.txt")})
        yield SourceRecord("c", {"audio": Locator("all.bin", offset=5, length=3), "text": Locator("shared.txt")})
        yield SourceRecord("d", {"audio": Locator("all.bin", offset=6, length=2)})
"""


@pytest.fixture
def store(tmp_path: Path) -> LocalStore:
    return LocalStore.open(tmp_path / "store")


def made(folder: Path, store: LocalStore, config: IngestConfig, *keys: str) -> tuple[Path, dict[str, object], Sink]:
    for key in keys:
        forgotten.mark(store, forgotten.sample_of(key), "")
    output, sink = folder / "corpus", Sink()
    output.mkdir()
    return output, ingest(config, {}, output, context(folder, store=store, sink=sink)), sink


def test_what_the_source_made_of_forgotten_records_is_erased_and_ranges_of_others_stay(
    tmp_path: Path, store: LocalStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "my_making.py").write_text(MAKES)
    monkeypatch.syspath_prepend(str(tmp_path))
    output, _, _ = made(tmp_path, store, IngestConfig(source={"format": "my_making:Mine"}), "a", "c")
    assert (output / "all.bin").read_bytes() == b"\0\0bbccdd", "c shares a byte with d, so its range stays"
    assert not (output / "own.txt").exists()
    assert (output / "shared.txt").exists(), "b has it too"
    assert pq.read_table(output / "records.parquet")["key"].to_pylist() == ["b", "d"]


def test_files_of_the_user_are_neither_opened_nor_touched(tmp_path: Path, store: LocalStore) -> None:
    root = write_files(tmp_path / "data", {"cat/1.txt": b"one", "cat/2.txt": b"two", "dog/3.txt": b"three"})
    (root / "dog/3.txt").unlink()
    (root / "dog/3.txt").symlink_to(root / "nowhere")  # would be listed as unreadable, were it opened
    config = IngestConfig(source={"format": "folder", "path": "data"}, limit=3)
    output, summary, sink = made(tmp_path, store, config, "cat/1", "dog/3")
    facts = json.loads((output / "corpus.json").read_text())
    assert facts["forgotten"] == sorted(forgotten.sample_of(key) for key in ("cat/1", "dog/3"))
    assert facts["unreadable"] == []
    assert (summary["records"], summary["forgotten"], summary["labels"]) == (1, 2, {"label": {"cat": 1}})
    assert (root / "cat/1.txt").read_bytes() == b"one"
    assert "2 records of the source are forgotten and were left out" in sink.notes
    assert "dog" not in (output / "corpus.json").read_text()


def test_a_source_of_which_everything_is_forgotten_says_so(tmp_path: Path, store: LocalStore) -> None:
    write_files(tmp_path / "data", {"1.txt": b"one"})
    with pytest.raises(SourceError, match="no records but 1 that are forgotten"):
        made(tmp_path, store, IngestConfig(source={"format": "folder", "path": "data"}), "1")
