"""One set of artifacts for all tests of evaluation in a session."""

from __future__ import annotations

import pytest

from tests.tasks.evaluation.artifacts import Prepared, prepare


@pytest.fixture(scope="session")
def prepared(tmp_path_factory: pytest.TempPathFactory) -> Prepared:
    return prepare(tmp_path_factory.getbasetemp())
