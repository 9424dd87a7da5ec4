"""One set of small shards for all tests of training, and one thread, which is faster for toys."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import torch

from tasks.contracts import Artifact
from tests.tasks.training.example import write_shards


@pytest.fixture(scope="session")
def shards(tmp_path_factory: pytest.TempPathFactory) -> Artifact:
    return write_shards(tmp_path_factory.mktemp("training"))


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)
