"""A run tells the recipe's webhooks what it decided, once, and never fails because nobody listens."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from pipeline import Options, build_graph, catalog, in_process, journal, load_recipe, make_plan, run_plan
from pipeline.catalog import Input, Task
from pipeline.cli.display import Display
from pipeline.store import LocalStore
from tasks import promotions
from tasks.contracts import Inputs, Summary, TaskContext
from tasks.promotions import Decision
from tasks.registry import Config
from tests.pipeline.test_cli import call
from tests.pipeline.toys import toys, written
from tests.tasks.test_notify import Receiver, receiver

__all__ = ["receiver", "toys"]

RECIPE = """\
name: toy
store: store
webhooks:
  - {url: "URL", secret: "env:HOOK_KEY", private: true}
steps:
  a: {task: make, value: 2}
  b: {task: decide, given: a, decision: DECISION}
"""


class DecideConfig(Config):
    decision: str = "promoted"
    """What to say."""


def decide(config: DecideConfig, inputs: Inputs, output_dir: Path, context: TaskContext) -> Summary:
    (output_dir / "decision.json").write_text("{}")
    shown = {"name": "toys", "version": "3", "alias": "champion", "entry": 7, "reasons": ["it is so"], "numbers": {"accuracy": 0.5}}
    return {"decision": config.decision, **shown, "private": "stays here"}


@pytest.fixture(autouse=True)
def _decides(toys: None, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    made = Task(f"{__name__}:DecideConfig", f"{__name__}:decide", "decision", version=1, inputs={"given": Input("corpus")})
    monkeypatch.setitem(catalog.CATALOG, "decide", made)
    monkeypatch.setattr("pipeline.references.standing", lambda summary, store: summary)
    monkeypatch.setenv("HOOK_KEY", "s3cret")
    yield


def run(folder: Path, url: str, decision: str) -> tuple[str, list[tuple[str, Mapping[str, Any]]]]:
    """How a run of the recipe ended, and what its display was told."""
    recipe = load_recipe(written(folder, RECIPE.replace("URL", url).replace("DECISION", decision)), [])
    told: list[tuple[str, Mapping[str, Any]]] = []
    plan = make_plan(build_graph(recipe), LocalStore.open(folder / "store"))
    return run_plan(plan, in_process, Options(watch=lambda event, facts: told.append((event, facts)))).status, told


def test_a_decision_is_told_once_by_the_run_that_made_it(tmp_path: Path, receiver: type[Receiver]) -> None:
    assert run(tmp_path, receiver.url, "promoted")[0] == "done"
    [(_, headers, body)] = receiver.got
    document = json.loads(body)
    assert document["event"] == headers["Medley-Event"] == "promotion.promoted"
    assert document["id"] == "toys-7-promoted"
    assert headers["Medley-Signature"].startswith("t=")
    [made] = journal.runs(tmp_path / "store")
    told = {
        "recipe": "toy",
        "run": made,
        "step": "b",
        "name": "toys",
        "version": "3",
        "alias": "champion",
        "decision": "promoted",
        "entry": 7,
    }
    assert document["data"] == told | {"reasons": ["it is so"], "numbers": {"accuracy": 0.5}}
    assert run(tmp_path, receiver.url, "promoted")[0] == "done"
    assert len(receiver.got) == 1, "a cached decision is not told again"


def test_a_refusal_is_told_as_well(tmp_path: Path, receiver: type[Receiver]) -> None:
    assert run(tmp_path, receiver.url, "refused")[0] == "refused"
    assert [headers["Medley-Event"] for _, headers, _ in receiver.got] == ["promotion.refused"]


def test_a_receiver_that_refuses_is_named_and_the_run_goes_through(
    tmp_path: Path, receiver: type[Receiver], capsys: pytest.CaptureFixture[str]
) -> None:
    receiver.statuses += [410]
    status, told = run(tmp_path, receiver.url, "promoted")
    assert status == "done"
    [(event, facts)] = [each for each in told if each[0] == "webhook_failed"]
    Display(quiet=True).watch(event, facts)
    err = capsys.readouterr().err
    assert "was not told of promotion.promoted: it answers 410" in err
    assert "T123" not in err, "what follows the host in an address may be a password"
    [made] = journal.runs(tmp_path / "store")
    events = {event["event"]: event for event in journal.events(tmp_path / "store" / "runs" / made)}
    assert events["webhook_failed"]["of"] == "promotion.promoted"


def test_what_a_person_decides_is_told_to_the_webhooks_of_the_recipe_that_is_named(
    tmp_path: Path, receiver: type[Receiver], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    store = LocalStore.open(tmp_path / "store")
    promotions.append(store, "toys", Decision(action="pending", alias="champion", version="3", model_key="m" * 64))
    recipe = written(tmp_path, RECIPE.replace("URL", receiver.url).replace("DECISION", "promoted"))
    monkeypatch.setattr("tasks.tracking.aliases.follow", lambda *_: None)  # MLflow has no part in it
    monkeypatch.setattr("pipeline.cli.promoting.tell_astray", lambda *_: None)
    words = ["approve", "toys", "3", "--store", str(store.root), "--by", "Ada", "--reason", "seen"]
    code, _, err = call(capsys, *words, "--recipe", str(tmp_path / "none.yaml"))
    assert code == 2
    assert "cannot be read" in err
    assert [entry.action for entry in promotions.read_log(store, "toys")] == ["pending"], "a mistake stops it before it decides"
    receiver.statuses += [410]
    code, _, err = call(capsys, *words, "--recipe", str(recipe))
    assert code == 0
    [(_, headers, body)] = receiver.got
    document = json.loads(body)
    assert document["event"] == headers["Medley-Event"] == "promotion.promoted"
    assert document["id"] == "toys-2-promoted"
    assert {name: document["data"][name] for name in ("by", "version", "alias", "entry")} == {
        "by": "Ada",
        "version": "3",
        "alias": "champion",
        "entry": 2,
    }
    assert "was not told of promotion.promoted: it answers 410" in err


def test_webhooks_enter_no_key_and_a_wrong_one_is_named_with_its_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    recipe = written(tmp_path, RECIPE.replace("URL", "https://example.org/").replace("DECISION", "promoted"))
    before = json.loads(call(capsys, "plan", recipe, "--json")[1])["steps"]
    recipe.write_text(recipe.read_text().replace('secret: "env:HOOK_KEY", private: true', "private: false"))
    assert json.loads(call(capsys, "plan", recipe, "--json")[1])["steps"] == before
    recipe.write_text(recipe.read_text().replace("https://example.org/", "ftp://example.org/"))
    code, _, err = call(capsys, "check", recipe)
    assert code == 2
    assert "recipe.yaml:4: webhooks" in err
    assert "is no address to post to; give http://HOST" in err
