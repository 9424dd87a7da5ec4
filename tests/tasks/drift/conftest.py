"""The demo's digits as a sketch, once for all tests."""

from __future__ import annotations

from pathlib import Path

import pytest

from tasks.contracts import SourceRecord
from tasks.drift.sketch import Sketch
from tests.tasks.drift import corpora


@pytest.fixture(scope="session")
def digit_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("drift-digits")


@pytest.fixture(scope="session")
def digit_records(digit_folder: Path) -> list[SourceRecord]:
    return corpora.digits(digit_folder)


@pytest.fixture(scope="session")
def digit_sketch(digit_records: list[SourceRecord], digit_folder: Path) -> Sketch:
    """One row a picture, of all three splits."""
    return corpora.sketch(digit_records, digit_folder, corpora.prepare("image", "audio", "text"))
