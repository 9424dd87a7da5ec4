"""Register, promote, trace and audit against an `mlflow server` that asks for a password and allows one name of its host."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from pipeline.audit import audit
from pipeline.store import LocalStore
from tasks.contracts import Tracking
from tasks.errors import TrackingError
from tasks.gating.config import GateConfig
from tasks.promote import PromoteConfig, promote
from tasks.register import RegisterConfig, register
from tasks.tracking.connect import connect, probe, sqlite_path
from tasks.tracking.glance import aliases_at
from tasks.tracking.look import tag_version, version_tags
from tests.pipeline.test_cli import call
from tests.tasks.tracking.mlflow_fixtures import QUIET, Server, running_server
from tests.tasks.tracking.toys import context, report_folder, trained_model, version_folder

pytestmark = [QUIET, pytest.mark.slow]

USER, PASSWORD = "admin", "correct-horse-battery"


@pytest.fixture
def server(tmp_path: Path, sqlite_tracking: Tracking, monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    """Called `localhost`, and only that; `127.0.0.1` leads to it as well."""
    connect(sqlite_tracking)  # makes the tables, which takes a server seconds
    shutil.copyfile(sqlite_path(sqlite_tracking.uri), tmp_path / "server.db")
    login = {
        "database_uri": f"sqlite:///{tmp_path}/auth.db",
        "default_permission": "READ",
        "admin_username": USER,
        "admin_password": PASSWORD,
    }
    login["authorization_function"] = "mlflow.server.auth:authenticate_request_basic_auth"
    (tmp_path / "auth.ini").write_text("[mlflow]\n" + "".join(f"{name} = {value}\n" for name, value in login.items()))
    environment = {"MLFLOW_AUTH_CONFIG_PATH": str(tmp_path / "auth.ini"), "MLFLOW_FLASK_SERVER_SECRET_KEY": "of the test"}
    options = ("--app-name", "basic-auth", "--allowed-hosts", "localhost:*")
    monkeypatch.setenv("MLFLOW_TRACKING_USERNAME", USER)
    monkeypatch.setenv("MLFLOW_TRACKING_PASSWORD", PASSWORD)
    with running_server(tmp_path, host="localhost", options=options, environment=environment) as running:
        yield running


def test_the_way_to_production_works_with_a_password_and_says_what_is_wrong_without(
    tmp_path: Path, server: Server, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    tracking = server.tracking("login")
    model = trained_model(tmp_path / "model")
    report = report_folder(tmp_path / "report", "r" * 64, model, np.arange(200) < 180)
    at_register = context(tmp_path, "register-key", "version", tracking)
    store = LocalStore.open(tmp_path / "store")
    (tmp_path / "version").mkdir()
    (tmp_path / "decision").mkdir()

    summary = register(RegisterConfig(name="toys"), {"model": model, "report": report}, tmp_path / "version", at_register)
    assert summary["version"] == "1"
    given = {"version": version_folder(tmp_path / "made", "1", model), "report": report}
    config = PromoteConfig(gate=GateConfig(head="digit"))
    assert promote(config, given, tmp_path / "decision", context(tmp_path, "promote-key", "champion", tracking))["decision"] == "promoted"
    assert aliases_at(tracking, "toys")["champion"] == "1"  # type: ignore[index]
    assert tag_version(tracking, "toys", "1", {"medley.saw_forgotten": "1"})
    assert not tag_version(tracking, "toys", "9", {"medley.saw_forgotten": "1"})
    tags = version_tags(tracking, "toys")
    assert tags["1"]["medley.saw_forgotten"] == "1"

    capsys.readouterr()  # MLflow prints where its pages are
    code, out, _ = call(capsys, "trace", "toys@champion", "--store", store.root, "--tracking", server.uri, "--json")
    assert code == 0
    assert json.loads(out)["mlflow"]["agrees"]
    assert [problem for problem in audit(store, "toys", tags).problems if "MLflow" in problem] == []
    store.local_path("promotions/toys/1.json").unlink()
    store.local_path("seals/toys/1.json").unlink()
    told = audit(store, "toys", tags).problems
    assert any("version 1 in MLflow knows of entry 1, and the log ends with entry 0" in problem for problem in told)

    _says_what_is_wrong(server, tracking, monkeypatch)


def _says_what_is_wrong(server: Server, tracking: Tracking, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(TrackingError, match=r"refuses to be called '127.0.0.1:[0-9]+': start the server with `--allowed-hosts`"):
        probe(f"http://127.0.0.1:{server.port}")
    monkeypatch.setenv("MLFLOW_TRACKING_PASSWORD", "wrong")
    for asked in (lambda: connect(tracking), lambda: version_tags(tracking, "toys"), lambda: probe(tracking.uri)):
        with pytest.raises(TrackingError, match="does not know the user 'admin', or the password is wrong") as caught:
            asked()
        assert "wrong:" in str(caught.value)
    monkeypatch.delenv("MLFLOW_TRACKING_USERNAME")
    monkeypatch.delenv("MLFLOW_TRACKING_PASSWORD")
    with pytest.raises(TrackingError, match="asks who you are: set MLFLOW_TRACKING_USERNAME"):
        connect(tracking)
    in_the_address = f"http://{USER}:{PASSWORD}@localhost:{server.port}"
    probe(in_the_address)
    assert "toys" not in str(aliases_at(Tracking(in_the_address), "none"))
