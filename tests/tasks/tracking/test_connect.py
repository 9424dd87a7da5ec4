"""MLflow is reached, or the reason why not is told within seconds."""

from __future__ import annotations

import http.server
import os
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tasks.contracts import Tracking
from tasks.errors import TrackingError
from tasks.tracking.connect import connect, probe
from tasks.tracking.server import redacted
from tests.tasks.tracking.mlflow_fixtures import free_port


@contextmanager
def unprivileged() -> Iterator[Path]:
    """A folder that the process cannot write, root or not."""
    folder = Path(tempfile.mkdtemp())
    folder.chmod(0o555)
    uid = os.geteuid()
    if uid == 0:
        os.seteuid(65534)
    try:
        yield folder
    finally:
        os.seteuid(uid)
        folder.chmod(0o755)
        for path in folder.iterdir():
            path.unlink()
        folder.rmdir()


@contextmanager
def web_server(status: int, hang_s: float = 0.0) -> Iterator[str]:
    """Something on a port that is no MLflow."""

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            time.sleep(hang_s)
            self.send_response(status)
            self.end_headers()

        def log_message(self, *args: object) -> None: ...

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def test_a_server_that_is_down_is_reported_within_seconds_with_the_command_that_starts_it() -> None:
    port = free_port()
    began = time.monotonic()
    with pytest.raises(TrackingError) as caught:
        probe(f"http://127.0.0.1:{port}")
    assert time.monotonic() - began < 5
    message = str(caught.value)
    assert f"http://127.0.0.1:{port}/health" in message
    assert f"mlflow server --backend-store-uri sqlite:///mlflow.db --host 127.0.0.1 --port {port}" in message
    assert "tracking:" in message


def test_a_server_that_hangs_is_reported_when_the_time_is_up() -> None:
    with web_server(200, hang_s=2) as uri, pytest.raises(TrackingError, match=r"within 0\.3 s"):
        probe(uri, timeout_s=0.3)


def test_a_web_server_that_is_not_mlflow_is_told_apart() -> None:
    with web_server(404) as uri, pytest.raises(TrackingError, match="status 404, so no working MLflow server"):
        probe(uri)


@pytest.mark.parametrize(
    ("status", "user", "said"),
    [
        (401, "", "asks who you are: set MLFLOW_TRACKING_USERNAME and MLFLOW_TRACKING_PASSWORD"),
        (401, "ann", "does not know the user 'ann', or the password is wrong"),
        (403, "ann", "does not let the user 'ann' do this"),
    ],
)
def test_a_server_or_a_proxy_that_does_not_take_the_login_says_what_to_set(
    status: int, user: str, said: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_USERNAME", user)
    monkeypatch.setenv("MLFLOW_TRACKING_PASSWORD", "s3cret")
    with web_server(status) as uri, pytest.raises(TrackingError, match=said) as caught:
        probe(uri)
    assert "s3cret" not in str(caught.value)


def test_a_healthy_server_passes() -> None:
    with web_server(200) as uri:
        probe(f"{uri}/")


def test_sqlite_in_a_folder_that_cannot_be_written_is_refused() -> None:
    with unprivileged() as folder, pytest.raises(TrackingError, match=r"Permission denied.*folder writable"):
        probe(f"sqlite:///{folder}/deeper/mlflow.db")


def test_sqlite_in_a_folder_that_does_not_exist_yet_passes_and_leaves_nothing(tmp_path: Path) -> None:
    probe(f"sqlite:///{tmp_path}/not/yet/mlflow.db")
    assert list(tmp_path.iterdir()) == []


def test_a_file_that_is_no_sqlite_database_is_refused(tmp_path: Path) -> None:
    (tmp_path / "mlflow.db").write_text("just some text, long enough")
    with pytest.raises(TrackingError, match="not a sqlite database"):
        probe(f"sqlite:///{tmp_path}/mlflow.db")


@pytest.mark.parametrize("uri", ["sqlite://", "sqlite:///:memory:"])
def test_a_database_in_memory_is_refused(uri: str) -> None:
    with pytest.raises(TrackingError, match="keeps nothing"):
        probe(uri)


def test_a_sqlite_file_is_refused_for_several_machines(tmp_path: Path) -> None:
    with pytest.raises(TrackingError, match="mlflow server --backend-store-uri postgresql"):
        probe(f"sqlite:///{tmp_path}/mlflow.db", shared=True)


@pytest.mark.parametrize("uri", ["mlruns", "file:///tmp/mlruns", "ftp://host/x"])
def test_a_plain_folder_is_refused(uri: str) -> None:
    with pytest.raises(TrackingError, match="refuses plain folders"):
        probe(uri)


def test_a_database_server_that_is_down_is_reported_without_its_password() -> None:
    port = free_port()
    with pytest.raises(TrackingError) as caught:
        probe(f"postgresql+psycopg2://me:secret@127.0.0.1:{port}/mlflow")
    assert "secret" not in str(caught.value)
    assert f"127.0.0.1:{port}" in str(caught.value)


def test_no_address_says_what_to_set() -> None:
    with pytest.raises(TrackingError, match="set `tracking:` in the recipe"):
        connect(Tracking())


def test_user_names_and_passwords_stay_out_of_messages() -> None:
    assert redacted("https://me:secret@host:5000/x") == "https://host:5000/x"
    assert redacted("sqlite:////a/b.db") == "sqlite:////a/b.db"


def test_probing_imports_no_mlflow(tmp_path: Path) -> None:
    code = f"import sys; from tasks.tracking.connect import probe; probe('sqlite:///{tmp_path}/m.db'); assert 'mlflow' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True)


def test_a_process_killed_while_the_tables_are_made_leaves_nothing_in_the_way(tmp_path: Path) -> None:
    uri = f"sqlite:///{tmp_path / 'ml' / 'runs.db'}"
    script = f"""
import os
from mlflow.store.db import utils
from tasks.contracts import Tracking
from tasks.tracking.connect import connect
utils._upgrade_db = lambda engine: os._exit(9)
connect(Tracking({uri!r}))
"""
    killed = subprocess.run([sys.executable, "-W", "ignore", "-c", script], cwd=Path(__file__).parents[3], capture_output=True, check=False)
    assert killed.returncode == 9, killed.stderr
    assert not (tmp_path / "ml" / "runs.db").exists()
    assert connect(Tracking(uri)).experiment_id
