"""One S3 server for all tests of a session that ask for it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.pipeline.s3 import CREDENTIALS, seaweedfs, wait_for_bucket


@pytest.fixture(scope="session")
def s3_endpoint(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Endpoint of a running server with the bucket `medley`."""
    with seaweedfs(tmp_path_factory.mktemp("seaweedfs")) as endpoint, pytest.MonkeyPatch.context() as patch:
        for name, value in {**CREDENTIALS, "AWS_ENDPOINT_URL": endpoint}.items():
            patch.setenv(name, value)
        wait_for_bucket("s3://medley")
        yield endpoint


@pytest.fixture
def s3_url(s3_endpoint: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """A fresh prefix, with the environment that reaches it and a cache folder of the test's own."""
    for name, value in {**CREDENTIALS, "AWS_ENDPOINT_URL": s3_endpoint, "MEDLEY_CACHE": str(tmp_path / "cache")}.items():
        monkeypatch.setenv(name, value)
    return f"s3://medley/{tmp_path.name}"
