"""The log of a schedule: one entry a place, the state after it inside, and nothing read in vain."""

from __future__ import annotations

import datetime as dt
import json
from pathlib import Path
from typing import Any

import pytest

from pipeline.errors import StoreError
from pipeline.store import LocalStore
from pipeline.ticks import EMPTY, Account, Log, Tick
from tests.pipeline.schedules import utc

NOW = utc("2026-03-01T03:00")


@pytest.fixture
def store(tmp_path: Path) -> LocalStore:
    return LocalStore.open(tmp_path / "store")


def began(log: Log) -> None:
    assert log.append(log.last(), "began", NOW, triggers=["a", "b"], since="2026-03-01T00:00:00+00:00")


def claim(log: Log) -> dict[str, Any]:
    return {"trigger": "a", "scheduled": "2026-03-01T02:00:00+00:00", "why": "x", "seen": {"s": "k"}, "folded": None, "skipped": None}


def test_of_two_who_append_after_the_same_entry_one_gets_through(store: LocalStore) -> None:
    one, other = Log(store, "toy"), Log(store, "toy")
    began(one)
    after = other.last()
    assert one.append(one.last(), "claimed", NOW, **claim(one)) is not None
    assert other.append(after, "claimed", NOW, **claim(other)) is None
    assert [entry.kind for entry in other.entries()] == ["began", "claimed"]


def test_what_does_not_depend_on_the_log_is_appended_whatever_it_holds(store: LocalStore) -> None:
    one, other = Log(store, "toy"), Log(store, "toy")
    one.last()
    other.note("paused", NOW, reason="x")
    assert one.note("resumed", NOW).n == 2


def test_the_last_entry_tells_how_the_schedule_stands(store: LocalStore) -> None:
    log = Log(store, "toy")
    assert log.last() == EMPTY
    began(log)
    log.append(log.last(), "claimed", NOW, **claim(log))
    log.append(log.last(), "attempt", NOW, tick=2, reason="")
    for each in (log, Log(store, "toy")):
        state = each.last().state
        assert state.open == Tick(2, "a", "2026-03-01T02:00:00+00:00", "x", attempt=2)
        assert state.accounts["a"] == Account("2026-03-01T02:00:00+00:00", {"s": "k"}, fired=True)
        assert state.accounts["b"] == Account("2026-03-01T00:00:00+00:00")
    log.append(log.last(), "finished", NOW, tick=2)
    assert log.last().state.open is None


def test_resuming_counts_every_trigger_from_then(store: LocalStore) -> None:
    log = Log(store, "toy")
    began(log)
    log.note("paused", NOW, reason="")
    assert log.last().state.paused == ""
    log.note("resumed", NOW)
    assert log.last().state.paused is None
    assert {account.since for account in log.last().state.accounts.values()} == {"2026-03-01T03:00:00+00:00"}


def test_a_trigger_that_is_gone_and_comes_back_counts_from_then(store: LocalStore) -> None:
    log = Log(store, "toy")
    began(log)
    later = NOW + dt.timedelta(days=1)
    log.append(log.last(), "began", later, triggers=["b"], since="2026-03-02T03:00:00+00:00")
    log.append(log.last(), "began", later, triggers=["a", "b"], since="2026-03-02T03:00:00+00:00")
    assert log.last().state.accounts["a"].since.startswith("2026-03-02")
    assert log.last().state.accounts["b"].since.startswith("2026-03-01")


def test_looking_again_asks_the_store_once(store: LocalStore, monkeypatch: pytest.MonkeyPatch) -> None:
    log, asked = Log(store, "toy"), list[str]()
    began(log)
    log.last()
    for name in ("read", "list", "exists"):
        real = getattr(LocalStore, name)
        monkeypatch.setattr(LocalStore, name, lambda self, given, real=real, name=name: asked.append(name) or real(self, given))
    log.last()
    assert asked == ["exists"]


def test_the_latest_time_survives_a_clock_that_goes_back_until_that_is_noticed(store: LocalStore) -> None:
    log, earlier = Log(store, "toy"), NOW - dt.timedelta(days=1)
    began(log)
    log.note("undelivered", earlier)
    assert log.last().state.latest.startswith("2026-03-01T03")
    log.note("clock_back", earlier, by_s=86_400, until="")
    assert log.last().state.latest.startswith("2026-02-28T03")


@pytest.mark.parametrize(
    "content", ["{", "[]", '{"format": 1}', '{"format": 1, "n": 1, "event": "x", "time": "", "state": {"accounts": {}}}']
)
def test_a_damaged_entry_is_named(store: LocalStore, content: str) -> None:
    began(Log(store, "toy"))
    store.local_path("schedule/toy/ticks/00000001.json").write_text(content)
    with pytest.raises(StoreError, match=r"schedule/toy/ticks/00000001.json in the store is damaged .* restore it from a backup"):
        Log(store, "toy").last()


def test_an_entry_of_a_newer_medley_is_told_as_that(store: LocalStore) -> None:
    began(Log(store, "toy"))
    path = store.local_path("schedule/toy/ticks/00000001.json")
    path.write_text(json.dumps({**json.loads(path.read_bytes()), "format": 99}))
    with pytest.raises(StoreError, match="newer Medley"):
        Log(store, "toy").last()
