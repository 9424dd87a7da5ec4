"""Where MLflow is, and where it puts artifacts."""

from __future__ import annotations

from pathlib import Path

from pipeline.tracking import tracking
from tests.pipeline.test_runner import planned

STEP = "steps:\n  a: {task: ingest, source: {format: folder, path: data}}\n"


def found(folder: Path, line: str) -> tuple[str, str]:
    (folder / "data" / "x").mkdir(parents=True, exist_ok=True)
    (folder / "data" / "x" / "1.txt").write_text("text")
    where = tracking(planned(folder, f"name: toy\nstore: store\n{line}{STEP}"))
    return where.uri, where.artifact_root


def test_without_a_word_it_is_inside_the_store(tmp_path: Path) -> None:
    folder = tmp_path / "store" / "mlflow"
    assert found(tmp_path, "") == (f"sqlite:///{folder / 'mlflow.db'}", str(folder / "artifacts"))


def test_artifacts_of_a_database_of_ones_own_lie_beside_it_and_not_where_the_command_was_typed(tmp_path: Path) -> None:
    assert found(tmp_path, f"tracking: sqlite:///{tmp_path}/ml/runs.db\n")[1] == str(tmp_path / "ml" / "mlflow-artifacts")
    assert found(tmp_path, "tracking: sqlite:///runs.db\n")[1] == str(tmp_path / "mlflow-artifacts")


def test_a_server_decides_itself(tmp_path: Path) -> None:
    assert found(tmp_path, "tracking: http://127.0.0.1:5000\n") == ("http://127.0.0.1:5000", "")
