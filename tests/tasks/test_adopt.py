"""What was done by hand in MLflow is taken over by a person, with a reason, or not at all."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from pipeline.store import LocalStore
from tasks.adopt import adopt
from tasks.contracts import Tracking
from tasks.errors import CorruptArtifact, InputError
from tasks.promotions import Decision, Reference, append, current, read_log

NOWHERE = Tracking()


@pytest.fixture
def store(tmp_path: Path) -> LocalStore:
    """Versions 1 to 3 are registered; 1 is champion."""
    store = LocalStore.open(tmp_path / "store")
    for version in ("1", "2", "3"):
        store.create(f"versions/toys/{version}.json", json.dumps({"model_key": f"model-{version}"}).encode())
    append(store, "toys", Decision(action="promoted", alias="champion", version="1", model_key="model-1"))
    return store


def test_an_adopted_version_is_in_force_with_a_name_and_a_reason(store: LocalStore) -> None:
    entry = adopt(store, NOWHERE, "toys", "champion", "2", by="ana", reason="urgent")
    assert (entry.action, entry.by, entry.reasons, entry.baseline) == ("promoted", "ana", ("adopted: urgent",), Reference("1", "model-1"))
    assert current(read_log(store, "toys"), "champion") == entry
    assert adopt(store, NOWHERE, "toys", "champion", "2", by="ana", reason="urgent") == entry, "again it only repairs"


@pytest.mark.parametrize(
    ("alias", "version", "message"),
    [
        ("champion", "9", "was not registered by Medley into this store.*versions that were: 1, 2, 3"),
        ("chief", "2", "nothing was ever toys@chief by the promotion log; aliases it has: champion"),
    ],
)
def test_what_nobody_knows_is_not_adopted(store: LocalStore, alias: str, version: str, message: str) -> None:
    with pytest.raises(InputError, match=message):
        adopt(store, NOWHERE, "toys", alias, version, by="ana", reason="urgent")
    assert len(read_log(store, "toys")) == 1


def test_a_barred_version_is_not_adopted(store: LocalStore) -> None:
    append(store, "toys", Decision(action="rollback", alias="champion", version="2", model_key="model-2"))
    with pytest.raises(InputError, match="version 2 is barred"):
        adopt(store, NOWHERE, "toys", "champion", "2", by="ana", reason="urgent")


def test_a_damaged_version_says_so(store: LocalStore) -> None:
    store.create("versions/toys/4.json", b"{")
    with pytest.raises(CorruptArtifact, match=r"versions/toys/4.json in the store is damaged"):
        adopt(store, NOWHERE, "toys", "champion", "4", by="ana", reason="urgent")
