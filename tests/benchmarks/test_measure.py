"""What a benchmark's last line says follows from what was measured."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from benchmarks import measure


def test_the_interval_holds_the_median_and_stays_inside_the_sample() -> None:
    entry = measure.median([1.0, 2.0, 3.0, 4.0, 100.0], goal=3.0)
    assert entry["median"] == 3.0
    assert 1.0 <= entry["low"] <= 3.0 <= entry["high"] <= 100.0


def test_a_constant_sample_has_an_interval_of_no_width() -> None:
    assert measure.median([2.0] * 7) == {"median": 2.0, "low": 2.0, "high": 2.0, "goal": None, "ok": True}


@pytest.mark.parametrize(
    ("sense", "goal", "ok"), [("at most", 2.0, True), ("at most", 1.9, False), ("at least", 2.0, True), ("at least", 2.1, False)]
)
def test_a_goal_is_met_by_the_median_in_its_own_sense(sense: measure.Goal, goal: float, ok: bool) -> None:
    assert measure.median([2.0, 2.0, 2.0], goal=goal, sense=sense)["ok"] is ok


def test_sides_run_in_turns_and_no_side_is_always_first() -> None:
    order: list[str] = []
    sides = {name: lambda name=name: order.append(name) or float(len(order)) for name in "ab"}
    assert measure.interleave(3, sides) == {"a": [1.0, 4.0, 5.0], "b": [2.0, 3.0, 6.0]}
    assert order == ["a", "b", "b", "a", "a", "b"]


def test_a_command_is_timed_from_its_start_to_its_end(tmp_path: Path) -> None:
    assert measure.wall_s([sys.executable, "-S", "-c", "import time; time.sleep(0.2)"], cwd=tmp_path) >= 0.2


def test_a_command_that_fails_is_no_measurement(tmp_path: Path) -> None:
    with pytest.raises(RuntimeError, match="exited with 4:\nno store"):
        measure.wall_s([sys.executable, "-S", "-c", "print('no store'); raise SystemExit(4)"], cwd=tmp_path)


def test_the_machines_facts_are_shares_of_the_time_inside() -> None:
    with measure.Machine() as machine:
        sum(range(1_000_000))
    assert set(machine.facts) == {"cores", "load_1min", "busy_percent", "steal_percent"}
    assert 0 <= machine.facts["steal_percent"] <= machine.facts["busy_percent"] <= 100
