"""What is seen at a glance is what MLflow's own client says, and what went astray is told with what to do."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from pipeline.store import LocalStore
from tasks.contracts import Tracking
from tasks.errors import TrackingError
from tasks.promotions import Decision, Reference, append, read_log
from tasks.tracking.aliases import Astray, astray, decision_tags, decision_text, follow
from tasks.tracking.connect import connect
from tasks.tracking.glance import aliases_at
from tasks.tracking.registry import read_aliases, set_aliases
from tests.tasks.tracking.mlflow_fixtures import QUIET, free_port
from tests.tasks.tracking.test_registry import name, register

__all__ = ["name"]

pytestmark = QUIET


@pytest.fixture
def store(tmp_path: Path) -> LocalStore:
    return LocalStore.open(tmp_path / "store")


def test_a_glance_says_what_mlflows_client_says(tmp_path: Path, sqlite_tracking: Tracking, name: str) -> None:
    assert aliases_at(sqlite_tracking, name) == {}, "no such model"
    for step in ("1", "2"):
        register(sqlite_tracking, name, tmp_path, step)
    set_aliases(sqlite_tracking, name, {"champion": "2", "previous": "1"})
    assert aliases_at(sqlite_tracking, name) == read_aliases(sqlite_tracking, name) == {"champion": "2", "previous": "1"}


def test_a_glance_makes_no_database_and_leaves_other_kinds_to_mlflow(tmp_path: Path) -> None:
    assert aliases_at(Tracking(f"sqlite:///{tmp_path}/none.db"), "toys") == {}
    assert list(tmp_path.iterdir()) == []
    assert aliases_at(Tracking("postgresql://nowhere/mlflow"), "toys") is None


def test_a_glance_at_what_is_no_mlflow_says_so(tmp_path: Path) -> None:
    (tmp_path / "other.db").write_bytes(b"SQLite format 3\0 but not really")
    with pytest.raises(TrackingError, match="cannot be asked for the aliases of 'toys'"):
        aliases_at(Tracking(f"sqlite:///{tmp_path}/other.db"), "toys")
    with pytest.raises(TrackingError, match="cannot be asked for the aliases of 'toys'"):
        aliases_at(Tracking(f"http://127.0.0.1:{free_port()}"), "toys")


def test_what_differs_is_told_once_it_differs(tmp_path: Path, store: LocalStore, sqlite_tracking: Tracking, name: str) -> None:
    assert astray(store, sqlite_tracking, name) == [], "nothing was decided"
    for version in ("1", "2"):
        register(sqlite_tracking, name, tmp_path, version)
        entry = append(store, name, Decision(action="promoted", alias="champion", version=version, model_key=version))
    follow(store, sqlite_tracking, entry, "again")
    assert astray(store, sqlite_tracking, name) == []
    set_aliases(sqlite_tracking, name, {"champion": "1", "previous": ""})
    found = {each.alias: each for each in astray(store, sqlite_tracking, name)}
    assert found == {
        "champion": Astray(name, "champion", "2", "1", store.where),
        "previous": Astray(name, "previous", "1", "", store.where),
    }
    assert "names version 1, the promotion log says version 2: it was moved by hand" in str(found["champion"])
    assert found["champion"].adopt == f"medley aliases {name} --adopt champion=1 --reason … --store {store.root}"
    assert found["previous"].adopt == ""
    assert astray(store, Tracking(), name) == [], "without MLflow the log alone is kept"


def test_a_decision_is_kept_in_mlflow_with_tags_and_as_a_document(
    tmp_path: Path, store: LocalStore, sqlite_tracking: Tracking, name: str
) -> None:
    version = register(sqlite_tracking, name, tmp_path, "1")
    made = Decision(
        action="promoted",
        alias="champion",
        version="1",
        model_key="1",
        baseline=Reference("7", "7"),
        reasons=("seen",),
        by="ana",
        numbers={"difference": -0.0123456789, "samples": 500, "metric": "accuracy", "slices": [], "min_value": None},
    )
    entry = append(store, name, made)
    for _ in range(2):
        follow(store, sqlite_tracking, entry, "again")
    connection = connect(sqlite_tracking)
    tags = connection.client.get_model_version(name, "1").tags
    expected = {"difference": "-0.0123457", "samples": "500", "metric": "accuracy", "by": "ana", "baseline_version": "7", "entry": "1"}
    assert {key: tags[f"medley.decision.{key}"] for key in expected} == expected
    assert tags["medley.decision.digest"] == read_log(store, name)[0].digest
    path = connection.client.download_artifacts(version.run_id, "decisions/1/decision.json", str(tmp_path))
    assert json.loads(Path(path).read_text())["numbers"]["samples"] == 500
    assert json.loads(decision_text(entry))["digest"] == entry.digest
    assert "medley.decision.slices" not in decision_tags(entry)
