"""A schedule that looks whether new data are still like those that the version in force was trained on."""

from __future__ import annotations

import datetime as dt
from pathlib import Path

import pytest

from pipeline import triggers
from pipeline.drift import DriftLevel
from pipeline.errors import NotFound
from pipeline.schedule import DriftConfig
from pipeline.store import LocalStore
from pipeline.ticks import Account, written
from tasks.promotions import Decision, append
from tests.pipeline.test_drift import media, place, russian, store

__all__ = ["place", "store"]


def drift_trigger(store: LocalStore, against: Path, above: float = 0.25) -> triggers.Drift:
    config = DriftConfig(against=against.name, above=above)
    return triggers.Drift(config, (("owls", "champion"),), against.parent, store)


def test_it_is_due_above_its_level_alone_and_then_rests(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    now, small = dt.datetime(2026, 3, 1, tzinfo=dt.UTC), LocalStore.open(tmp_path / "store")
    append(small, "owls", Decision(action="promoted", alias="champion", version="1", model_key="k"))
    asked: list[tuple[str, str]] = []
    level = DriftLevel(0.4, True, "text", "Text moved.")
    monkeypatch.setattr("pipeline.drift.drift_level", lambda _store, *given: asked.append(given) or level)
    fresh, fired = Account(written(now)), Account(written(now), fired=True)
    look = drift_trigger(small, tmp_path / "new").look(fresh, now)
    assert (look.times, look.why, look.again) == ([now], "Text moved.", now + dt.timedelta(days=1))
    assert asked == [("owls@champion", str(tmp_path / "new"))]
    assert drift_trigger(small, tmp_path / "new", above=0.5).look(fresh, now).times == ()
    assert drift_trigger(small, tmp_path / "new").look(fired, now + dt.timedelta(hours=23)).times == ()
    assert len(asked) == 2, "while it rests nothing is measured"
    later = now + dt.timedelta(hours=25)
    assert drift_trigger(small, tmp_path / "new").look(fired, later).times == [later]
    level = DriftLevel(0.4, False, "", "Nothing moved.")
    assert drift_trigger(small, tmp_path / "new").look(fresh, now).times == ()


@pytest.mark.slow
def test_data_that_have_drifted_make_a_run_due_and_others_do_not(store: LocalStore, tmp_path: Path) -> None:
    now = dt.datetime(2026, 3, 1, tzinfo=dt.UTC)
    fresh = Account(written(now))
    assert drift_trigger(store, media(tmp_path / "same", 60)).look(fresh, now) == triggers.Look(
        (), now + dt.timedelta(days=1), "Nothing moved."
    )
    other = media(tmp_path / "other", 60, russian)
    look = drift_trigger(store, other).look(fresh, now)
    assert look.times == [now]
    assert look.why.startswith("Text moved (large): ")


@pytest.mark.slow
def test_drift_waits_for_a_version_and_says_what_it_cannot_look_at(store: LocalStore, tmp_path: Path) -> None:
    now = dt.datetime(2026, 3, 1, tzinfo=dt.UTC)
    nobody = triggers.Drift(DriftConfig(against="new"), (("herons", "champion"),), tmp_path, store)
    assert nobody.look(Account(written(now)), now).why == "nothing is in force yet"
    with pytest.raises(NotFound, match="not there; give a folder of media"):
        drift_trigger(store, tmp_path / "missing").look(Account(written(now)), now)
