from __future__ import annotations

import re
from typing import Any

import numpy as np
import pytest

from tasks.evaluation.calibration import calibration
from tasks.evaluation.intervals import Bootstrap
from tasks.evaluation.page.reliability import reliability, sureness_section, threshold_block

BOOTSTRAP = Bootstrap(resamples=100)


def of(number: int = 400) -> dict[str, Any]:
    rng = np.random.default_rng(0)
    confidence = rng.uniform(0.5, 1, number)
    return calibration(confidence, rng.random(number) < confidence, np.arange(number), 10, BOOTSTRAP)


def threshold(**changed: Any) -> dict[str, Any]:
    rates = {"precision": 0.985, "recall": 0.9, "coverage": 0.95}
    part = {"samples": 200, "answered": 190, **rates, **{f"{name}_interval": [rates[name] - 0.02, rates[name] + 0.01] for name in rates}}
    made = {"target": "precision", "at_least": 0.99, "of_class": None, "reached": True, "value": 0.8125, "best": None, "held": False}
    return made | {"chosen_on": {"split": "val", **part}, "measured": {"split": "test", **part}} | changed


def test_every_bin_with_samples_is_a_bar_and_a_row() -> None:
    made = of()
    filled = sum(part["n"] > 0 for part in made["bins"])
    drawn = reliability("digit", made)
    assert drawn.count('class="bin"') == drawn.count("data-tip") == filled
    assert drawn.count("<tr>") == filled + 1
    assert "rotate(-90" in drawn
    assert 'aria-label="Reliability of digit' in drawn


def test_bars_lie_inside_the_picture_and_meet_their_values() -> None:
    drawn = reliability("digit", of())
    for element in re.findall(r"<rect [^>]*>", drawn):
        box = {name: float(value) for name, value in re.findall(r'(x|y|width|height)="([^"]*)"', element)}
        assert 0 <= box["x"] <= box["x"] + box["width"] <= 440
        assert 0 <= box["y"] <= box["y"] + box["height"] <= 470
        assert box["height"] >= 0


def test_what_was_promised_stands_beside_what_was_given() -> None:
    drawn = sureness_section("digit", {"calibration": of(), "threshold": threshold()}, "test")
    for said in ("Promised on val", "Given on test", "0.8125", "at least 99.0\u202f%", "Precision: right answers among answers"):
        assert said in drawn


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"held": True}, ">held<"),
        ({}, ">short of it, by no more than chance explains<"),
        ({"at_least": 0.999}, ">not held<"),
        ({"reached": False, "best": 0.97, "value": None, "measured": None, "held": None}, "the most is 97.0\u202f%"),
        ({"reached": False, "best": None, "value": None, "measured": None, "held": None}, "nothing there can be counted"),
        ({"of_class": "<seven>"}, "precision of class &lt;seven&gt;"),
    ],
)
def test_the_outcome_is_said_in_words(changed: dict[str, Any], said: str) -> None:
    assert said in threshold_block(threshold(**changed), "test")
