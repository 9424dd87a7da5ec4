"""What makes a run due, against a real source, a real journal and a real promotion log."""

from __future__ import annotations

import datetime as dt
from pathlib import Path

import pytest

from pipeline import graph, plan, recipe, runner, triggers
from pipeline.catalog import CATALOG
from pipeline.executors import in_process
from pipeline.steps import Recipe
from pipeline.store import LocalStore
from pipeline.ticks import Account, written
from pipeline.triggers import MaxAge, NewData
from tasks import promotions
from tests.pipeline.schedules import utc

NOW = utc("2026-03-01T00:00")
FRESH = Account(written(NOW))
RECIPE = """
name: small
store: store
schedule: {new_data: {at_least: 3, check_every_s: 60}}
steps:
  corpus: {task: ingest, source: {format: folder, path: data}}
"""
PROMOTED = """
name: small
store: store
schedule: {max_age_h: 24}
steps:
  corpus: {task: ingest, source: {format: folder, path: data}}
  shards: {task: shard, corpus: corpus, prepare: {text: {}}}
  model:
    task: train
    shards: shards
    epochs: 1
    batch_size: 2
    streams: 1
    model: {encoders: {text: {kind: gru}}, fusion: {kind: concat}, heads: {label: {kind: classification}}}
  report: {task: evaluate, model: model, shards: shards}
  version: {task: register, model: model, report: report, name: tiny}
  best: {task: promote, version: version, report: report, alias: live, gate: {head: label}}
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    add(tmp_path, 0, 5)
    return tmp_path


def add(folder: Path, first: int, last: int) -> None:
    (folder / "data" / "a").mkdir(parents=True, exist_ok=True)
    for number in range(first, last):
        (folder / "data" / "a" / f"{number}.txt").write_text(f"text {number}")


def loaded(folder: Path, text: str = RECIPE) -> tuple[Recipe, LocalStore]:
    (folder / "recipe.yaml").write_text(text)
    return recipe.load(folder / "recipe.yaml"), LocalStore.open(folder / "store")


def run(said: Recipe, store: LocalStore) -> None:
    assert runner.run(plan.make(graph.build(said), store), in_process, runner.Options()).status == "done"


def new_data(folder: Path) -> NewData:
    said, store = loaded(folder)
    [found] = triggers.of(said, store)
    assert isinstance(found, NewData)
    return found


def test_all_is_new_where_nothing_was_run(folder: Path) -> None:
    look = new_data(folder).look(FRESH, NOW)
    assert look.times == [NOW]
    assert look.why == "5 records are new, altered or gone"
    assert look.again == NOW + dt.timedelta(seconds=60)


def test_a_run_is_due_when_enough_has_changed_since_the_last_one(folder: Path) -> None:
    run(*loaded(folder))
    assert new_data(folder).look(FRESH, NOW).times == ()
    add(folder, 5, 7)
    look = new_data(folder).look(FRESH, NOW)
    assert (look.times, look.why) == ((), "2 records are new, altered or gone")
    (folder / "data" / "a" / "0.txt").unlink()
    look = new_data(folder).look(FRESH, NOW)
    assert (look.times, look.why) == ([NOW], "3 records are new, altered or gone")
    run(*loaded(folder))
    assert new_data(folder).look(FRESH, NOW).times == ()


def test_what_it_fired_for_makes_it_fire_again_only_when_it_is_another(folder: Path) -> None:
    """The run that it asked for may have failed; the same data would make it fail again."""
    seen = new_data(folder).look(FRESH, NOW).seen
    fired = Account(written(NOW), seen, fired=True)
    assert new_data(folder).look(fired, NOW).times == ()
    add(folder, 5, 6)
    assert new_data(folder).look(fired, NOW).times == [NOW]


def test_an_unchanged_source_is_told_without_listing_its_records(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run(*loaded(folder))
    monkeypatch.setattr("tasks.ingest.changed", lambda *_: pytest.fail("it compared records"))
    assert new_data(folder).look(FRESH, NOW).times == ()


@pytest.mark.parametrize("name", [name for name, task in CATALOG.items() if task.ingests])
def test_every_task_that_takes_records_in_can_say_how_many_changed(name: str) -> None:
    assert callable(CATALOG[name].hook("changed"))


def max_age(folder: Path) -> tuple[MaxAge, LocalStore]:
    said, store = loaded(folder, PROMOTED)
    [found] = triggers.of(said, store)
    assert isinstance(found, MaxAge)
    assert found.models == (("tiny", "live"),)
    return found, store


def promoted(store: LocalStore) -> dt.datetime:
    decision = promotions.Decision(action="promoted", alias="live", version="1", model_key="k")
    return dt.datetime.fromisoformat(promotions.append(store, "tiny", decision).time)


def test_where_nothing_is_in_force_a_run_is_due_at_once_and_after_it_not_before_the_age(folder: Path) -> None:
    trigger, _ = max_age(folder)
    assert trigger.look(FRESH, NOW).times == [NOW]
    tried = Account(written(NOW), fired=True)
    assert trigger.look(tried, NOW + dt.timedelta(hours=23)).times == ()
    later = NOW + dt.timedelta(hours=24)
    assert trigger.look(tried, later).times == [later]


def test_a_version_that_is_too_old_makes_a_run_due_and_a_refusal_waits_as_long_again(folder: Path) -> None:
    trigger, store = max_age(folder)
    born = promoted(store)
    young, old = born + dt.timedelta(hours=23), born + dt.timedelta(hours=25)
    look = trigger.look(FRESH, young)
    assert (look.times, look.why) == ((), "the version in force is 23.0 h old")
    assert look.again == young + dt.timedelta(seconds=triggers.AGAIN_S)
    assert trigger.look(FRESH, old).times == [old]
    refused = Account(written(old), fired=True)
    assert trigger.look(refused, old + dt.timedelta(hours=20)).times == ()
    assert trigger.look(refused, old + dt.timedelta(hours=25)).times == [old + dt.timedelta(hours=25)]


def test_another_alias_does_not_count(folder: Path) -> None:
    trigger, store = max_age(folder)
    promotions.append(store, "tiny", promotions.Decision(action="promoted", alias="champion", version="1", model_key="k"))
    assert trigger.look(FRESH, NOW).times == [NOW]
