"""One set of small shards for all tests of training."""

from __future__ import annotations

import pytest

from tasks.contracts import Artifact
from tests.tasks.training.example import write_shards


@pytest.fixture(scope="session")
def shards(tmp_path_factory: pytest.TempPathFactory) -> Artifact:
    return write_shards(tmp_path_factory.mktemp("training"))
