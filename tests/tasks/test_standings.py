"""What the log amounts to: the best champion, what waits, and where each alias stands."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from pipeline.store import LocalStore
from tasks.promotions import Decision, Entry, Reference, append, read_log
from tasks.standings import aliases, answer, best, best_for, named, outcome, overtaken, waiting


@pytest.fixture
def store(tmp_path: Path) -> LocalStore:
    return LocalStore.open(tmp_path / "store")


def log(store: LocalStore, *decisions: tuple[str, str] | tuple[str, str, dict[str, Any]]) -> list[Entry]:
    for action, version, *more in decisions:
        facts: dict[str, Any] = {"alias": "champion", "model_key": f"model-{version}", **(more[0] if more else {})}
        append(store, "toys", Decision(action=action, version=version, **facts))  # type: ignore[arg-type]
    return read_log(store, "toys")


def test_the_first_champion_is_the_best_until_one_leads(store: LocalStore) -> None:
    entries = log(store, ("promoted", "1"), ("promoted", "2"), ("promoted", "3", {"leads": True}), ("refused", "4", {"leads": True}))
    assert [found.version for end in range(1, 5) if (found := best(entries[:end]))] == ["1", "1", "3", "3"]
    assert best([]) is None


def test_a_best_that_was_rolled_back_is_best_no_more(store: LocalStore) -> None:
    entries = log(store, ("promoted", "1"), ("promoted", "2", {"leads": True}), ("rollback", "2"))
    found = best(entries)
    assert found
    assert found.version == "1"


def test_the_champion_is_held_against_what_it_was_held_against(store: LocalStore) -> None:
    entries = log(store, ("promoted", "1"), ("promoted", "2", {"best": Reference("1", "model-1")}))
    assert best_for(entries, "champion", "model-2") == Reference("1", "model-1")
    assert best_for(entries, "champion", "model-3") == Reference("1", "model-1")
    assert best_for(entries[:1], "champion", "model-1") is None, "itself is no rival"
    assert best_for([], "champion", "model-1") is None


def test_previous_is_what_a_rollback_would_return_to(store: LocalStore) -> None:
    entries = log(store, ("promoted", "1"), ("promoted", "2"), ("promoted", "3"))
    assert aliases(entries) == {"champion": "3", "previous": "2", "best": "1"}
    entries = log(store, ("rollback", "3"))
    assert aliases(entries) == {"champion": "2", "previous": "1", "best": "1"}
    entries = log(store, ("rollback", "2"), ("rollback", "1"))
    assert aliases(entries) == {"champion": "", "previous": "", "best": ""}


def test_the_challenger_is_what_waits_for_approval(store: LocalStore) -> None:
    entries = log(store, ("promoted", "1"), ("pending", "2"))
    assert aliases(entries)["challenger"] == "2"
    assert outcome(entries, entries[1]) == ("pending", [])
    entries = log(store, ("promoted", "2", {"answers": 2, "by": "ana", "reasons": ("seen it",)}))
    assert aliases(entries) == {"champion": "2", "previous": "1", "best": "1", "challenger": ""}
    assert answer(entries, entries[1]) == entries[2]
    assert outcome(entries, entries[1]) == ("promoted", ["approved by ana (entry 3 of the log): seen it"])


def test_a_challenger_by_recipe_stays_until_something_waits(store: LocalStore) -> None:
    entries = log(store, ("promoted", "1"), ("promoted", "2", {"alias": "challenger"}))
    assert aliases(entries)["challenger"] == "2"
    entries = log(store, ("pending", "3"))
    assert aliases(entries)["challenger"] == "3"
    entries = log(store, ("refused", "3", {"answers": 3, "by": "ben"}))
    assert aliases(entries)["challenger"] == "2"
    assert outcome(entries, entries[2])[0] == "refused"


def test_what_waits_is_overtaken_by_another_champion_and_by_a_rollback(store: LocalStore) -> None:
    entries = log(store, ("promoted", "1"), ("pending", "2"), ("pending", "3"))
    found = waiting(entries)
    assert found
    assert found.version == "3"
    entries = log(store, ("promoted", "3", {"answers": 3}))
    newer = overtaken(entries, entries[1])
    assert newer
    assert newer.n == 4
    assert waiting(entries) is None
    decision, reasons = outcome(entries, entries[1])
    assert decision == "refused"
    assert "since then version 3 became champion (entry 4" in reasons[0]


def test_a_rollback_of_the_champion_overtakes_what_was_compared_with_it(store: LocalStore) -> None:
    entries = log(store, ("promoted", "1"), ("promoted", "2"), ("pending", "3"), ("rollback", "2"))
    newer = overtaken(entries, entries[2])
    assert newer
    assert newer.action == "rollback"


def test_what_came_under_another_alias_overtakes_nothing_and_is_not_named(store: LocalStore) -> None:
    other = {"alias": "canary"}
    entries = log(store, ("promoted", "1"), ("pending", "2"), ("promoted", "3", other))
    assert overtaken(entries, entries[1]) is None
    entries = log(store, ("promoted", "4"), ("promoted", "5", other))
    newer = overtaken(entries, entries[1])
    assert newer
    assert (newer.n, newer.version) == (4, "4")


def test_a_rollback_of_an_older_version_overtakes_nothing(store: LocalStore) -> None:
    entries = log(store, ("promoted", "1"), ("promoted", "2"), ("pending", "3"), ("rollback", "1"))
    assert overtaken(entries, entries[2]) is None


def test_every_alias_names_an_entry(store: LocalStore) -> None:
    entries = log(store, ("promoted", "1"), ("promoted", "2"), ("pending", "3"))
    assert {alias: entry.version for alias in aliases(entries) if (entry := named(entries, alias))} == aliases(entries)
