"""One MLflow database for all tests of a session: creating its tables takes seconds."""

from __future__ import annotations

from pathlib import Path

import pytest

from tasks.contracts import Tracking


@pytest.fixture(scope="session")
def mlflow_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("mlflow")


@pytest.fixture
def sqlite_tracking(mlflow_folder: Path, request: pytest.FixtureRequest) -> Tracking:
    """An experiment of the test's own in the shared database."""
    return Tracking(f"sqlite:///{mlflow_folder}/mlflow.db", str(mlflow_folder / "artifacts"), experiment=request.node.nodeid)
