"""A slice or a subset of modalities blocks when it is significantly worse, and only then, however many there are."""

from __future__ import annotations

import numpy as np
import pytest

from tasks.errors import InputError
from tasks.gating.config import GateConfig, SliceConfig, SubsetConfig
from tasks.gating.parts import holm, judge_parts
from tasks.gating.rows import Rows

SAMPLES = 2000


def rows(candidate: np.ndarray, baseline: np.ndarray, more: dict[str, np.ndarray] | None = None, **slices: list[str | None]) -> Rows:
    scores = {"prediction": candidate, "baseline_prediction": baseline} | (more or {})
    groups = np.arange(candidate.size).astype(str)
    return Rows(
        "accuracy",
        groups,
        {name: values.astype(float) for name, values in scores.items()},
        {name: np.array(values, dtype=object) for name, values in slices.items()},
    )


def gate(**rules: object) -> GateConfig:
    return GateConfig(head="digit", **rules)  # type: ignore[arg-type]


def test_holm_is_the_textbooks() -> None:
    assert holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.03, 0.06, 0.06, 0.02])
    assert holm([0.9, 0.8]) == [1.0, 1.0]
    assert holm([]) == []


def test_a_slice_that_is_much_worse_blocks_though_the_whole_is_as_good() -> None:
    speaker = np.array(["ana"] * 200 + ["ben"] * 1800)
    baseline = np.random.default_rng(0).random(SAMPLES) < 0.9
    candidate = baseline.copy()
    candidate[:200] &= np.random.default_rng(1).random(200) > 0.25
    numbers, objections = judge_parts(
        rows(candidate, baseline, speaker=list(speaker)), gate(slices=SliceConfig(columns=["speaker"])), seed=0
    )
    (said,) = objections
    assert "in the slice speaker=ana the candidate is worse by more than 0.05" in said
    assert "corrected for 2 slices and subsets" in said
    assert [(facts["name"], facts["samples"]) for facts in numbers["slices"]] == [("speaker=ana", 200), ("speaker=ben", 1800)]
    assert numbers["slices"][0]["p_corrected"] == 2 * numbers["slices"][0]["p_worse"]


def test_small_slices_and_samples_without_a_value_are_not_judged() -> None:
    right = np.ones(100, dtype=bool)
    numbers, objections = judge_parts(
        rows(~right, right, speaker=["ana"] * 49 + [None] * 51), gate(slices=SliceConfig(columns=["speaker"])), seed=0
    )
    assert (numbers, objections) == ({}, [])


def test_twenty_slices_of_equal_models_seldom_block() -> None:
    rng, blocked = np.random.default_rng(2), 0
    config = gate(test="mcnemar", slices=SliceConfig(columns=["speaker"], margin=0.0))
    for _ in range(12):
        baseline, candidate = rng.random((2, SAMPLES)) < 0.9
        blocked += bool(judge_parts(rows(candidate, baseline, speaker=[str(row % 20) for row in range(SAMPLES)]), config, seed=0)[1])
    assert blocked <= 3, "without Holm two of three would block"


def test_a_subset_of_modalities_that_is_much_worse_blocks() -> None:
    right = np.random.default_rng(0).random(500) < 0.9
    worse = right & (np.random.default_rng(1).random(500) > 0.3)
    more = {
        "prediction[audio]": worse,
        "baseline_prediction[audio]": right,
        "prediction[image]": right,
        "baseline_prediction[image]": right,
        "prediction[audio+image]": right,
        "baseline_prediction[audio+image]": right,
    }
    numbers, objections = judge_parts(rows(right, right, more), gate(subsets=SubsetConfig()), seed=0)
    assert "from audio alone the candidate is worse" in objections[0]
    assert [facts["name"] for facts in numbers["subsets"]] == ["audio", "image"], "all modalities together are the whole"


def test_a_report_without_the_baselines_subsets_says_how_to_get_one() -> None:
    right = np.ones(100, dtype=bool)
    with pytest.raises(InputError, match="`medley run RECIPE` evaluates again"):
        judge_parts(
            rows(right, right, {"prediction[audio]": right, "prediction[audio+image]": right}), gate(subsets=SubsetConfig()), seed=0
        )
