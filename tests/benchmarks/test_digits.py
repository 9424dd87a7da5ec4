"""The paired difference of two models is that of their accuracies, and its interval knows of clusters."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml

from benchmarks.digits import alone, document, paired_difference
from benchmarks.medley import RECIPE
from benchmarks.stamps import RECIPE as STAMPS
from pipeline import recipe


def predictions(right: np.ndarray, group: np.ndarray) -> dict[str, list[Any]]:
    label = np.arange(len(right)) % 10
    return {
        "key": [f"k{n:05}" for n in range(len(right))],
        "group": [f"g{n}" for n in group],
        "digit.label": label.tolist(),
        "digit.prediction": np.where(right, label, (label + 1) % 10).tolist(),
    }


def report(right: np.ndarray, group: np.ndarray) -> dict[str, Any]:
    accuracy = float(right.mean())
    head = {"accuracy": accuracy, "interval": [accuracy - 0.02, accuracy + 0.02]}
    return {"summary": {"heads": {"digit": head}}, "predictions": predictions(right, group)}


@pytest.mark.parametrize("path", [RECIPE, STAMPS], ids=lambda path: path.parent.name)
@pytest.mark.parametrize("modality", ["audio", "image", "text"])
def test_one_modality_alone_is_a_valid_recipe_that_differs_in_nothing_else(path: Path, modality: str) -> None:
    train = yaml.safe_load(path.read_text(encoding="utf-8"))["steps"]["model"]
    full = recipe.load(path).steps["model"].config.model_dump()
    single = recipe.load(path, alone(train, modality)[1::2]).steps["model"].config.model_dump()
    assert list(single["model"]["encoders"]) == list(single["read"]) == [modality]
    assert set(single.get("augment", {})) <= {modality}
    for config in (full, single):
        config["model"]["encoders"] = config["read"] = None
        config.pop("augment", None)
    assert single == full


def test_a_model_differs_from_itself_by_nothing() -> None:
    rows = predictions(np.random.default_rng(0).random(200) < 0.8, np.arange(200))
    assert paired_difference(rows, rows) == (0.0, 0.0, 0.0)


def test_the_interval_of_independent_rows_is_near_the_normal_one() -> None:
    rng = np.random.default_rng(1)
    a, b = rng.random(2000) < 0.9, rng.random(2000) < 0.8
    value, low, high = paired_difference(predictions(a, np.arange(2000)), predictions(b, np.arange(2000)))
    half = 1.96 * np.std(a.astype(float) - b, ddof=1) / np.sqrt(2000)
    assert value == pytest.approx(a.mean() - b.mean())
    assert (low, high) == pytest.approx((value - half, value + half), abs=0.1 * half)


def test_rows_that_repeat_a_picture_do_not_narrow_the_interval() -> None:
    rng = np.random.default_rng(2)
    a, b, group = rng.random(300) < 0.9, rng.random(300) < 0.8, np.arange(300)
    once = paired_difference(predictions(a, group), predictions(b, group))
    repeated = paired_difference(*(predictions(np.repeat(side, 4), np.repeat(group, 4)) for side in (a, b)))
    assert repeated == pytest.approx(once)


def test_models_seen_on_other_samples_are_not_compared() -> None:
    rows = predictions(np.ones(10, dtype=bool), np.arange(10))
    with pytest.raises(RuntimeError, match="same samples"):
        paired_difference(rows, rows | {"key": [*rows["key"][:-1], "other"]})


def test_fusing_must_beat_the_best_single_one_and_not_any() -> None:
    rng = np.random.default_rng(3)
    group = np.arange(1000)
    fused = rng.random(1000) < 0.95
    singles = {"image": report(rng.random(1000) < 0.6, group), "audio": report(fused, group)}
    entry = document(100.0, report(fused, group), singles)
    assert entry["ratios"]["fused_minus_best_single"] == {"median": 0.0, "low": 0.0, "high": 0.0, "goal": 0.0, "ok": False}
    assert entry["ok"] is False
    weak = document(100.0, report(fused, group), {"image": singles["image"]})
    assert weak["ok"] is True


def test_a_demo_that_takes_too_long_misses_its_goal() -> None:
    right, group = np.ones(50, dtype=bool), np.arange(50)
    single = {"image": report(~right, group)}
    assert document(301.0, report(right, group), single)["ratios"]["demo_s"]["ok"] is False
