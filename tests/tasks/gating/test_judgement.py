"""The gate lets a candidate through only when a loss beyond the margin can be ruled out."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pydantic import ValidationError

from tasks.contracts import Artifact
from tasks.errors import CorruptArtifact, InputError
from tasks.gating.config import GateConfig
from tasks.gating.judgement import Verdict, judge
from tests.tasks.tracking.toys import report_folder

MODEL = Artifact("model", "m" * 64, Path(), step="model")


def verdict(
    tmp_path: Path, candidate: Any, baseline: Any = None, groups: Any = None, *, best: Any = None, described: Any = None, **rules: Any
) -> Verdict:
    compared = None if baseline is None else ("1", "b" * 64, baseline)
    ever = None if best is None else ("7", "e" * 64, best)
    report = report_folder(tmp_path / "report", "r" * 64, MODEL, candidate, compared, groups, best=ever, described=described)
    return judge(report.path, GateConfig(head="digit", **rules), baseline is not None, seed=0)


def share(right: int, of: int) -> np.ndarray[Any, Any]:
    return np.arange(of) < right


def test_a_first_model_needs_only_enough_samples(tmp_path: Path) -> None:
    found = verdict(tmp_path, share(60, 200))
    assert found.objections == ()
    assert (found.numbers["candidate"], found.numbers["samples"], found.numbers["groups"]) == (0.3, 200, 200)
    assert "lower_bound" not in found.numbers


def test_too_few_samples_and_too_low_a_value_are_both_told(tmp_path: Path) -> None:
    found = verdict(tmp_path, share(30, 60), min_value=0.8)
    assert found.objections == (
        "60 samples with a label are fewer than min_samples 100",
        "accuracy 0.5000 of 'digit' is below min_value 0.8",
    )


def test_the_floor_itself_is_good_enough(tmp_path: Path) -> None:
    assert verdict(tmp_path, share(160, 200), min_value=0.8).objections == ()


def test_an_equal_model_passes_when_there_is_enough_data(tmp_path: Path) -> None:
    found = verdict(tmp_path, share(900, 1000), share(900, 1000))
    assert found.objections == ()
    assert found.numbers["difference"] == 0
    assert -0.02 < found.numbers["lower_bound"] < 0


def test_an_equal_model_on_few_samples_does_not_rule_a_loss_out(tmp_path: Path) -> None:
    found = verdict(tmp_path, share(90, 100), share(90, 100))
    assert "cannot be ruled out" in found.objections[0]
    assert found.numbers["lower_bound"] == pytest.approx(-0.03, abs=0.011), "the rule of three"


def test_a_worse_model_is_refused_with_the_numbers(tmp_path: Path) -> None:
    found = verdict(tmp_path, share(850, 1000), share(900, 1000))
    (said,) = found.objections
    assert "a loss of more than 0.02 in accuracy of 'digit' cannot be ruled out: 0.8500 against 0.9000, difference -0.0500" in said
    assert (found.numbers["only_baseline_right"], found.numbers["only_candidate_right"]) == (50, 0)


def test_a_better_model_passes_a_margin_of_nothing(tmp_path: Path) -> None:
    assert verdict(tmp_path, share(940, 1000), share(900, 1000), margin=0.0).objections == ()


def test_samples_of_one_group_count_together(tmp_path: Path) -> None:
    rng = np.random.default_rng(1)
    baseline = rng.random(1000) < 0.9
    candidate = baseline ^ (rng.random(1000) < 0.04)
    alone = verdict(tmp_path / "alone", candidate, baseline)
    grouped = verdict(tmp_path / "grouped", candidate, baseline, groups=np.arange(1000) // 50)
    assert grouped.numbers["groups"] == 20
    assert grouped.numbers["lower_bound"] < alone.numbers["lower_bound"]


def test_one_group_alone_says_nothing(tmp_path: Path) -> None:
    found = verdict(tmp_path, share(200, 200), share(100, 200), groups=["g"] * 200)
    assert "of 1 group," in found.objections[0]


def test_the_same_report_always_gets_the_same_verdict(tmp_path: Path) -> None:
    candidate, baseline = np.random.default_rng(0).random((2, 500)) < 0.8
    assert verdict(tmp_path / "a", candidate, baseline) == verdict(tmp_path / "b", candidate, baseline)


def test_an_unknown_head_is_named_with_those_that_exist(tmp_path: Path) -> None:
    report = report_folder(tmp_path / "r", "r" * 64, MODEL, share(9, 10))
    with pytest.raises(InputError, match=r"'digits' is not in the report; its heads are: digit, size; did you mean 'digit'"):
        judge(report.path, GateConfig(head="digits"), compare=False, seed=0)


def test_a_regression_head_cannot_be_gated_by_accuracy(tmp_path: Path) -> None:
    report = report_folder(tmp_path / "r", "r" * 64, MODEL, share(9, 10))
    with pytest.raises(InputError, match="needs a classification head"):
        judge(report.path, GateConfig(head="size"), compare=False, seed=0)


def test_a_baseline_without_the_head_cannot_be_compared_with(tmp_path: Path) -> None:
    report = report_folder(tmp_path / "r", "r" * 64, MODEL, share(190, 200))
    found = judge(report.path, GateConfig(head="digit"), compare=True, seed=0)
    assert "has no head 'digit'" in found.objections[0]


def test_predictions_that_cannot_be_read_ask_to_evaluate_again(tmp_path: Path) -> None:
    (tmp_path / "predictions.parquet").write_bytes(b"PAR1 nonsense")
    with pytest.raises(CorruptArtifact, match="evaluate the model again"):
        judge(tmp_path, GateConfig(head="digit"), compare=False, seed=0)


def test_too_little_power_is_refused_with_the_samples_it_would_take(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    baseline = rng.random(400) < 0.9
    candidate = baseline ^ (rng.random(400) < 0.1)
    found = verdict(tmp_path, candidate, baseline, power={"at_least": 0.9})
    said = next(said for said in found.objections if "too few to decide" in said)
    assert found.numbers["power"] < 0.6
    assert f"about {found.numbers['samples_for_power']} samples like these would do" in said
    assert 1500 < found.numbers["samples_for_power"] < 4000


def test_enough_power_is_no_objection(tmp_path: Path) -> None:
    found = verdict(tmp_path, share(900, 1000), share(900, 1000), power={})
    assert found.objections == ()
    assert found.numbers["power"] > 0.99


COST = {"cost": {"parameters": 1000, "size_bytes": 4000, "latency_ms": {"p50": 2.0, "p95": 3.5}, "batch_size": 1, "machine": "two cores"}}


def test_a_model_over_its_budgets_is_refused_even_as_the_first(tmp_path: Path) -> None:
    budgets = {"latency_ms_p95": 3.0, "size_bytes": 4000, "parameters": 999}
    found = verdict(tmp_path, share(190, 200), described=COST, budgets=budgets)
    assert found.objections == (
        "95 % of its predictions take up to 3.5 ms, and the budget is 3 ms",
        "it has 1,000 parameters, and the budget is 999",
    )
    assert found.numbers["budgets"]["size_bytes"] == {"value": 4000, "budget": 4000}
    assert found.numbers["budgets"]["machine"] == "two cores"


def test_a_report_that_knows_no_cost_says_how_to_get_one(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"the report does not say what the model costs; `medley run RECIPE` evaluates again"):
        verdict(tmp_path, share(190, 200), budgets={"parameters": 1})


def test_a_candidate_as_good_as_the_champion_but_not_as_the_best_ever_is_refused(tmp_path: Path) -> None:
    found = verdict(tmp_path, share(880, 1000), share(880, 1000), best=share(910, 1000), creep={})
    (said,) = found.objections
    assert said.startswith("beside the best champion ever, version 7: a loss of more than 0.02")
    assert "0.8800 against 0.9100" in said
    assert found.numbers["creep"]["confidence"] == pytest.approx(0.999)
    assert not found.leads


def test_a_candidate_measured_better_than_the_best_by_a_standard_error_leads(tmp_path: Path) -> None:
    assert verdict(tmp_path / "a", share(915, 1000), share(910, 1000), best=share(905, 1000), creep={}).leads
    assert not verdict(tmp_path / "b", share(911, 1000), share(910, 1000), best=share(910, 1000), creep={}).leads


def test_when_the_best_is_the_baseline_nothing_is_predicted_twice(tmp_path: Path) -> None:
    described = {"best": {"reference": "models:/toys/1", "version": "1", "key": "b" * 64}}
    found = verdict(tmp_path, share(900, 1000), share(900, 1000), described=described, creep={"margin": 0.05})
    assert found.objections == ()
    assert (found.numbers["creep"]["version"], found.numbers["creep"]["margin"]) == ("1", 0.05)


def test_a_report_that_knows_no_best_says_how_to_get_one(tmp_path: Path) -> None:
    with pytest.raises(InputError, match='`medley run RECIPE` evaluates again once the evaluate step has `best: "models:/NAME@best"`'):
        verdict(tmp_path, share(900, 1000), share(900, 1000), creep={})


def test_slices_that_the_report_lacks_are_named(tmp_path: Path) -> None:
    with pytest.raises(
        InputError, match=r"gate.slices.columns speaker: the report has no such slices.*evaluates again.*slices: \[speaker\]"
    ):
        verdict(tmp_path, share(900, 1000), share(900, 1000), slices={"columns": ["speaker"]})


def test_a_regression_head_is_gated_by_its_error(tmp_path: Path) -> None:
    report = report_folder(tmp_path / "r", "r" * 64, MODEL, share(150, 200))
    gate = GateConfig(head="size", metric="rmse", max_value=0.5)
    assert judge(report.path, gate, compare=False, seed=0).objections == ()


@pytest.mark.parametrize(
    ("rules", "message"),
    [
        ({"metric": "rmse", "test": "mcnemar"}, "use test: bootstrap"),
        ({"metric": "mae", "min_value": 0.5}, "give max_value"),
        ({"max_value": 0.5}, "give min_value"),
        ({"margin": 0.02, "power": {"effect": -0.02}}, "is not above minus the margin"),
        ({"budgets": {}}, "budgets has no limit"),
        ({"slices": {"columns": []}}, "columns"),
        ({"creep": {"decisions": 0}}, "decisions"),
    ],
)
def test_rules_that_contradict_each_other_are_refused_in_the_recipe(rules: dict[str, Any], message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        GateConfig(head="digit", **rules)
