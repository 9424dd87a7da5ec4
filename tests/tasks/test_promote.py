"""A version is promoted by what the log and its report say, once, and the alias follows whenever MLflow lets it."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from pydantic import ValidationError

from pipeline.store import LocalStore
from tasks.contracts import Artifact, Summary, Tracking
from tasks.errors import CorruptArtifact, InputError, StaleReport, TrackingError
from tasks.promote import GateConfig, PromoteConfig, lint, promote
from tasks.promotions import Decision, append, read_log
from tests.tasks.tracking.mlflow_fixtures import QUIET, free_port
from tests.tasks.tracking.toys import Sink, context, report_folder, version_folder

pytestmark = QUIET

CONFIG = PromoteConfig(gate=GateConfig(head="digit"))


class World:
    """Models, reports and decisions of one store, without MLflow unless a test gives one."""

    def __init__(self, root: Path, tracking: Tracking | None = None) -> None:
        self.root = root
        self.tracking = tracking or Tracking()
        self.store = LocalStore.open(root / "store")
        self.sink = Sink()

    def inputs(self, version: str, right: int, baseline: tuple[str, int] | None = None, label: str = "") -> dict[str, Artifact]:
        """Version n of model n, right on so many of 1,000 samples, beside version m of model m."""
        name = label or f"{version}-vs-{baseline[0] if baseline else 'none'}"
        model = Artifact("model", version * 64, Path(), step="model")
        compared = (baseline[0], baseline[0] * 64, np.arange(1000) < baseline[1]) if baseline else None
        report = report_folder(self.root / f"report-{name}", version * 60 + "repo", model, np.arange(1000) < right, compared)
        return {"version": version_folder(self.root / f"version-{name}", version, model), "report": report}

    def promote(self, inputs: dict[str, Artifact], key: str, config: PromoteConfig = CONFIG) -> Summary:
        output = self.root / f"out-{key}"
        output.mkdir(exist_ok=True)
        summary = promote(config, inputs, output, context(self.root, key, "champion", self.tracking, sink=self.sink))
        assert json.loads((output / "decision.json").read_bytes())["entry"] == summary["entry"]
        return summary


@pytest.fixture
def world(tmp_path: Path) -> World:
    """Where aliases have nowhere to go: the log alone counts."""
    return World(tmp_path)


@pytest.fixture
def followed(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Names whose aliases were asked to follow the log; MLflow itself is left out, see test_aliases."""
    names: list[str] = []
    monkeypatch.setattr("tasks.tracking.aliases.project", lambda store, tracking, name, entries: names.append(name))
    monkeypatch.setattr("tasks.tracking.aliases.astray", lambda store, tracking, name, entries: [])
    monkeypatch.setattr("tasks.tracking.registry.record_decision", lambda *facts: None)
    return names


def test_the_first_version_is_promoted_and_the_entry_holds_every_number(tmp_path: Path, followed: list[str]) -> None:
    world = World(tmp_path, Tracking("sqlite:///unused.db"))
    summary = world.promote(world.inputs("1", 900), "key-1")
    assert (summary["decision"], summary["version"], summary["entry"], summary["reasons"]) == ("promoted", "1", 1, [])
    (entry,) = read_log(world.store, "toys")
    assert (entry.action, entry.alias, entry.model_key, entry.step_key, entry.baseline) == ("promoted", "champion", "1" * 64, "key-1", None)
    assert entry.numbers["candidate"] == 0.9
    assert entry.report_key == "1" * 60 + "repo"
    assert followed == ["toys"]


def test_a_worse_version_is_refused_and_the_refusal_is_logged(tmp_path: Path, followed: list[str]) -> None:
    world = World(tmp_path, Tracking("sqlite:///unused.db"))
    world.promote(world.inputs("1", 900), "key-1")
    summary = world.promote(world.inputs("2", 800, ("1", 900)), "key-2")
    assert (summary["decision"], summary["entry"]) == ("refused", 2)
    assert "0.8000 against 0.9000" in summary["reasons"][0]
    assert world.sink.notes == [f"refused: {summary['reasons'][0]}"]
    assert summary["baseline"] == {"version": "1", "model_key": "1" * 64}
    assert read_log(world.store, "toys")[1].numbers["lower_bound"] < -0.02
    assert len(followed) == 2, "what was decided is told to MLflow too"


def test_a_version_as_good_as_the_champion_replaces_it(world: World) -> None:
    world.promote(world.inputs("1", 900), "key-1")
    assert world.promote(world.inputs("2", 900, ("1", 900)), "key-2")["decision"] == "promoted"


def test_a_step_that_is_repeated_finds_its_own_decision(world: World) -> None:
    inputs = world.inputs("1", 900)
    first = world.promote(inputs, "key-1")
    assert world.promote(inputs, "key-1") == first
    assert len(read_log(world.store, "toys")) == 1


def test_a_report_that_compares_with_a_former_champion_is_not_decided_on(world: World) -> None:
    world.promote(world.inputs("1", 900), "key-1")
    late = world.inputs("3", 950, ("1", 900))
    world.promote(world.inputs("2", 920, ("1", 900)), "key-2")
    with pytest.raises(StaleReport) as caught:
        world.promote(late, "key-3")
    assert "version 2 is champion since entry 2" in str(caught.value)
    assert "`medley run RECIPE --until champion`" in str(caught.value)
    assert '"models:/toys@champion"' in str(caught.value)
    assert len(read_log(world.store, "toys")) == 2, "nothing was decided, so that the same step may decide when version 2 is rolled back"


def test_a_report_without_a_baseline_is_stale_once_there_is_a_champion(world: World) -> None:
    world.promote(world.inputs("1", 900), "key-1")
    with pytest.raises(StaleReport, match="compares with nothing"):
        world.promote(world.inputs("2", 950), "key-2")


def test_the_champion_itself_need_not_be_compared_with_itself(world: World) -> None:
    inputs = world.inputs("1", 900)
    world.promote(inputs, "key-1")
    stricter = PromoteConfig(gate=GateConfig(head="digit", min_value=0.85))
    assert world.promote(inputs, "key-2", stricter)["decision"] == "promoted"


def test_a_writer_that_was_faster_makes_the_decision_be_taken_again(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    world.promote(world.inputs("1", 900), "key-1")
    late = world.inputs("3", 950, ("1", 900))
    import tasks.promote as module

    real = module.append_after

    def slow(store: Any, name: str, entries: Any, decision: Decision) -> Any:
        if len(entries) == 1:
            append(store, "toys", Decision(action="promoted", alias="champion", version="2", model_key="2" * 64))
        return real(store, name, entries, decision)

    monkeypatch.setattr(module, "append_after", slow)
    with pytest.raises(StaleReport, match="version 2 is champion"):
        world.promote(late, "key-3")


def test_a_barred_model_is_refused_under_any_number(world: World) -> None:
    world.promote(world.inputs("1", 900), "key-1")
    append(world.store, "toys", Decision(action="rollback", alias="champion", version="1", model_key="1" * 64, reasons=("too slow",)))
    again = world.promote(world.inputs("1", 999, label="again"), "key-2")
    assert again["decision"] == "refused"
    assert "version 1 is barred: entry 2 of the log rolled its model back (too slow)" in again["reasons"][0]


def test_a_step_repeated_after_a_rollback_does_not_claim_the_promotion(world: World) -> None:
    inputs = world.inputs("1", 900)
    world.promote(inputs, "key-1")
    append(world.store, "toys", Decision(action="rollback", alias="champion", version="1", model_key="1" * 64))
    summary = world.promote(inputs, "key-1")
    assert summary["decision"] == "refused"
    assert "barred" in summary["reasons"][0]
    assert len(read_log(world.store, "toys")) == 2


def test_a_gated_head_that_the_report_lacks_is_named_and_nothing_is_logged(world: World) -> None:
    with pytest.raises(InputError, match=r"'digits' is not in the report.*did you mean 'digit'"):
        world.promote(world.inputs("1", 900), "key-1", PromoteConfig(gate=GateConfig(head="digits")))
    assert read_log(world.store, "toys") == []


def test_a_report_about_another_model_is_refused(world: World) -> None:
    mixed = {"version": world.inputs("1", 900)["version"], "report": world.inputs("2", 900)["report"]}
    with pytest.raises(InputError, match="about another model than version 1 of 'toys'"):
        world.promote(mixed, "key-1")


def test_artifacts_that_cannot_be_read_say_which_step_makes_them(world: World) -> None:
    inputs = world.inputs("1", 900)
    (inputs["report"].path / "report.json").write_text("{")
    with pytest.raises(CorruptArtifact, match="step 'report' again"):
        world.promote(inputs, "key-1")


def test_when_mlflow_is_down_the_decision_stands_and_the_error_says_so(tmp_path: Path) -> None:
    world = World(tmp_path, Tracking(f"http://127.0.0.1:{free_port()}"))
    inputs = world.inputs("1", 900)
    for _ in range(2):
        with pytest.raises(TrackingError) as caught:
            world.promote(inputs, "key-1")
        assert "the decision (promoted) stands, it is entry 1" in str(caught.value)
        assert "run the same command again" in str(caught.value)
    assert len(read_log(world.store, "toys")) == 1


@pytest.mark.parametrize("alias", ["latest", "Latest", "v3", "V12", "", "a b", "a/b", "a:b"])
def test_an_alias_that_mlflow_refuses_is_refused_in_the_recipe(alias: str) -> None:
    with pytest.raises(ValidationError, match="cannot be an alias"):
        PromoteConfig(alias=alias, gate=GateConfig(head="digit"))


@pytest.mark.parametrize(
    "rules", [{"margin": -0.1}, {"confidence": 1.0}, {"min_samples": 0}, {"min_value": 1.5}, {"metric": "f1"}, {"what": 1}]
)
def test_rules_out_of_range_are_refused(rules: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        GateConfig(head="digit", **rules)


def test_lint_finds_a_head_that_the_model_does_not_have() -> None:
    training = SimpleNamespace(model=SimpleNamespace(heads={"digit": 1, "size": 2}))
    config = PromoteConfig(gate=GateConfig(head="digits"))
    (problem,) = lint(config, {"model": training})
    assert problem == "gate.head 'digits' is not a head of the model; its heads are: digit, size; did you mean 'digit'?"
    assert lint(CONFIG, {"model": training}) == []
    assert lint(config, {}) == []


def test_the_configs_import_nothing_slow() -> None:
    slow = "{'mlflow', 'numpy', 'torch', 'pyarrow', 'ray', 'pandas'}"
    code = f"import sys, tasks.promote, tasks.register, tasks.rollback; slow = {slow} & set(sys.modules); assert not slow, slow"
    subprocess.run([sys.executable, "-c", code], check=True)
