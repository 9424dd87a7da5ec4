"""promote, approve, aliases, rollback, run and status as a person types them, with a real MLflow."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest

from pipeline import runner
from pipeline.__main__ import main
from pipeline.executors import in_process
from pipeline.store import LocalStore
from pipeline.tracking import store_tracking
from tasks.promotions import read_log
from tasks.tracking.connect import connect
from tasks.tracking.registry import read_aliases, set_aliases
from tests.pipeline.decisions import RECIPE, decisions
from tests.pipeline.test_runner import planned
from tests.tasks.tracking.mlflow_fixtures import QUIET, free_port

__all__ = ["decisions"]

pytestmark = [pytest.mark.usefixtures("decisions"), QUIET]

SECOND = ("steps.report.model=2",)


class World:
    """A recipe, its store and its MLflow."""

    def __init__(self, root: Path, capsys: pytest.CaptureFixture[str]) -> None:
        self.root, self.capsys = root, capsys
        self.store = LocalStore(root / "store")
        self.tracking = store_tracking(self.store, "toys")

    @property
    def recipe(self) -> Path:
        return self.root / "recipe.yaml"

    def run(self, *settings: str) -> runner.RunResult:
        return runner.run(planned(self.root, RECIPE, *settings), in_process, runner.Options())

    def call(self, *words: Any) -> tuple[int, str, str]:
        code = main([str(word) for word in words])
        told = self.capsys.readouterr()
        return code, told.out, told.err

    @property
    def aliases(self) -> dict[str, str]:
        return read_aliases(self.tracking, "toys")

    @property
    def actions(self) -> list[tuple[str, str]]:
        return [(entry.action, entry.version) for entry in read_log(self.store, "toys")]


@pytest.fixture
def world(tmp_path: Path, capsys: pytest.CaptureFixture[str], mlflow_database: bytes) -> World:
    made = World(tmp_path, capsys)
    database = made.store.root / "mlflow" / "mlflow.db"
    database.parent.mkdir(parents=True)
    database.write_bytes(mlflow_database)
    made.run()
    return made


@pytest.fixture(scope="module")
def mlflow_database(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    """An empty database of MLflow; making its tables takes seconds."""
    folder = tmp_path_factory.mktemp("mlflow")
    connect(store_tracking(LocalStore(folder), "toys"))
    return (folder / "mlflow" / "mlflow.db").read_bytes()


def test_a_dry_run_decides_and_writes_nothing(world: World) -> None:
    world.run(*SECOND, "steps.champion.alias=other")  # so that there is a report
    entries = world.actions
    code, out, _ = world.call("promote", world.recipe, "--set", SECOND[0], "--dry-run")
    assert code == 0
    assert "version 2 of toys would become champion; nothing was written" in out
    assert "lower_bound" in out
    code, out, _ = world.call(
        "promote", world.recipe, "--set", SECOND[0], "--set", "steps.champion.gate.min_samples=2000", "--dry-run", "--json"
    )
    (document,) = json.loads(out)
    assert (code, document["action"], document["dry_run"]) == (3, "refused", True)
    assert document["reasons"] == ["1000 samples with a label are fewer than min_samples 2000"]
    assert world.actions == entries


def test_a_dry_run_without_a_report_says_how_to_make_it(world: World) -> None:
    code, _, err = world.call("promote", world.recipe, "--set", SECOND[0], "--dry-run")
    assert code == 2
    assert "step 'report' has no report yet" in err
    assert "--until report` makes it" in err


def test_a_yes_that_requires_approval_waits_for_it(world: World) -> None:
    pending = ("steps.champion.requires_approval=true", *SECOND)
    result = world.run(*pending)
    assert (result.status, result.steps["champion"].summary["decision"]) == ("done", "pending")
    assert world.aliases == {"champion": "1", "best": "1", "challenger": "2"}
    code, _, err = world.call("run", world.recipe, *(word for setting in pending for word in ("--set", setting)))
    assert code == 0, "to wait is no failure"
    assert f"approve toys 2 --store {world.store.root} --reason …`, or the same with --reject" in err
    code, out, _ = world.call("approve", "toys", "2", "--store", world.store.root, "--by", "ana", "--reason", "seen")
    assert (code, out) == (0, "version 2 of toys is champion now (entry 3 of the promotion log, by ana)\n")
    assert world.aliases == {"champion": "2", "best": "1", "previous": "1"}
    summary = planned(world.root, RECIPE, *pending).steps["champion"].summary
    assert (summary["decision"], summary["reasons"]) == ("promoted", ["approved by ana (entry 3 of the log): seen"])
    code, _, err = world.call("approve", "toys", "7", "--store", world.store.root)
    assert code == 2
    assert "version 7 of 'toys' does not wait for approval: it was never decided on; versions that wait: none" in err


def test_every_decision_is_told_to_mlflow_with_its_numbers(world: World) -> None:
    world.run("steps.report.model=2", "steps.report.right=800")
    assert world.actions == [("promoted", "1"), ("refused", "2")]
    client = connect(world.tracking).client
    tags = client.get_model_version("toys", "2").tags
    assert tags["medley.decision"] == "refused"
    assert tags["medley.decision.candidate"] == "0.8"
    assert float(tags["medley.decision.lower_bound"]) < -0.1
    assert "cannot be ruled out" in tags["medley.decision.reasons"]


def test_an_alias_moved_by_hand_is_told_and_set_back_by_the_next_run(world: World) -> None:
    world.run(*SECOND)
    set_aliases(world.tracking, "toys", {"champion": "1"})
    code, out, _ = world.call("status", "--store", world.store.root)
    assert code == 0
    assert "MLflow's alias toys@champion names version 1, the promotion log says version 2" in out
    where = f"--store {world.store.root}"
    assert f"`medley aliases toys {where}` sets it back, `medley aliases toys --adopt champion=1 --reason … {where}` keeps it" in out
    assert world.call("aliases", "toys", "--store", world.store.root, "--look")[0] == 1
    assert world.aliases["champion"] == "1", "to look changes nothing"
    code, _, err = world.call("run", world.recipe, "--set", SECOND[0])
    assert code == 0
    assert f"it is set back; to keep version 1 instead: `medley aliases toys --adopt champion=1 --reason … {where}`" in err
    assert world.aliases["champion"] == "2"
    assert "MLflow's alias" not in world.call("run", world.recipe, "--set", SECOND[0])[2], "told once"


def test_an_alias_moved_by_hand_is_adopted_when_a_person_says_so(world: World) -> None:
    world.run(*SECOND)
    set_aliases(world.tracking, "toys", {"champion": "1"})
    store = ("--store", world.store.root)
    assert "--adopt needs --reason" in world.call("aliases", "toys", *store, "--adopt", "champion=1")[2]
    code, out, _ = world.call("aliases", "toys", *store, "--adopt", "champion=1", "--reason", "2 is slow", "--by", "ana")
    assert code == 0
    assert "version 1 of toys is champion by entry 3 of the promotion log, without the gate" in out
    assert world.aliases == {"champion": "1", "previous": "2", "best": "1"}
    assert world.call("aliases", "toys", *store, "--look")[0] == 0
    assert "give ALIAS=VERSION" in world.call("aliases", "toys", *store, "--adopt", "champion", "--reason", "x")[2]
    assert "names it has decisions on: toys" in world.call("aliases", "tosy", *store)[2]


def test_rollback_tells_of_a_moved_alias_and_sets_previous(world: World) -> None:
    world.run(*SECOND)
    world.run("steps.report.model=3")
    set_aliases(world.tracking, "toys", {"champion": "1"})
    code, out, err = world.call("rollback", "toys@champion", "--store", world.store.root, "--reason", "wrong")
    assert code == 0
    assert "names version 1, the promotion log says version 3" in err
    assert "toys@champion is version 2 again" in out
    assert world.aliases == {"champion": "2", "previous": "1", "best": "1"}


def test_a_version_is_decided_on_by_the_rules_of_the_last_decision(world: World) -> None:
    world.run("steps.champion.alias=other", *SECOND)
    code, out, _ = world.call("promote", "toys/2", "--store", world.store.root, "--dry-run")
    assert (code, world.actions[-1]) == (0, ("promoted", "2"))
    assert "version 2 of toys would become champion" in out
    code, out, _ = world.call("promote", "toys/2", "--store", world.store.root, "--by", "ana")
    assert code == 0
    assert "version 2 of toys is champion now" in out
    assert world.aliases["champion"] == "2"
    assert read_log(world.store, "toys")[-1].by == "ana"


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["toys/9"], "toys/9"),
        (["toys"], "toys names no version; give NAME@ALIAS or NAME/3, such as toys@champion"),
        (["toys/1", "--alias", "chief"], "no rules are known by which a version of 'toys' becomes 'chief'"),
        (["toys/1", "--set", "a=1"], "--set belongs to a recipe"),
    ],
)
def test_what_cannot_be_decided_on_says_why(world: World, words: list[str], message: str) -> None:
    code, _, err = world.call("promote", *words, "--store", world.store.root, "--dry-run")
    assert code == 2
    assert message in err


@pytest.mark.parametrize(
    "words",
    [
        ("promote", "toys/1"),
        ("approve", "toys", "1"),
        ("aliases", "toys"),
        ("rollback", "toys@champion", "--reason", "x"),
        ("drift", "toys@champion", "--against", "x"),
    ],
)
def test_a_place_without_a_store_is_named_and_nothing_is_made_there(
    words: tuple[str, ...], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([*words, "--store", str(tmp_path / "elsewhere")]) == 2
    assert f"{tmp_path / 'elsewhere'} is no store (it has no FORMAT file); give its folder with --store" in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []


def test_a_report_made_for_another_champion_is_refused_with_the_command_that_evaluates(world: World) -> None:
    world.run("steps.champion.alias=other", *SECOND)
    world.run("steps.report.model=3")
    code, _, err = world.call("promote", "toys/2", "--store", world.store.root)
    assert code == 1
    assert "its report compares with models:/toys/1, but version 3 is champion since entry 3" in err
    assert "`medley run RECIPE` evaluates against it" in err


def test_when_mlflow_goes_away_in_between_the_decision_stands_and_the_same_command_sets_the_alias(world: World) -> None:
    database = world.store.root / "mlflow" / "mlflow.db"
    aside = database.with_suffix(".aside")
    plan = planned(world.root, RECIPE, *SECOND)
    runner.run(planned(world.root, RECIPE, *SECOND, until="version"), in_process, runner.Options())
    os.rename(database, aside)
    database.mkdir()  # a database that cannot be opened
    result = runner.run(plan, in_process, runner.Options())
    assert result.status == "failed"
    assert "the decision (promoted) stands, it is entry 2 of the promotion log" in result.steps["champion"].message
    database.rmdir()
    os.rename(aside, database)
    assert world.run(*SECOND).status == "done"
    assert world.actions == [("promoted", "1"), ("promoted", "2")]
    assert world.aliases["champion"] == "2"


def test_while_mlflow_is_away_a_person_can_still_decide_and_the_log_has_it(world: World) -> None:
    world.run(*SECOND, "steps.champion.requires_approval=true")
    where = ("--store", world.store.root, "--tracking", f"http://127.0.0.1:{free_port()}")
    for words, action in (
        (("approve", "toys", "2"), "promoted"),
        (("rollback", "toys@champion", "--reason", "slow"), "rollback"),
        (("promote", "toys/1"), "pending"),
    ):
        code, _, err = world.call(*words, *where)
        assert (code, world.actions[-1][0]) == (1, action)
        assert f"the decision ({action}) stands, it is entry {len(world.actions)} of the promotion log" in err
    code, out, _ = world.call("aliases", "toys", "--store", world.store.root)
    assert code == 0
    assert world.aliases["champion"] == "1", out


def test_a_run_that_is_all_cached_says_that_mlflow_cannot_be_asked(world: World) -> None:
    settings = ("--set", f"tracking=http://127.0.0.1:{free_port()}")
    code, _, err = world.call("run", world.recipe, *settings)
    assert code == 0
    assert "whether its aliases follow the promotion log is not known" in err
