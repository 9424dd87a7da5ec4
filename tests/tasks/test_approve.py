"""What the gate left pending becomes what it was to become when a person says so, and only while nothing else did."""

from __future__ import annotations

from pathlib import Path

import pytest

from pipeline.store import LocalStore
from tasks.approve import approve
from tasks.contracts import Tracking
from tasks.errors import InputError, StaleReport, TrackingError
from tasks.promotions import Decision, Reference, append, current, read_log
from tests.tasks.tracking.mlflow_fixtures import QUIET, free_port

pytestmark = QUIET
NOWHERE = Tracking()


@pytest.fixture
def store(tmp_path: Path) -> LocalStore:
    """Version 1 is champion, 2 waits."""
    store = LocalStore.open(tmp_path / "store")
    append(store, "toys", Decision(action="promoted", alias="champion", version="1", model_key="model-1"))
    pending = Decision(
        action="pending",
        alias="champion",
        version="2",
        model_key="model-2",
        report_key="r",
        baseline=Reference("1", "model-1"),
        numbers={"candidate": 0.9},
        leads=True,
    )
    append(store, "toys", pending)
    return store


def test_an_approval_puts_the_version_in_force_with_the_numbers_it_was_judged_by(store: LocalStore) -> None:
    entry = approve(store, NOWHERE, "toys", "2", by="ana", reason="looked at the page")
    assert (entry.action, entry.by, entry.reasons, entry.answers, entry.leads) == ("promoted", "ana", ("looked at the page",), 2, True)
    assert (entry.baseline, entry.numbers, entry.report_key) == (Reference("1", "model-1"), {"candidate": 0.9}, "r")
    champion = current(read_log(store, "toys"), "champion")
    assert champion == entry


def test_a_rejection_leaves_the_champion_and_is_logged(store: LocalStore) -> None:
    entry = approve(store, NOWHERE, "toys", "2", by="ana", reject=True)
    assert (entry.action, entry.answers) == ("refused", 2)
    champion = current(read_log(store, "toys"), "champion")
    assert champion
    assert champion.version == "1"


def test_the_same_answer_again_writes_nothing_and_another_is_refused(store: LocalStore) -> None:
    first = approve(store, NOWHERE, "toys", "2", by="ana")
    assert approve(store, NOWHERE, "toys", "2", by="ben") == first
    with pytest.raises(InputError, match=r"was approved by ana already \(entry 3\); `medley rollback toys@champion --version 2"):
        approve(store, NOWHERE, "toys", "2", by="ben", reject=True)
    assert len(read_log(store, "toys")) == 3


def test_an_approval_is_refused_once_another_version_is_champion(store: LocalStore) -> None:
    append(store, "toys", Decision(action="promoted", alias="champion", version="3", model_key="model-3"))
    with pytest.raises(StaleReport, match=r"since then version 3 became champion \(entry 3, .*`medley run RECIPE` evaluates it against"):
        approve(store, NOWHERE, "toys", "2", by="ana")
    assert approve(store, NOWHERE, "toys", "2", by="ana", reject=True).n == 4, "to say no is always possible"


def test_an_approval_is_refused_once_the_version_is_barred(store: LocalStore) -> None:
    append(store, "toys", Decision(action="rollback", alias="champion", version="2", model_key="model-2", reasons=("wrong data",)))
    with pytest.raises(InputError, match=r"version 2 is barred: entry 3 of the log rolled its model back \(wrong data\)"):
        approve(store, NOWHERE, "toys", "2", by="ana")


@pytest.mark.parametrize(("version", "said"), [("1", "was promoted by entry 1 of the log"), ("9", "was never decided on")])
def test_what_does_not_wait_cannot_be_approved(store: LocalStore, version: str, said: str) -> None:
    with pytest.raises(InputError, match=f"{said}; versions that wait: 2"):
        approve(store, NOWHERE, "toys", version, by="ana")


def test_when_mlflow_is_down_the_approval_stands_and_the_same_command_repairs(store: LocalStore) -> None:
    with pytest.raises(TrackingError, match=r"the decision \(promoted\) stands, it is entry 3 .*give the same command again"):
        approve(store, Tracking(f"http://127.0.0.1:{free_port()}"), "toys", "2", by="ana")
    assert approve(store, NOWHERE, "toys", "2", by="ana").n == 3
