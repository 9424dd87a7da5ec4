"""The whole way, training to rollback, against an `mlflow server` process that dies in between."""

from __future__ import annotations

import shutil
import time
from pathlib import Path

import numpy as np
import pytest

from tasks.contracts import Artifact, Tracking
from tasks.errors import TrackingError
from tasks.promote import GateConfig, PromoteConfig, promote
from tasks.promotions import read_log
from tasks.register import RegisterConfig, register
from tasks.rollback import rollback
from tasks.tracking.connect import connect, sqlite_path
from tasks.tracking.registry import read_aliases
from tasks.tracking.runs import open_training_run
from tests.tasks.tracking.mlflow_fixtures import QUIET, Server, free_port, running_server
from tests.tasks.tracking.toys import Sink, context, picture, report_folder, trained_model, version_folder

pytestmark = QUIET


def test_a_server_that_dies_between_the_steps_loses_nothing(tmp_path: Path, sqlite_tracking: Tracking) -> None:
    connect(sqlite_tracking)  # makes the tables, which takes a server seconds
    shutil.copyfile(sqlite_path(sqlite_tracking.uri), tmp_path / "server.db")
    with running_server(tmp_path) as server:
        tracking = server.tracking("whole-way")
        model = _train_while_the_server_dies(tmp_path, server)
        given = {"model": model, "report": report_folder(tmp_path / "report", "r" * 64, model, np.arange(200) < 180)}
        at_register = context(tmp_path, "register-key", "version", tracking)
        _refused_within_seconds(lambda out: register(RegisterConfig(name="toys"), given, out, at_register), tmp_path / "version")
        server.start()
        summary = register(RegisterConfig(name="toys"), given, tmp_path / "version", at_register)
        client = connect(tracking).client
        assert sorted(point.step for point in client.get_metric_history(summary["run_id"], "train/loss")) == list(range(1, 7))
        assert summary["version"] == "1"
        _promote_without_and_with_a_server(tmp_path, tracking, given["report"], model)
        _predicts(tracking.uri)
        rollback(at_register.store, tracking, "toys", reason="test")
        assert read_aliases(tracking, "toys").get("champion", "") == ""


def _train_while_the_server_dies(root: Path, server: Server) -> Artifact:
    sink = Sink()
    writer = open_training_run(context(root, "m" * 64, "model", server.tracking("whole-way"), sink=sink), {"epochs": 1})
    for step in (1, 2, 3):
        writer.log({"train/loss": 1.0 / step}, step)
    until = time.monotonic() + 60
    while writer._lines:
        assert time.monotonic() < until
        time.sleep(0.05)
    server.kill()
    for step in (4, 5, 6):
        writer.log({"train/loss": 1.0 / step}, step)
    began = time.monotonic()
    writer.close()
    assert time.monotonic() - began < 20
    assert "3 lines of the training curves did not reach MLflow" in sink.notes[-1]
    model = trained_model(root / "model")
    lines = (f'{{"step": {step}, "train/loss": {1.0 / step}}}\n' for step in range(1, 7))
    (model.path / "metrics.jsonl").write_text("".join(lines))
    return model


def _promote_without_and_with_a_server(root: Path, tracking: Tracking, report: Artifact, model: Artifact) -> None:
    given = {"version": version_folder(root / "made", "1", model), "report": report}
    config = PromoteConfig(gate=GateConfig(head="digit"))
    down = context(root, "promote-key", "champion", Tracking(f"http://127.0.0.1:{free_port()}"))
    _refused_within_seconds(lambda out: promote(config, given, out, down), root / "decision", "the decision (promoted) stands")
    at_promote = context(root, "promote-key", "champion", tracking)
    assert promote(config, given, root / "decision", at_promote)["decision"] == "promoted"
    assert [entry.action for entry in read_log(at_promote.store, "toys")] == ["promoted"]
    assert read_aliases(tracking, "toys").get("champion", "") == "1"


def _refused_within_seconds(step: object, output: Path, message: str = "mlflow server --backend-store-uri") -> None:
    output.mkdir()
    began = time.monotonic()
    with pytest.raises(TrackingError) as caught:
        step(output)  # type: ignore[operator]
    assert message in str(caught.value)
    assert time.monotonic() - began < 20


def _predicts(uri: str) -> None:
    import mlflow
    import pandas as pd

    mlflow.set_tracking_uri(uri)
    served = mlflow.pyfunc.load_model("models:/toys@champion")
    assert served.predict(pd.DataFrame({"image": [picture(0)]}))["digit.prediction"].tolist()[0] in ("one", "two")
