from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tasks.contracts import Artifact, Inputs, Summary
from tasks.errors import InputError
from tasks.select import Candidate, SelectConfig, lint, numbers, select
from tests.tasks.sources.toys import context

NAN = float("nan")


def chosen(tmp_path: Path, values: dict[str, Any], by: dict[str, Any] | None = None, **options: Any) -> Summary:
    """`values`: label → the number `val.digit.loss` of its summary; labels are `fusion=x,seed=n`."""
    candidates = tuple(Candidate(label=label, sets=dict(part.split("=") for part in label.split(","))) for label in values)
    config = SelectConfig(**({"metric": "val.digit.loss", "mode": "min"} | options), candidates=candidates)
    inputs: Inputs = {f"from[{label}]": artifact("model", label, value, tmp_path) for label, value in values.items()}
    inputs |= {f"by[{label}]": artifact("report", label, value, tmp_path) for label, value in (by or {}).items()}
    folder = tmp_path / "out"
    folder.mkdir(parents=True)
    summary = select(config, inputs, folder, context(tmp_path))
    assert json.loads((folder / "selection.json").read_text()) == {**json.loads(json.dumps(summary)), "format": 1}
    return summary


def artifact(kind: str, label: str, value: Any, tmp_path: Path) -> Artifact:
    return Artifact(kind, f"key of {kind} {label}", tmp_path, {"epochs": 3, "val": {"digit": {"loss": value}}}, f"{kind}[{label}]")


def test_the_smallest_or_the_largest_is_taken_and_the_first_of_equals(tmp_path: Path) -> None:
    values = {"seed=0": 0.5, "seed=1": 0.2, "seed=2": 0.2}
    summary = chosen(tmp_path / "min", values)
    assert (summary["chosen"], summary["step"], summary["key"]) == ("seed=1", "model[seed=1]", "key of model seed=1")
    assert chosen(tmp_path / "max", values, mode="max")["chosen"] == "seed=0"
    assert summary["group"]["spread"] is None
    assert [variant["value"] for variant in summary["variants"]] == [0.5, 0.2, 0.2]


def test_groups_are_ranked_by_the_mean_and_the_best_of_the_best_group_is_taken(tmp_path: Path) -> None:
    values = {"fusion=a,seed=0": 0.1, "fusion=a,seed=1": 0.9, "fusion=b,seed=0": 0.4, "fusion=b,seed=1": 0.3}
    summary = chosen(tmp_path, values, over="seed")
    assert summary["chosen"] == "fusion=b,seed=1"
    assert summary["group"]["group"] == "fusion=b"
    assert summary["group"]["mean"] == pytest.approx(0.35)
    assert summary["group"]["spread"] == pytest.approx(0.0707, abs=1e-4)
    assert [group["mean"] for group in summary["groups"]] == pytest.approx([0.5, 0.35])


def test_the_mean_over_everything_leaves_one_group(tmp_path: Path) -> None:
    summary = chosen(tmp_path, {"seed=0": 2, "seed=1": 1}, over=["seed"])
    assert (summary["group"]["group"], summary["chosen"]) == ("all", "seed=1")


def test_a_variant_is_measured_by_its_report_where_there_is_one(tmp_path: Path) -> None:
    summary = chosen(tmp_path, {"seed=0": 0.1, "seed=1": 0.2}, by={"seed=0": 7, "seed=1": 5})
    assert (summary["step"], summary["value"]) == ("model[seed=1]", 5)


@pytest.mark.parametrize("diverged", [NAN, float("inf"), float("-inf"), None])
def test_a_variant_that_diverged_is_listed_and_not_chosen_and_neither_is_its_group(tmp_path: Path, diverged: float | None) -> None:
    values = {"fusion=a,seed=0": 0.1, "fusion=a,seed=1": diverged, "fusion=b,seed=0": 0.4, "fusion=b,seed=1": 0.5}
    summary = chosen(tmp_path / "groups", values, over="seed")
    assert summary["chosen"] == "fusion=b,seed=0"
    assert summary["groups"][0]["mean"] is None
    assert summary["variants"][1]["value"] is None
    assert chosen(tmp_path / "alone", values)["chosen"] == "fusion=a,seed=0"


def test_when_all_diverged_the_error_names_them(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"val.digit.loss is not a finite number for seed=0, seed=1; look at these trainings' curves"):
        chosen(tmp_path, {"seed=0": NAN, "seed=1": None})


def test_a_number_that_is_not_in_the_summary_is_named_with_those_that_are(tmp_path: Path) -> None:
    expected = r"model\[seed=0\] has no number 'val.digit.los'; its numbers: epochs, val.digit.loss; did you mean 'val.digit.loss'"
    with pytest.raises(InputError, match=expected):
        chosen(tmp_path, {"seed=0": 1}, metric="val.digit.los")


def test_numbers_are_found_under_dotted_paths() -> None:
    summary = {"a": 1, "b": {"c": 0.5, "d": [1, 2], "e": True, "f": "x"}, "g": None}
    assert dict(numbers(summary)) == {"a": 1, "b.c": 0.5, "g": None}


def test_a_choice_by_the_test_split_must_be_asked_for() -> None:
    class Report:
        split = "test"

    config = SelectConfig(metric="heads.digit.accuracy", mode="max")
    (problem,) = lint(config, {"from": object(), "by": Report()})
    assert problem.startswith("by: these reports are on the test split, and a choice made there spoils it")
    assert lint(config, {"from": Report()})[0].startswith("from: ")
    assert lint(config.model_copy(update={"allow_test": True}), {"by": Report()}) == []


def test_a_number_that_will_not_be_there_is_refused_when_it_is_known() -> None:
    known = {"from": object(), "numbers": ["heads.digit.accuracy", "heads.digit.by_modalities"]}
    assert lint(SelectConfig(metric="heads.digit.by_modalities.audio.accuracy", mode="max"), known) == []
    (problem,) = lint(SelectConfig(metric="heads.digit.acuracy", mode="max"), known)
    assert problem == (
        "metric: from will have no 'heads.digit.acuracy'; it has heads.digit.accuracy, heads.digit.by_modalities; "
        "did you mean 'heads.digit.accuracy'?"
    )
