"""A registered version is loaded by its alias with MLflow alone, and says what the model says."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import pytest

from tasks.contracts import Tracking
from tasks.models.load import load_model
from tasks.models.predict import predict_records
from tasks.tracking.registry import register_version, set_aliases
from tasks.tracking.runs import ensure_curves
from tests.tasks.tracking.mlflow_fixtures import QUIET
from tests.tasks.tracking.toys import lineage, picture, trained_model

pytestmark = QUIET


def test_rows_of_files_and_text_give_predictions_and_probabilities(tmp_path: Path, sqlite_tracking: Tracking) -> None:
    model = trained_model(tmp_path / "model")
    run_id = ensure_curves(sqlite_tracking, lineage(model.key), model.key, model.path / "metrics.jsonl")
    register_version(
        sqlite_tracking, "served", model.path, step_key="s", run_id=run_id, tags={}, lineage=lineage(model.key), scratch=tmp_path
    )
    set_aliases(sqlite_tracking, "served", {"champion": "1"})
    import mlflow

    served = mlflow.pyfunc.load_model("models:/served@champion")
    rows = pd.DataFrame({"image": [picture(0), None, picture(2)], "text": ["one", "two", None]}, index=[7, 8, 9])
    found = served.predict(rows)
    records = [{"image": picture(0), "text": b"one"}, {"text": b"two"}, {"image": picture(2)}]
    expected = predict_records(load_model(model.path), records)
    assert list(found.columns) == ["digit.prediction", "digit.probability", "size.prediction"]
    assert list(found.index) == [7, 8, 9]
    assert found["digit.prediction"].tolist() == expected["digit"].values
    assert found["digit.probability"].tolist() == [pytest.approx(row) for row in expected["digit"].probabilities]
    assert found["size.prediction"].tolist() == pytest.approx(expected["size"].values)
    only_text = served.predict(pd.DataFrame({"text": ["one"]}))
    assert only_text["size.prediction"].tolist() == pytest.approx(
        predict_records(load_model(model.path), [{"text": b"one"}])["size"].values
    )
    assert served.metadata.signature.inputs.input_names() == ["image", "text"]
