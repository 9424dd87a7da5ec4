from __future__ import annotations

import pytest

from tasks.evaluation.page.axis import Axis, axis_over


@pytest.mark.parametrize("values", [[0.66, 0.97], [3.0], [-1e-7, 2e-7], [0.0, 123456.0], [float("nan")], []])
def test_an_axis_holds_its_values_and_has_round_ticks_inside(values: list[float]) -> None:
    axis = axis_over(values, 10, 110)
    assert axis.low < axis.high
    assert all(axis.low <= value <= axis.high for value in values if value == value)
    ticks = axis.ticks()
    assert 2 <= len(ticks) <= 11
    assert all(10 - 1e-6 <= axis(tick) <= 110 + 1e-6 for tick in ticks)


def test_bounds_are_kept() -> None:
    axis = axis_over([0.91, 0.999], 0, 1, within=(0.0, 1.0))
    assert axis.high == 1.0


def test_ticks_are_written_with_the_decimals_they_need() -> None:
    axis = Axis(0.0, 0.25, 0, 1)
    assert [axis.tick_text(tick) for tick in axis.ticks()] == ["0.00", "0.05", "0.10", "0.15", "0.20", "0.25"]
    assert Axis(0, 5000, 0, 1).tick_text(5000) == "5,000"
