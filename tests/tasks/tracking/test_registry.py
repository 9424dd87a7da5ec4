"""Versions are made once, carry their lineage, and aliases follow the log."""

from __future__ import annotations

import multiprocessing
from pathlib import Path

import pytest

from pipeline.store import LocalStore
from tasks.contracts import Tracking
from tasks.errors import TrackingError
from tasks.promotions import Decision, append, current, read_log
from tasks.tracking import registry
from tasks.tracking.aliases import project
from tasks.tracking.connect import connect
from tasks.tracking.registry import RegisteredVersion, read_aliases, register_version, set_aliases
from tasks.tracking.runs import ensure_curves
from tests.tasks.tracking.mlflow_fixtures import QUIET
from tests.tasks.tracking.toys import lineage, model_folder

pytestmark = QUIET


@pytest.fixture
def name(request: pytest.FixtureRequest) -> str:
    return f"toys-{request.node.name[:60].rstrip('_')}"


def register(tracking: Tracking, name: str, root: Path, step_key: str) -> RegisteredVersion:
    model, scratch = root / "model", root / f"scratch-{step_key}"
    if not model.exists():
        model_folder(model, "m" * 64)
    scratch.mkdir(exist_ok=True)
    run_id = ensure_curves(tracking, lineage("m" * 64), "m" * 64, model / "metrics.jsonl")
    tags = {"medley.model_key": "m" * 64, "medley.empty": "", "medley.long": "x" * 9000}
    return register_version(tracking, name, model, step_key=step_key, run_id=run_id, tags=tags, lineage=lineage("m" * 64), scratch=scratch)


def test_a_version_holds_our_files_and_no_pickle(tmp_path: Path, sqlite_tracking: Tracking, name: str) -> None:
    version = register(sqlite_tracking, name, tmp_path, "step-1")
    assert (version.version, version.uri) == ("1", f"models:/{name}/1")
    assert version.tags["medley.model_key"] == "m" * 64
    assert version.tags["medley.step_key"] == "step-1"
    assert "medley.empty" not in version.tags
    connection = connect(sqlite_tracking)
    logged = connection.client.get_logged_model(connection.client.get_model_version(name, "1").source.removeprefix("models:/"))
    files = sorted(
        path.relative_to(logged.artifact_location).as_posix() for path in Path(logged.artifact_location).rglob("*") if path.is_file()
    )
    assert "served_model.py" in files
    assert "artifacts/model/model.safetensors" in files
    assert "artifacts/lineage.json" in files
    assert not [file for file in files if file.endswith((".pkl", ".pickle"))]
    requirements = (Path(logged.artifact_location) / "requirements.txt").read_text()
    assert "torch==" in requirements
    assert "+cpu" not in requirements
    assert logged.source_run_id == version.run_id


def test_the_same_step_makes_one_version_and_another_step_the_next(tmp_path: Path, sqlite_tracking: Tracking, name: str) -> None:
    first = register(sqlite_tracking, name, tmp_path, "step-1")
    assert register(sqlite_tracking, name, tmp_path, "step-1") == first
    assert register(sqlite_tracking, name, tmp_path, "step-2").version == "2"


def test_a_model_that_was_logged_before_a_crash_is_not_logged_again(
    tmp_path: Path, sqlite_tracking: Tracking, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def crash(*_: object) -> None:
        raise TrackingError("the server went away")

    with monkeypatch.context() as broken:
        broken.setattr(registry, "_make_registered_model", crash)
        with pytest.raises(TrackingError, match="went away"):
            register(sqlite_tracking, name, tmp_path, "step-1")
    assert register(sqlite_tracking, name, tmp_path, "step-1").version == "1"
    connection = connect(sqlite_tracking)
    assert len(connection.client.search_logged_models([connection.experiment_id])) == 1


def test_an_alias_is_set_moved_read_and_removed(tmp_path: Path, sqlite_tracking: Tracking, name: str) -> None:
    assert read_aliases(sqlite_tracking, name).get("champion", "") == "", "not even the name exists"
    register(sqlite_tracking, name, tmp_path, "step-1")
    register(sqlite_tracking, name, tmp_path, "step-2")
    assert read_aliases(sqlite_tracking, name).get("champion", "") == ""
    assert set_aliases(sqlite_tracking, name, {"champion": "1"})
    assert not set_aliases(sqlite_tracking, name, {"champion": "1"})
    assert set_aliases(sqlite_tracking, name, {"champion": "2"})
    assert read_aliases(sqlite_tracking, name).get("champion", "") == "2"
    assert set_aliases(sqlite_tracking, name, {"champion": ""})
    assert read_aliases(sqlite_tracking, name).get("champion", "") == ""


def test_an_alias_of_a_version_that_mlflow_lacks_is_an_error_that_names_the_server(sqlite_tracking: Tracking, name: str) -> None:
    with pytest.raises(TrackingError, match="setting the aliases of"):
        set_aliases(sqlite_tracking, name, {"champion": "3"})


def test_aliases_follow_the_log_whatever_somebody_set_by_hand(tmp_path: Path, sqlite_tracking: Tracking, name: str) -> None:
    store = LocalStore.open(tmp_path / "store")
    for version in ("1", "2"):
        register(sqlite_tracking, name, tmp_path, f"step-{version}")
        append(store, name, Decision(action="promoted", alias="champion", version=version, model_key=version))
    append(store, name, Decision(action="promoted", alias="challenger", version="1", model_key="1"))
    set_aliases(sqlite_tracking, name, {"champion": "1"})
    assert project(store, sqlite_tracking, name) == {"challenger": "1", "champion": "2", "previous": "1", "best": "1"}
    assert read_aliases(sqlite_tracking, name).get("champion", "") == "2"


def _promote_and_project(root: Path, tracking: Tracking, name: str, versions: list[str]) -> None:
    for version in versions:
        append(LocalStore(root), name, Decision(action="promoted", alias="champion", version=version, model_key=version))
        project(LocalStore(root), tracking, name)


def test_an_alias_that_two_processes_move_at_once_ends_where_the_log_says(tmp_path: Path, sqlite_tracking: Tracking, name: str) -> None:
    store = LocalStore.open(tmp_path / "store")
    for version in ("1", "2"):
        register(sqlite_tracking, name, tmp_path, f"step-{version}")
    spawn = multiprocessing.get_context("spawn")
    other = spawn.Process(target=_promote_and_project, args=(store.root, sqlite_tracking, name, ["1", "2"] * 5))
    other.start()
    while other.is_alive() and not store.exists(f"promotions/{name}/1.json"):
        other.join(0.05)
    _promote_and_project(store.root, sqlite_tracking, name, ["2", "1"] * 5)
    other.join(60)
    assert other.exitcode == 0
    in_force = project(store, sqlite_tracking, name)["champion"]
    last = current(read_log(store, name), "champion")
    assert last is not None
    assert in_force == last.version
