"""One small shards artifact that the tests of reading share."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from pipeline.store import LocalStore
from tests.tasks.shards.corpora import make_shards, picture, texts, write_corpus


@pytest.fixture(scope="session")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Texts, every third with a picture; labels missing for every seventh; read only."""
    folder = tmp_path_factory.mktemp("shards")
    records = texts(110)
    for number, record in enumerate(records):
        if number % 3 == 0:
            record.members = {**record.members, "image": picture(number)}
        if number % 7 == 0:
            record.labels = {}
        record.group = f"g{number // 10}"
    corpus = write_corpus(folder / "corpus", records)
    sizes = {"min_records": 20, "max_records": 60}
    make_shards(folder / "out", corpus, LocalStore.open(folder / "store"), prepare={"text": {}, "image": {}}, sizes=sizes)
    return folder / "out"


@pytest.fixture
def own(made: Path, tmp_path: Path) -> Path:
    """A copy of it that a test may damage."""
    folder = tmp_path / "own"
    shutil.copytree(made, folder)
    for path in (folder / "shards").iterdir():
        path.chmod(0o644)
    return folder
