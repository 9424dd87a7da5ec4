"""A rollback bars a version for good and gives the alias back."""

from __future__ import annotations

from pathlib import Path

import pytest

from pipeline.store import LocalStore
from tasks.contracts import Tracking
from tasks.errors import InputError, TrackingError
from tasks.promotions import Decision, Reference, append, current, is_barred, read_log
from tasks.rollback import rollback
from tests.tasks.tracking.mlflow_fixtures import free_port

NOWHERE = Tracking()


@pytest.fixture
def store(tmp_path: Path) -> LocalStore:
    store = LocalStore.open(tmp_path / "store")
    for version in ("1", "2", "3"):
        append(store, "toys", Decision(action="promoted", alias="champion", version=version, model_key=f"model-{version}", report_key="r"))
    return store


def test_the_version_in_force_is_barred_and_the_one_before_returns(store: LocalStore) -> None:
    entry = rollback(store, NOWHERE, "toys", reason="wrong on sevens")
    assert (entry.action, entry.version, entry.baseline, entry.reasons) == (
        "rollback",
        "3",
        Reference("2", "model-2"),
        ("wrong on sevens",),
    )
    champion = current(read_log(store, "toys"), "champion")
    assert champion is not None
    assert champion.version == "2"


def test_rolling_back_everything_leaves_nothing_in_force_and_says_so(store: LocalStore) -> None:
    for _ in range(3):
        entry = rollback(store, NOWHERE, "toys")
    assert entry.baseline is None
    with pytest.raises(InputError, match="every one that was is rolled back"):
        rollback(store, NOWHERE, "toys")


def test_a_former_version_can_be_barred_while_the_champion_stays(store: LocalStore) -> None:
    entry = rollback(store, NOWHERE, "toys", version="1")
    assert entry.baseline == Reference("3", "model-3")
    assert is_barred(read_log(store, "toys"), version="1")


def test_barring_a_version_twice_writes_one_entry(store: LocalStore) -> None:
    first = rollback(store, NOWHERE, "toys", version="3")
    assert rollback(store, NOWHERE, "toys", version="3") == first
    assert len(read_log(store, "toys")) == 4


@pytest.mark.parametrize(
    ("name", "alias", "version", "message"),
    [
        ("nobody", "champion", "", "aliases with a history: none"),
        ("toys", "chief", "", "was ever 'chief'; aliases with a history: champion"),
        ("toys", "champion", "9", "versions that were: 1, 2, 3"),
    ],
)
def test_what_was_never_promoted_cannot_be_rolled_back(store: LocalStore, name: str, alias: str, version: str, message: str) -> None:
    with pytest.raises(InputError, match=message):
        rollback(store, NOWHERE, name, alias=alias, version=version)


def test_when_mlflow_is_down_the_rollback_stands_and_naming_the_version_repairs(store: LocalStore) -> None:
    with pytest.raises(TrackingError, match="roll back version 3 again, which then only repairs the aliases"):
        rollback(store, Tracking(f"http://127.0.0.1:{free_port()}"), "toys")
    assert rollback(store, NOWHERE, "toys", version="3").n == 4
