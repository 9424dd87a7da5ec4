"""The gate lets a candidate through only when a loss beyond the margin can be ruled out."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tasks.contracts import Artifact
from tasks.errors import CorruptArtifact, InputError
from tasks.gating.config import GateConfig
from tasks.gating.judgement import Verdict, judge
from tests.tasks.tracking.toys import report_folder

MODEL = Artifact("model", "m" * 64, Path(), step="model")


def verdict(tmp_path: Path, candidate: Any, baseline: Any = None, groups: Any = None, **rules: Any) -> Verdict:
    compared = None if baseline is None else ("1", "b" * 64, baseline)
    report = report_folder(tmp_path / "report", "r" * 64, MODEL, candidate, compared, groups)
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
